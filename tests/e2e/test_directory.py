"""APIs from a directory: the seed file as it stands, environments by host, changes while it serves."""
import pytest

from conftest import shared_file
from harness import http, seed
from harness.checks import check_key_rotation
from harness.stack import KEY, api, metric, secret
from harness.wait import until


@pytest.fixture(scope="module")
def seeded(module_world):
    text = shared_file("inputs/apk/chat-service.apk-conf.yaml").read_text()
    module_world.serve_directory({"chat-service.apk-conf.yaml": text,
                                  "secret.yaml": secret(seed.SECRET, apiKey=KEY)})
    module_world.plane()
    return module_world


def ask(world, path=seed.PATH, host=seed.PRODUCTION, body=http.CHAT, method="POST", **named):
    return http.ask(world.planes[0].http, method, path, body, host=host, **named)


def test_seed_file_shares_999_requests_exactly(seeded):
    seeded.mock_server.forget()
    seed.check_exact_share(seeded.planes[0].http)
    assert seeded.mock_server.requests()["total"] == 4 * 999


def test_provider_gets_the_key_and_nothing_of_the_caller(seeded):
    seeded.mock_server.forget()
    stolen = {"authorization": "Bearer sk-of-the-caller", "x-api-key": "caller-1", "api-key": "caller-2",
              "cookie": "session=caller-3", "openai-organization": "caller-4", "x-forwarded-host": "sandbox.evil"}
    assert ask(seeded, headers=stolen).status == 200
    got = seeded.mock_server.last()
    headers = got["headers"]
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["host"] == "api.openai.com"
    assert not [value for value in headers.values() if "caller" in str(value)], headers
    assert got["target"] == "/v1/chat/completions"


def test_body_is_forwarded_byte_for_byte_but_for_the_model(seeded):
    seeded.mock_server.forget()
    body = '{ "temperature" : 1.0e0,\n "model":"mine" , "messages":[{"role":"user","content":"\\u00e9 \U0001f680"}],"n":1 }'
    answer = ask(seeded, body=body.encode(), headers={"content-type": "application/json"})
    assert answer.status == 200, answer
    got = seeded.mock_server.last()
    assert got["body"] == body.replace('"mine"', f'"{answer.json()["model"]}"')


def test_missing_model_is_inserted_as_the_first_member(seeded):
    seeded.mock_server.forget()
    body = '{"messages":[{"role":"user","content":"Hi"}]}'
    answer = ask(seeded, body=body.encode(), headers={"content-type": "application/json"})
    assert answer.status == 200, answer
    got = seeded.mock_server.last()["body"]
    model = answer.json()["model"]
    assert got.replace(" ", "") == '{"model":"%s",%s' % (model, body[1:].replace(" ", "")), got


@pytest.mark.parametrize("host", ["sandbox.chat.example.com", "SANDBOX.chat.example.com:8080", "api.sandbox.local."])
def test_a_host_with_the_label_sandbox_is_sandbox(seeded, host):
    plane = seeded.planes[0]
    before = plane.metric("rota_requests_total", environment="sandbox")
    assert ask(seeded, host=host).status == 200
    until("rota_requests_total", lambda: plane.metric("rota_requests_total", environment="sandbox") == before + 1)


@pytest.mark.parametrize("host", ["chat.example.com", "mysandbox.example.com", "127.0.0.1"])
def test_any_other_host_is_production(seeded, host):
    plane = seeded.planes[0]
    before = plane.metric("rota_requests_total", environment="production")
    assert ask(seeded, host=host).status == 200
    until("rota_requests_total", lambda: plane.metric("rota_requests_total", environment="production") == before + 1)


def test_undeclared_paths_and_verbs(seeded):
    missing = ask(seeded, path="/chat-service-prod-sand/1.0/embeddings")
    assert missing.status == 404 and missing.error["message"] and missing.headers["x-rota-error"]
    wrong_verb = ask(seeded, method="DELETE", body=None)
    assert wrong_verb.status == 405 and wrong_verb.headers["allow"] == "POST"
    assert ask(seeded, path="/chat-service-prod-sand/2.0/chat/completions").status == 404
    assert ask(seeded, path=seed.PATH + "/").status == 200, "a trailing slash is optional"


def test_api_without_sandbox_models_answers_404_on_sandbox_hosts(seeded):
    seeded.directory.write("one.apk-conf.yaml", api("one", sandbox=(), secret_name=seed.SECRET))
    seeded.planes[0].wait_serves("/one/1.0/chat/completions", "one.example.com")
    assert ask(seeded, "/one/1.0/chat/completions", "one.example.com").status == 200
    assert ask(seeded, "/one/1.0/chat/completions", "sandbox.one.example.com").status == 404
    seeded.directory.remove("one.apk-conf.yaml")
    until("a removed file is a removed API", lambda: not seeded.planes[0].serves("/one/1.0/chat/completions"))


