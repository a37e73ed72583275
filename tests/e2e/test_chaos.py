"""Two controllers and four data planes under kills, stops, cuts and holes: afterwards all of them know the same."""
import os
import time

import pytest

from conftest import LONG
from harness.chaos import MODELS, PATH, Fleet, disagreement, ruin, spread_ms
from harness.stack import KEY, Directory, api, quota, secret
from harness.wait import until
from harness import http

SECONDS = 60 if LONG else 15


@pytest.fixture
def fleet(world):
    world.mock()
    world.directory = Directory(world.folder / "config")
    world.directory.write("api.yaml", api(models=MODELS, sandbox=(), suspend=1))
    world.directory.write("secret.yaml", secret(apiKey=KEY))
    fleet = Fleet(world)
    yield fleet
    fleet.heal()
    fleet.close()


def until_agreed(fleet, seconds=30):
    def agreed():
        difference = disagreement(fleet)
        if difference:
            raise AssertionError(difference)
        return True
    until("every node knows the same", agreed, seconds)


def ask_until_suspended(plane, model):
    def suspended():
        http.ask(plane.http, "POST", PATH, http.CHAT)
        return model in plane.suspended()
    until(f"{model} is off the rota of {plane.name}", suspended)


def test_after_chaos_every_node_agrees_on_the_set_and_the_ends(fleet, world):
    seed = int(os.environ.get("ROTA_CHAOS_SEED") or time.time_ns() % 1_000_000)
    print(f"chaos: ROTA_CHAOS_SEED={seed}, {SECONDS} s")
    log = ruin(fleet, world.mock_server, SECONDS, seed)
    print("\n".join(log))
    healed = time.monotonic()
    for program in fleet.planes:
        program.wait_ready()
    # One that outlasts the comparison, so that there is something to agree on whatever the dice said.
    world.mock_server.behave({MODELS[0]: quota(300)})
    ask_until_suspended(fleet.planes[0], MODELS[0])
    until_agreed(fleet)
    number, spread = spread_ms(fleet)
    assert number >= 1
    print(f"chaos: {len(log)} faults; {time.monotonic() - healed:.1f} s after the end of it {number} targets are "
          f"suspended, on every node, ends at most {spread:.1f} ms apart")


def test_a_data_plane_moves_to_the_other_controller_and_the_fleet_stays_one(fleet, world):
    first, second = fleet.controllers
    first.kill()
    world.mock_server.behave({MODELS[0]: quota(100)})
    ask_until_suspended(fleet.planes[0], MODELS[0])
    for plane in fleet.planes:
        until(f"{plane.name} knows by way of the second controller", lambda p=plane: MODELS[0] in p.suspended(), 20)
    # The other way round: the first one comes back knowing nothing and is told by its peer.
    first.start()
    until_agreed(fleet)
    second.kill()
    restarted = fleet.planes[0]
    restarted.kill()
    restarted.start()
    until("the restarted data plane is told what it said itself", lambda: MODELS[0] in restarted.suspended(), 20)


def test_what_only_a_witness_remembers_is_told_to_controllers_that_know_nothing(fleet, world):
    world.mock_server.behave({MODELS[1]: quota(100)})
    origin = fleet.planes[0]
    ask_until_suspended(origin, MODELS[1])
    until_agreed(fleet)
    world.mock_server.forget()
    for program in [origin, *fleet.controllers]:
        program.kill()
    assert all(MODELS[1] in plane.suspended() for plane in fleet.planes[1:]), "without a controller each keeps its own"
    for program in [*fleet.controllers, origin]:
        program.start()
    until("the origin is told", lambda: MODELS[1] in origin.suspended(), 20)
    until_agreed(fleet)
