import os
import pathlib
import re

import pytest

from harness import kube
from harness.process import BIN, STARTED
from harness.stack import World

SHARED = pathlib.Path(os.environ.get("ROTA_SHARED_DIR")
                      or pathlib.Path(__file__).resolve().parents[2].parent / "shared")
LONG = os.environ.get("ROTA_E2E_MODE", "ci") == "long"


def shared_file(path):
    file = SHARED / path
    if not file.exists():
        pytest.skip(f"{path} is not below ROTA_SHARED_DIR ({SHARED})")
    return file


@pytest.fixture(scope="session", autouse=True)
def binaries():
    missing = [name for name in ("rota-controller", "rota-dataplane", "rotactl", "rota-mock-llm")
               if not (BIN / name).exists()]
    assert not missing, f"{missing} not in {BIN}: run scripts/build release, or set ROTA_BIN"


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.close()


@pytest.fixture(scope="module")
def module_world(tmp_path_factory, request):
    world = World(tmp_path_factory.mktemp(request.module.__name__.rpartition(".")[2]))
    yield world
    world.close()


@pytest.fixture(scope="session")
def server():
    with kube.running_server() as server:
        yield server


@pytest.fixture
def kubectl(server, tmp_path, request):
    """kubectl in a namespace of this test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_"))[:40].strip("-")
    namespace = f"{name}-{os.urandom(3).hex()}"
    kube.Kubectl(server, tmp_path)("create", "namespace", namespace)
    return kube.Kubectl(server, tmp_path, namespace)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure shows the end of the log of every program that the test could have touched."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for program in STARTED:
            report.sections.append((f"log of {program.name} ({program.log})", program.tail()))


def pytest_runtest_setup(item):  # pylint: disable=unused-argument
    STARTED[:] = [program for program in STARTED if program.running]