def test_broken_file_keeps_the_last_good_version(seeded):
    good = api("edited", models=("gpt-4o",), secret_name=seed.SECRET)
    path = "/edited/1.0/chat/completions"
    seeded.directory.write("edited.yaml", good)
    seeded.planes[0].wait_serves(path)
    seeded.directory.write("edited.yaml", "name: [unclosed\n  basePath: /edited\n")
    status = until("the controller says what is wrong with the file",
                   lambda: (text := http.get(seeded.controller.admin, "/debug/status").body)
                   and "edited.yaml" in text and text)
    assert "edited.yaml" in seeded.controller.text() + status
    assert ask(seeded, path).json()["model"] == "gpt-4o"
    bad = api("edited", models=("gpt-4o-mini",), secret_name=seed.SECRET)
    bad["apiPolicies"]["request"][0]["parameters"]["productionModels"][0]["weight"] = -1
    seeded.directory.write("edited.yaml", bad)
    until("the bad weight is named", lambda: "weight" in http.get(seeded.controller.admin, "/debug/status").body)
    assert ask(seeded, path).json()["model"] == "gpt-4o"
    seeded.directory.write("edited.yaml", api("edited", models=("gpt-4o-mini",), secret_name=seed.SECRET))
    until("the corrected file is served", lambda: ask(seeded, path).json()["model"] == "gpt-4o-mini")
    seeded.directory.remove("edited.yaml")


def test_changing_one_api_leaves_another_one_s_turn_alone(seeded):
    seeded.directory.write("other.yaml", api("other", secret_name=seed.SECRET))
    seeded.planes[0].wait_serves("/other/1.0/chat/completions")
    models = [ask(seeded).json()["model"] for _ in range(4)]
    seeded.directory.write("other.yaml", api("other", models=("gpt-5",), secret_name=seed.SECRET))
    until("the change is served", lambda: ask(seeded, "/other/1.0/chat/completions").json()["model"] == "gpt-5")
    models += [ask(seeded).json()["model"] for _ in range(5)]
    assert models[:3] == models[3:6] == models[6:9] and len(set(models[:3])) == 3
    seeded.directory.remove("other.yaml")


def test_a_directory_that_is_empty_for_a_while_costs_no_api(world):
    """As when a volume is not mounted."""
    names = [f"api-{number}" for number in range(60)]
    world.serve_directory({**{f"{name}.yaml": api(name) for name in names}, "secret.yaml": secret(apiKey=KEY)})
    plane = world.plane()
    until("all are served", lambda: plane.metric("rota_apis") == 60)
    away = world.folder / "away"
    away.mkdir()
    for name in names:
        (world.directory.path / f"{name}.yaml").rename(away / f"{name}.yaml")
    held = "rota_controller_held_removals"
    until("the removals are held", lambda: metric(http.get(world.controller.admin, "/metrics").body, held) > 0, 10)
    assert plane.metric("rota_apis") >= 10
    for name in names:
        (away / f"{name}.yaml").rename(world.directory.path / f"{name}.yaml")
    until("nothing is held", lambda: metric(http.get(world.controller.admin, "/metrics").body, held) == 0, 10)
    until("all are served", lambda: plane.metric("rota_apis") == 60)


def test_a_gateway_of_the_directory_beside_the_one_of_the_flags(world):
    gateway = {"apiVersion": "gateway.rota.dev/v1alpha1", "kind": "RotaGateway",
               "metadata": {"name": "edge"}, "spec": {}}
    world.serve_directory({"api.yaml": api(gateways=["edge"]), "secret.yaml": secret(apiKey=KEY), "gateway.yaml": gateway})
    here, edge = world.plane(name="here"), world.plane("--gateway", "default/edge", name="edge")
    path = "/assistant/1.0/chat/completions"
    edge.wait_serves(path)
    assert not here.serves(path)
    status = http.get(world.controller.admin, "/debug/status").json()
    assert [entry["name"] for entry in status["gateways"]] == ["default/default", "default/edge"]
    nobody = world.plane("--gateway", "default/egde", name="nobody", wait=False)
    until("the data plane is told which gateways there are", lambda: "'default/default', 'default/edge'" in nobody.text())

    world.directory.remove("gateway.yaml")
    until("the data plane is told", lambda: "no longer served" in edge.text() or "no gateway" in edge.text())
    assert edge.serves(path)


def test_rotated_secret_is_used_within_a_second_without_a_failed_request(world):
    world.serve_directory({"api.yaml": api(), "secret.yaml": secret(apiKey="sk-old")}, key=None)
    check_key_rotation(world, "/assistant/1.0/chat/completions",
                       lambda: world.directory.write("secret.yaml", secret(apiKey="sk-new")))
