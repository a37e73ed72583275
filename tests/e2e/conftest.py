import pathlib
import os

import pytest

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
