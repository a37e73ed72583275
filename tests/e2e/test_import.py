"""rotactl import: files of other gateways become what the controller serves."""
import pathlib
import subprocess
import sys

import pytest

from conftest import shared_file
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
