"""Command lines that people script against: help, version, files, environment, ports file, validation."""
import json
import pathlib
import re

import pytest

from conftest import shared_file
from harness import http
from harness.process import BIN, Program, run
from harness.stack import KEY, Directory, api, secret
from harness.wait import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = ["rota-controller", "rota-dataplane", "rotactl", "rota-mock-llm"]


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_and_help(program):
    version = run(program, "--version")
    assert version.returncode == 0 and re.match(rf"{program} \d+\.\d+", version.stdout), version
    help_text = run(program, "--help")
    assert help_text.returncode == 0 and "Usage" in help_text.stdout
    if program != "rotactl":  # its subcommands take files, not settings
        assert "--config" in help_text.stdout and "ROTA_" in help_text.stdout


def test_help_shows_groups_defaults_and_units():
    text = run("rota-dataplane", "--help").stdout
    for part in ("Listeners", "Limits", "HOST:PORT", "BYTES", "30s", "127.0.0.1:9901"):
        assert part in text, part


@pytest.mark.parametrize("program, arguments, says", [
    ("rota-controller", ["--source", "ftp:x"], "dir:PATH"),
    ("rota-controller", [], "--source"),
    ("rota-controller", ["--source", "dir:/nowhere/at/all", "--listen", "127.0.0.1:0"], "/nowhere/at/all"),
    ("rota-controller", ["--source", "dir:.", "--listen", "0.0.0.0:0"], "--insecure"),
    ("rota-controller", ["--source", "dir:.", "--tls-cert", "a.pem"], "--tls-key"),
    ("rota-controller", ["--source", "kube", "--kubeconfig", "/nowhere/config"], "/nowhere/config"),
    ("rota-controller", ["--source", "kube", "--listen", "0.0.0.0:0"], "--tls-dns-names"),
    ("rota-controller", ["--source", "kube", "--tls-mode", "auto", "--tls-dns-names", "A.b"], "'A.b'"),
    ("rota-controller", ["--source", "kube", "--tls-mode", "auto", "--tls-dns-names", "a", "--tls-ca-life", "1h"],
     "--tls-ca-life"),
    ("rota-controller", ["--source", "kube", "--tls-mode", "auto", "--tls-dns-names", "a", "--peers", "b:1"],
     "--token-file"),
    ("rota-controller", ["--source", "kube", "--tls-mode", "files"], "--tls-cert"),
    ("rota-controller", ["--source", "dir:.", "--tls-mode", "auto"], "--source kube"),
    ("rota-controller", ["--source", "kube", "--allow-service-account", "a=b/c"], "GATEWAY=NAMESPACE/NAME"),
    ("rota-controller", ["--source", "kube", "--token-file", "x"], "--tls-mode auto"),
    ("rota-dataplane", ["--controller", "127.0.0.1:1"], "--http"),
    ("rota-dataplane", ["--http", "127.0.0.1:0"], "--controller"),
    ("rota-dataplane", ["--controller", "10.1.2.3:99", "--http", "127.0.0.1:0"], "--insecure"),
    ("rota-dataplane", ["--controller", "127.0.0.1:1", "--http", "nonsense"], "nonsense"),
    ("rota-dataplane", ["--controller", "127.0.0.1:1", "--https", "127.0.0.1:0", "--tls-cert", "x"], "--tls-key"),
    ("rota-dataplane", ["--controller", "127.0.0.1:1", "--http", "127.0.0.1:0", "--resolve", "x"], "HOST:PORT:ADDRESS"),
    ("rota-dataplane", ["--controller", "127.0.0.1:1", "--http", "127.0.0.1:0", "--token-file", "x"], "--sync-tls-ca"),
    ("rota-dataplane", ["--controller", "127.0.0.1:1", "--no-such-flag"], "--no-such-flag"),
    ("rota-mock-llm", ["--behavior", "gpt-4o"], "MODEL=BEHAVIOR"),
    ("rota-dataplane", ["--no-such-flag"], "--no-such-flag"),
    ("rotactl", ["nonsense"], "nonsense"),
    ("rotactl", [], "validate"),
])
def test_wrong_command_line_is_named_and_ends(program, arguments, says):
    done = run(program, *arguments)
    assert done.returncode != 0 and says in done.stderr + done.stdout, done


