"""TLS on every side: clients to Rota, Rota to the provider, data plane to controller."""
import shutil
import signal
import ssl

import pytest

from harness import http
from harness.certificates import Authority
from harness.stack import KEY, Controller, api, secret
from harness.wait import until

PATH = "/assistant/1.0/chat/completions"
NAMES = ["llm.example.com", "sandbox.example.com"]


@pytest.fixture
def files():
    return {"api.yaml": api(models=("gpt-4o",)), "secret.yaml": secret(apiKey=KEY)}


def https_plane(world, files):
    """A data plane with --https; its certificate is world.folder/server.{pem,key}."""
    world.serve_directory(files)
    install(world, world.authority)
    return world.plane("--https", "127.0.0.1:0", "--tls-cert", world.folder / "server.pem",
                       "--tls-key", world.folder / "server.key")


def install(world, authority):
    certificate, key = authority.issue("gateway", NAMES)
    shutil.copy(certificate, world.folder / "server.pem")
    shutil.copy(key, world.folder / "server.key")


def test_https_serves_chat_streams_and_both_environments(world, files):
    plane = https_plane(world, files)
    trust = http.trust(world.authority.ca)
    for name in NAMES:
        answer = http.ask(plane.ports["https"], "POST", PATH, http.CHAT, host=name, tls=trust, server_name=name)
        assert answer.status == 200, answer
    until("the sandbox request is counted", lambda: plane.metric("rota_requests_total", environment="sandbox") == 1)
    connection = http.Connection(plane.ports["https"], trust, NAMES[0])
    text = connection.stream("POST", PATH, {**http.CHAT, "stream": True}, host=NAMES[0]).read().decode()
    assert text.rstrip().endswith("[DONE]")


def test_sni_and_host_that_differ_are_421(world, files):
    plane = https_plane(world, files)
    answer = http.ask(plane.ports["https"], "POST", PATH, http.CHAT, host=NAMES[1],
                      tls=http.trust(world.authority.ca), server_name=NAMES[0])
    assert answer.status == 421 and answer.headers["x-rota-error"], answer


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(world, files):
    plane = https_plane(world, files)
    old = http.trust(world.authority.ca)
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        http.ask(plane.ports["https"], "POST", PATH, http.CHAT, tls=old, server_name=NAMES[0])


def test_sighup_re_reads_the_certificate_and_a_bad_one_changes_nothing(world, files):
    plane = https_plane(world, files)
    other = Authority(world.folder / "other", "Other CA")

    def works(authority):
        try:
            return http.ask(plane.ports["https"], "POST", PATH, http.CHAT, host=NAMES[0],
                            tls=http.trust(authority.ca), server_name=NAMES[0]).status == 200
        except ssl.SSLCertVerificationError:
            return False
    assert works(world.authority) and not works(other)
    kept = http.Connection(plane.ports["https"], http.trust(world.authority.ca), NAMES[0])
    assert kept.ask("POST", PATH, http.CHAT, host=NAMES[0]).status == 200
    install(world, other)
    plane.signal(signal.SIGHUP)
    until("the new certificate is used", lambda: works(other))
    assert kept.ask("POST", PATH, http.CHAT, host=NAMES[0]).status == 200, "open connections go on"
    logged = len(plane.text())
    (world.folder / "server.pem").write_text("no certificate")
    plane.signal(signal.SIGHUP)
    until("the log names the file", lambda: "server.pem" in plane.text()[logged:])
    assert works(other)


def test_provider_with_an_unknown_ca_or_another_name_gets_no_request(world, files):
    world.serve_directory({**files, "named.yaml": api("named", models=("m",), url="https://other.example.com/v1")})
    plane = world.plane("--resolve", f"other.example.com:443:{world.mock_server.address}")
    answer = http.ask(plane.http, "POST", "/named/1.0/chat/completions", http.CHAT)
    assert answer.status == 503 and "102503" in answer.body, "the certificate is for another name"
    stranger = Authority(world.folder / "stranger", "Stranger CA")
    plane_without_ca = world.plane(name="no-ca")
    assert http.ask(plane_without_ca.http, "POST", PATH, http.CHAT).status == 200
    index = plane_without_ca.command.index("--upstream-ca")
    plane_without_ca.command[index + 1] = str(stranger.ca)
    plane_without_ca.restart()
    plane_without_ca.wait_ready()
    world.mock_server.forget()
    assert http.ask(plane_without_ca.http, "POST", PATH, http.CHAT).status == 503
    assert world.mock_server.requests()["total"] == 0
    assert "api.openai.com" not in http.ask(plane_without_ca.http, "POST", PATH, http.CHAT).body


def mutual(world, files, authority):
    """A controller that wants client certificates of `authority`."""
    world.mock()
    from harness.stack import Directory  # pylint: disable=import-outside-toplevel
    world.directory = Directory(world.folder / "config")
    for name, content in files.items():
        world.directory.write(name, content)
    certificate, key = authority.issue("controller", ["rota-controller", "localhost"])
    world.controller = world.add(Controller(
        world.folder, f"dir:{world.directory.path}", "--tls-cert", certificate, "--tls-key", key,
        "--tls-client-ca", authority.ca))


def test_data_plane_and_controller_know_each_other_by_certificate(world, files):
    sync = Authority(world.folder / "sync", "Sync CA")
    mutual(world, files, sync)
    certificate, key = sync.issue("dataplane", ["dataplane"])
    plane = world.plane("--sync-tls-cert", certificate, "--sync-tls-key", key, "--sync-tls-ca", sync.ca)
    assert http.ask(plane.http, "POST", PATH, http.CHAT).status == 200


@pytest.mark.parametrize("who", ["no certificate", "certificate of a stranger", "controller of a stranger"])
def test_stranger_gets_no_configuration(world, files, who):
    sync, stranger = Authority(world.folder / "sync", "Sync CA"), Authority(world.folder / "stranger", "Stranger CA")
    mutual(world, files, sync)
    certificate, key = (stranger if who == "certificate of a stranger" else sync).issue("dataplane", ["dataplane"])
    flags = ["--sync-tls-ca", stranger.ca if who == "controller of a stranger" else sync.ca]
    if who != "no certificate":
        flags += ["--sync-tls-cert", certificate, "--sync-tls-key", key]
    good_certificate, good_key = sync.issue("good", ["good"])
    stranger_plane = world.plane(*flags, name="stranger", wait=False)
    good = world.plane("--sync-tls-cert", good_certificate, "--sync-tls-key", good_key, "--sync-tls-ca", sync.ca,
                       name="good")
    assert http.ask(good.http, "POST", PATH, http.CHAT).status == 200
    until("the stranger says that it cannot connect",
          lambda: "rota-controller" in stranger_plane.text() or "controller" in stranger_plane.text().lower())
    assert http.get(stranger_plane.admin, "/readyz").status == 503
    assert http.ask(stranger_plane.http, "POST", PATH, http.CHAT).status != 200
    assert "stranger" not in http.get(world.controller.admin, "/debug/fleet").body
