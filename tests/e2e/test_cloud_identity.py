"""Ambient cloud identities: Bedrock as the pod's role (through STS), Azure OpenAI with an Entra token; for namespaces
that the gateway lists. The mock of Bedrock takes only what botocore would have signed with the keys that STS gave."""
import pytest

from harness import aws, http, token_service
from harness.scripted_provider import Provider, Reply
from harness.stack import api, model_policy, targets, URL, security, secret, KEY
from harness.wait import until

LISTED = ("--ambient-identity-namespace", "default")
ROLE = "arn:aws:iam::111122223333:role/rota"
WEB_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJyb3RhIn0.c2lnbmF0dXJl"
ENTRA_TOKEN = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJhenVyZSJ9.ZW50cmE"
OTHER_KEYS = ("AKIDOTHER", "anotherSecretAccessKey/ofTheNextHour+1234", "the-next-session/token==")
CONVERSED = {"output": {"message": {"role": "assistant", "content": [{"text": "Three."}]}}, "stopReason": "end_turn",
             "usage": {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7}}
COMPLETED = {"id": "c", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Three."}, "finish_reason": "stop"}]}


class Bedrock(Provider):
    """Answers whom STS has given keys to; `signers`: how often each access key has signed."""

    def __init__(self):
        self.known, self.signers = [aws.KEYS, OTHER_KEYS], []
        super().__init__(self._converse)

    def _converse(self, request):
        for keys in self.known:
            if aws.signature_problem(request, keys) is None:
                self.signers.append(keys[0])
                return Reply(CONVERSED)
        return Reply({"message": aws.signature_problem(request)}, 403,
                     headers={"x-amzn-errortype": "InvalidSignatureException"})


def ambient(cloud):
    return {"enabled": True, "securityType": {"ambientIdentity": cloud}}


def bedrock_api(url, name="nova", others=()):
    """`others`: models of the OpenAI mock beside the one of Bedrock."""
    endpoints = [{"name": "bedrock", "endpoint": url, "provider": "bedrock", "endpointSecurity": ambient("AWS"),
                  "providerOptions": {"region": "eu-west-1"}},
                 {"endpoint": URL, "endpointSecurity": security()}]
    models = [{"model": "us.amazon.nova-micro-v1:0", "endpoint": "bedrock"}, *targets(others)]
    return {"name": name, "basePath": f"/{name}", "version": "1.0",
            "endpointConfigurations": {"production": endpoints[:1 + bool(others)]},
            "operations": [{"target": "/chat/completions", "verb": "POST"}],
            "apiPolicies": {"request": [model_policy(models, [], onQuotaExceedSuspendDuration=60)]}}


def ask(plane, name="nova"):
    return http.ask(plane.http, "POST", f"/{name}/1.0/chat/completions", http.CHAT)


@pytest.fixture
def bedrock():
    provider = Bedrock()
    yield provider
    provider.close()


@pytest.fixture
def sts(world):
    service = token_service.TokenService(world.authority, lambda _: token_service.sts_keys(aws.KEYS))
    yield service
    service.close()


@pytest.fixture
def eks(world, sts):
    """The environment of a pod on EKS."""
    file = world.folder / "web-identity-token"
    file.write_text(WEB_TOKEN)
    return {"AWS_ROLE_ARN": ROLE, "AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL_STS": sts.url}


def status(world):
    return http.get(world.controller.admin, "/debug/status").body


def no_secret_is_told(plane, *secrets):
    told = plane.text() + plane.metrics_text() + http.get(plane.admin, "/debug/config").body
    for value in secrets:
        assert value not in told


def test_requests_to_bedrock_are_signed_as_the_pods_role(world, bedrock, sts, eks):
    world.serve_directory({"one.yaml": bedrock_api(bedrock.url), "two.yaml": bedrock_api(bedrock.url, "lite")}, *LISTED)
    plane = world.plane(env=eks)
    for name in ("nova", "lite"):
        for _ in range(5):
            answer = ask(plane, name)
            assert answer.status == 200, answer
            assert answer.json()["choices"][0]["message"]["content"] == "Three."
    assert bedrock.signers == [aws.ACCESS_KEY] * 10
    [asked] = sts.asked  # once for all APIs and requests
    assert asked.path == "/" and asked.headers["host"] == sts.url.removeprefix("https://")
    assert asked.form == {"Action": "AssumeRoleWithWebIdentity", "Version": "2011-06-15", "RoleArn": ROLE,
                          "RoleSessionName": "dataplane", "WebIdentityToken": WEB_TOKEN}
    assert 3000 < plane.metric("rota_identity_usable_seconds", identity="aws") <= 3600
    assert plane.metric("rota_identity_fetches_total", identity="aws", result="ok") == 1
    no_secret_is_told(plane, aws.SECRET_KEY, aws.TOKEN, WEB_TOKEN)
    plane.stop()  # its last known good file is written now
    state = b"".join(file.read_bytes() for file in plane.state.iterdir())
    assert b"/nova" in state and aws.SECRET_KEY.encode() not in state and aws.TOKEN.encode() not in state


def test_keys_are_renewed_before_they_end_and_no_request_fails(world, bedrock, sts, eks):
    answers = [token_service.sts_keys(aws.KEYS, 8), token_service.sts_keys(OTHER_KEYS)]
    sts.answer = lambda _: answers.pop(0)
    world.serve_directory({"one.yaml": bedrock_api(bedrock.url)}, *LISTED)
    plane = world.plane(env=eks)
    (world.folder / "web-identity-token").write_text("the-next-" + WEB_TOKEN)

    def renewed():
        assert ask(plane).status == 200
        return OTHER_KEYS[0] in bedrock.signers

    until("the next keys sign", renewed, 15)
    assert bedrock.signers[0] == aws.ACCESS_KEY
    assert [asked.form["WebIdentityToken"] for asked in sts.asked] == [WEB_TOKEN, "the-next-" + WEB_TOKEN]


def test_without_an_identity_the_other_targets_serve_until_it_comes(world, bedrock, sts, eks):
    sts.answer = lambda _: token_service.sts_refusal()
    files = {"mixed.yaml": bedrock_api(bedrock.url, "mixed", ["gpt-4o"]), "nova.yaml": bedrock_api(bedrock.url),
             "key.yaml": secret(apiKey=KEY)}
    world.serve_directory(files, *LISTED)
    plane = world.plane(env=eks)
    for _ in range(4):
        assert ask(plane, "mixed").json()["model"] == "gpt-4o"
    refused = ask(plane)
    assert refused.status == 503 and refused.error["code"] == "no_usable_target", refused
    assert not bedrock.requests
    assert "AccessDenied: Not authorized" in plane.text()
    assert "AccessDenied" in http.get(plane.admin, "/readyz").body
    assert plane.metric("rota_identity_usable_seconds", identity="aws") == 0
    assert plane.metric("rota_identity_fetches_total", identity="aws", result="failed") >= 1
    sts.answer = lambda _: token_service.sts_keys(aws.KEYS)
    until("the target is back", lambda: ask(plane).status == 200, 20)
    until("it has its share of the other API", lambda: ask(plane, "mixed").json()["model"] != "gpt-4o")


def test_an_identity_that_ends_takes_its_targets_off_the_rota(world, bedrock, sts, eks):
    answers = [token_service.sts_keys(aws.KEYS, 5)]
    sts.answer = lambda _: answers.pop(0) if answers else token_service.sts_refusal("ExpiredTokenException", "Expired")
    world.serve_directory({"nova.yaml": bedrock_api(bedrock.url)}, *LISTED)
    plane = world.plane(env=eks)
    assert ask(plane).status == 200
    until("nothing is signed any more", lambda: ask(plane).status == 503, 15)
    assert "cloud identity expired" in plane.text() and "ExpiredTokenException" in plane.text()


def test_a_token_service_that_is_not_trusted_is_told_nothing(world, bedrock, sts, eks):
    world.serve_directory({"nova.yaml": bedrock_api(bedrock.url)}, *LISTED)
    plane = world.plane(env={**eks, "AWS_ENDPOINT_URL_STS": sts.url.replace("127.0.0.1", "localhost")})
    assert ask(plane).status == 503
    assert not sts.asked and "not trusted" in plane.text()


def test_an_api_of_a_namespace_that_is_not_listed_is_refused(world, bedrock, sts, eks):
    world.serve_directory({"nova.yaml": bedrock_api(bedrock.url)}, "--ambient-identity-namespace", "another")
    plane = world.plane(env=eks)
    assert ask(plane).status == 404
    assert "AmbientIdentityNotAllowed" in status(world)
    assert not sts.asked and not bedrock.requests


def test_a_gateways_list_decides_and_can_be_changed(world, bedrock, sts, eks):
    def gateway(*namespaces):
        return {"apiVersion": "gateway.rota.dev/v1alpha1", "kind": "RotaGateway",
                "metadata": {"name": "default", "namespace": "default"},
                "spec": {"allowLocalUpstreams": True, "ambientIdentityNamespaces": list(namespaces)}}

    world.serve_directory({"nova.yaml": bedrock_api(bedrock.url), "gateway.yaml": gateway("default")})
    plane = world.plane(env=eks).wait_serves("/nova/1.0/chat/completions")
    until("it is signed", lambda: ask(plane).status == 200)
    world.directory.write("gateway.yaml", gateway())
    until("the right is gone", lambda: ask(plane).status == 404)
    assert "ambientIdentityNamespaces" in status(world)


def test_a_data_plane_without_an_identity_says_so(world, bedrock):
    world.serve_directory({"nova.yaml": bedrock_api(bedrock.url)}, *LISTED)
    plane = world.plane()
    assert ask(plane).status == 503
    until("the status names the variable", lambda: "AWS_ROLE_ARN is not set" in status(world))


def test_azure_gets_an_entra_token(world):
    asked_of_azure = Provider(lambda request: Reply(COMPLETED))
    entra = token_service.TokenService(world.authority, lambda _: token_service.entra_token(ENTRA_TOKEN))
    try:
        file = world.folder / "azure-identity-token"
        file.write_text(WEB_TOKEN)
        azure = api("azure", ["gpt-4o"], (), url=asked_of_azure.url, secret_name=None)
        endpoint = azure["endpointConfigurations"]["production"][0]
        endpoint |= {"provider": "azure", "endpointSecurity": ambient("Azure"),
                     "providerOptions": {"apiVersion": "2024-10-21"}}
        world.serve_directory({"azure.yaml": azure}, *LISTED)
        plane = world.plane(env={"AZURE_CLIENT_ID": "the-client", "AZURE_TENANT_ID": "the-tenant",
                                 "AZURE_FEDERATED_TOKEN_FILE": str(file), "AZURE_AUTHORITY_HOST": entra.url + "/"})
        answer = ask(plane, "azure")
        assert answer.status == 200, answer
        [request] = asked_of_azure.requests
        assert request.headers["authorization"] == f"Bearer {ENTRA_TOKEN}"
        assert request.path == "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
        [asked] = entra.asked
        assert asked.path == "/the-tenant/oauth2/v2.0/token"
        assert asked.form == {
            "grant_type": "client_credentials", "client_id": "the-client",
            "scope": "https://cognitiveservices.azure.com/.default", "client_assertion": WEB_TOKEN,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
        assert 3000 < plane.metric("rota_identity_usable_seconds", identity="azure") <= 3600
        no_secret_is_told(plane, ENTRA_TOKEN, WEB_TOKEN)
    finally:
        entra.close()
        asked_of_azure.close()