def test_options_from_file_and_environment_with_the_flag_first(tmp_path, world):
    world.mock()
    directory = Directory(tmp_path / "config")
    directory.write("api.yaml", api())
    directory.write("secret.yaml", secret(apiKey=KEY))
    file = tmp_path / "controller.yaml"
    file.write_text(f"source: dir:{directory.path}\nlisten: 127.0.0.1:0\nadmin: 127.0.0.1:0\nlog-level: warn\n")
    controller = world.add(Program("controller", [BIN / "rota-controller", "--config", file], tmp_path))
    plane_file = tmp_path / "plane.yaml"
    plane_file.write_text(f"controller: [{controller.ports['listen']}]\nhttp: 127.0.0.1:1\nadmin: 127.0.0.1:0\n"
                          f"allow-unauthenticated: true\nupstream-ca: {world.authority.ca}\nthreads: 1\n"
                          f"resolve:\n  - api.openai.com:443:{world.mock_server.address}\n")
    plane = world.add(Program("plane", [BIN / "rota-dataplane", "--config", plane_file, "--http", "127.0.0.1:0"],
                              tmp_path, env={"ROTA_NODE": "from-the-environment", "ROTA_ADMIN": "127.0.0.1:0"}))
    until("served", lambda: http.ask(plane.ports["http"], "POST", "/assistant/1.0/chat/completions",
                                     http.CHAT).status == 200)
    fleet = http.get(controller.ports["admin"], "/debug/fleet").body
    assert "from-the-environment" in fleet


def test_unknown_option_in_the_file_is_named_with_its_line(tmp_path):
    file = tmp_path / "bad.yaml"
    file.write_text("http: 127.0.0.1:0\nhtpps: 127.0.0.1:0\n")
    done = run("rota-dataplane", "--config", file)
    assert done.returncode == 2 and f"{file}:2" in done.stderr and "htpps" in done.stderr


def test_addresses_are_announced_and_written(world):
    world.serve_directory({"api.yaml": api(), "secret.yaml": secret(apiKey=KEY)})
    plane = world.plane()
    assert set(plane.ports) >= {"http", "admin", "metrics"} and set(world.controller.ports) >= {"listen", "admin"}
    for program in (plane, world.controller):
        announced = [json.loads(line) for line in program.text().splitlines() if line.startswith("{")]
        for address in program.ports.values():
            assert any(address in json.dumps(line) for line in announced), address


def validate(*files, **named):
    return run("rotactl", "validate", *files, **named)


def test_validate_accepts_the_seed_and_the_samples():
    seed = shared_file("inputs/apk/chat-service.apk-conf.yaml")
    assert validate(seed).returncode == 0
    samples = sorted((ROOT / "deploy/samples").glob("*.yaml"))
    assert samples
    for sample in samples:
        done = validate(sample)
        assert done.returncode == 0, done.stdout + done.stderr


def test_validate_says_that_a_fragment_is_one():
    done = validate(shared_file("inputs/apk/policy-only.apk-conf.yaml"))
    assert done.returncode == 0 and re.search("fragment|policy", done.stdout + done.stderr), done


@pytest.mark.parametrize("change, says", [
    (lambda a: a.update(bassePath="/x"), "bassePath"),
    (lambda a: a.update(version=1.0), "version"),
    (lambda a: a.update(type="GRAPHQL"), "GRAPHQL"),
    (lambda a: a.update(operations="x"), "operations"),
    (lambda a: a["endpointConfigurations"]["production"][0].update(endpoint="ftp://x"), "endpoint"),
    (lambda a: a["apiPolicies"]["request"][0]["parameters"]["productionModels"][0].update(weight=10001), "weight"),
    (lambda a: [m.update(weight=0) for m in a["apiPolicies"]["request"][0]["parameters"]["productionModels"]],
     "weight"),
])
def test_validate_names_file_line_field_and_fix(tmp_path, change, says):
    bad = api()
    change(bad)
    file = tmp_path / "bad.yaml"
    file.write_text(json.dumps(bad, indent=1))
    done = validate(file)
    text = done.stdout + done.stderr
    assert done.returncode == 1 and says in text and re.search(rf"{file}:\d+: error", text), text


def test_validate_of_unreadable_yaml_missing_file_and_no_file(tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text("name: [a\nbasePath: b\n")
    broken = validate(file)
    assert broken.returncode == 1 and re.search(rf"{file}:\d+", broken.stdout + broken.stderr)
    missing = validate(tmp_path / "missing.yaml")
    assert missing.returncode != 0 and "missing.yaml" in missing.stdout + missing.stderr
    assert validate().returncode == 2


def test_validate_finds_two_apis_on_one_path(tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(json.dumps(api(name, base_path="/same")))
    done = validate(tmp_path / "one.yaml", tmp_path / "two.yaml")
    assert done.returncode == 1 and "one" in done.stdout and "two" in done.stdout, done


def test_validate_reads_standard_input_and_speaks_json():
    done = validate("-", "--output", "json", stdin=json.dumps(api(version=1)))
    assert done.returncode == 1, done
    assert "version" in json.dumps(json.loads(done.stdout))


def test_nothing_is_left_running_after_sigterm(world):
    world.serve_directory({"api.yaml": api(), "secret.yaml": secret(apiKey=KEY)})
    plane = world.plane()
    assert plane.stop() == 0 and world.controller.stop() == 0 and world.mock_server.stop() == 0
