"""rotactl import: files of other gateways become what the controller serves."""
import pathlib
import subprocess
import sys

import pytest

from conftest import shared_file
from harness import kube
from harness.process import run
from harness.wait import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
GATEWAYS = ["kong", "trustgate", "agentcc", "apk"]


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_example_is_imported_and_served_against_mocks(gateway):
    done = subprocess.run([sys.executable, ROOT / "scripts/lib/quickstart.py", "--once", "--example", gateway],
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Everything shown was true" in done.stdout


@pytest.mark.parametrize("gateway", GATEWAYS)
def test_example_directories_pass_validation(gateway):
    done = run("rotactl", "validate", ROOT / "examples" / gateway / "config")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_post_body_on_standard_input():
    body = (ROOT / "examples/trustgate/upstream.json").read_text()
    done = run("rotactl", "import", "trustgate", "-", stdin=body)
    assert done.returncode == 0, done.stderr
    assert "kind: API" in done.stdout and "replace-me" in done.stdout
    assert "mapped:" in done.stderr


@pytest.mark.parametrize("gateway, file, path, models", [
    ("kong", "kong/openai-and-ollama.deck.yaml", "/route1", {"gpt-4.1", "llama3.2:1b"}),
    ("kong", "kong/bedrock.deck.yaml", "/bedrock-route",
     {"us.amazon.nova-micro-v1:0", "us.meta.llama3-3-70b-instruct-v1:0"}),
    ("trustgate", "trustgate/upstream.json", "/ai-providers-upstream/chat/completions",
     {"gpt-4o-mini", "claude-3-5-sonnet-20241022"}),
    ("agentcc", "agentcc/routing-policy.yaml", "/support-equal-split/chat/completions", {"gpt-4o-mini"}),
])
def test_seed_files_are_served_unmodified(world, tmp_path, gateway, file, path, models):
    source = shared_file(f"inputs/{file}")
    config = tmp_path / "imported"
    done = run("rotactl", "import", gateway, source, "-o", config)
    assert done.returncode == 0, done.stdout + done.stderr
    world.serve_directory({f.name: f.read_text() for f in config.iterdir()}, key=None)
    plane = world.plane()
    until("the imported models are served",
          lambda: {target["model"] for rotation in plane.rotations() for target in rotation["targets"]} == models)
    assert plane.serves(path)


def refusals(cluster, manifests):
    """What the API server, strictly, and rotactl have against a file or a directory."""
    applied = cluster.run("apply", "--dry-run=server", "--validate=strict", "-f", manifests)
    validated = run("rotactl", "validate", manifests)
    return [done.stderr + done.stdout for done in (applied, validated) if done.returncode != 0]


def test_server_and_rotactl_take_what_imports_have_made(server, tmp_path):
    cluster = kube.Kubectl(server, tmp_path, None)
    cluster.run("create", "namespace", "models")  # of an APK's API; may be there
    made = [file for file in sorted((ROOT / "cli/import/testdata").glob("*.out.yaml"))
            if "\nkind: API\n" in file.read_text()]
    made += [ROOT / "examples" / gateway / "config" for gateway in GATEWAYS]
    assert len(made) > len(GATEWAYS)
    wrong = {str(path.relative_to(ROOT)): found for path in made if (found := refusals(cluster, path))}
    assert not wrong, wrong


@pytest.mark.parametrize("gateway, file", [
    ("kong", "kong/openai-and-ollama.deck.yaml"), ("kong", "kong/bedrock.deck.yaml"),
    ("trustgate", "trustgate/upstream.json"), ("agentcc", "agentcc/routing-policy.yaml"),
    ("apk", "apk/chat-service.apk-conf.yaml")])
def test_server_and_rotactl_take_imported_seed_files(server, tmp_path, gateway, file):
    source = shared_file(f"inputs/{file}")
    made = tmp_path / "imported"
    done = run("rotactl", "import", gateway, source, "-o", made)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(made.glob("*.api.yaml")) and not refusals(kube.Kubectl(server, tmp_path), made)
