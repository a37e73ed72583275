"""A fleet on roads that break: kills, stops, cuts and holes at random, from a seed."""
import random
import signal
import threading
import time

from harness import http
from harness.relay import CUT, HOLE, OPEN, Relay
from harness.stack import Controller, DataPlane, quota
from harness.wait import until

PATH = "/assistant/1.0/chat/completions"
MODELS = tuple(f"model-{i}" for i in range(12))


class Fleet:
    """Two controllers that exchange suspensions and four data planes; every stream goes through a relay."""

    def __init__(self, world, planes=4):
        self.world = world
        self.relays = []
        source = f"dir:{world.directory.path}"
        to_second = self._relay("first-second")
        first = Controller(world.folder, source, "--peers", to_second.address, name="controller-1")
        world.add(first)
        to_first = self._relay("second-first", first.listen)
        second = world.add(Controller(world.folder, source, "--peers", to_first.address, name="controller-2"))
        to_second.target = second.listen
        self.controllers = [first, second]
        for controller in self.controllers:
            controller.pin_addresses()
        self.planes = []
        for i in range(planes):
            roads = [self._relay(f"plane-{i}-controller-{k}", controller.listen)
                     for k, controller in enumerate(self.controllers)]
            plane = DataPlane(world.folder, ",".join(road.address for road in roads), world.mock_server, world.authority,
                              name=f"plane-{i}", threads=1)
            self.planes.append(world.add(plane).wait_ready())
            for flag in ("http", "admin", "metrics"):  # a restart takes the same addresses
                plane.command[plane.command.index(f"--{flag}") + 1] = plane.ports[flag]
        self.programs = self.controllers + self.planes
        self.stopped = set()

    def _relay(self, name, target=None):
        self.relays.append(Relay(name, target))
        return self.relays[-1]

    def close(self):
        for relay in self.relays:
            relay.close()

    def heal(self):
        for relay in self.relays:
            relay.set(OPEN)
        for program in self.programs:
            self.bring_back(program)

    def bring_back(self, program):
        if program in self.stopped:
            self.stopped.discard(program)
            program.signal(signal.SIGCONT)
        if not program.running:
            program.start()

    def harm(self, dice, log):
        """Does one bad thing; returns what mends it, and after how long."""
        what = dice.choice(("kill", "kill", "stop", "cut", "cut", "hole", "hole"))
        seconds = dice.uniform(0.2, 3.0)
        if what in ("cut", "hole"):
            relay = dice.choice(self.relays)
            log.append(f"{what} {relay.name} for {seconds:.1f} s")
            relay.set(CUT if what == "cut" else HOLE)
            return seconds, lambda: relay.set(OPEN)
        program = dice.choice(self.programs)
        if not program.running or program in self.stopped:
            return 0.0, lambda: None
        log.append(f"{what} {program.name} for {seconds:.1f} s")
        if what == "kill":
            program.kill()
        else:
            self.stopped.add(program)
            program.signal(signal.SIGSTOP)
        return seconds, lambda: self.bring_back(program)


class LightLoad:
    """One client per data plane, about 20 requests a second each; failures are what chaos is about and count for nothing."""

    def __init__(self, planes):
        self._planes = planes
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(plane,), daemon=True) for plane in planes]
        self.answered = 0

    def _client(self, plane):
        while not self._stop.is_set():
            try:
                if http.ask(plane.http, "POST", PATH, http.CHAT, timeout=2).status == 200:
                    self.answered += 1
            except OSError:
                pass
            self._stop.wait(0.05)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(10)


def ruin(fleet, mock, seconds, seed):
    """Chaos for that long, under a light load that suspends models for random times. Returns the log of it."""
    dice = random.Random(seed)
    log = []
    pending = []  # (when, mend)
    end = time.monotonic() + seconds
    with LightLoad(fleet.planes) as load:
        while time.monotonic() < end:
            model = dice.choice(MODELS)
            mock.behave({model: quota(dice.randint(2, 40) if dice.random() < 0.5 else dice.randint(60, 200))
                         if dice.random() < 0.7 else None})
            delay, mend = fleet.harm(dice, log)
            pending.append((time.monotonic() + delay, mend))
            pause = time.monotonic() + dice.uniform(0.1, 0.8)
            while time.monotonic() < pause:
                due = [entry for entry in pending if entry[0] <= time.monotonic()]
                pending = [entry for entry in pending if entry not in due]
                for _, mend in due:
                    mend()
                time.sleep(0.01)
        fleet.heal()
    assert load.answered > seconds, "the load was served hardly ever"
    return log


def ends(program, of):
    """{target: end on this machine's monotonic clock}, read so quickly that the error is below 5 ms."""
    def read():
        before = time.monotonic()
        answer = http.get(program.admin, of)
        after = time.monotonic()
        assert answer.status == 200, answer
        return after - before < 0.01 and ((before + after) / 2, answer.json())
    middle, page = until(f"{program.name} shows {of} at once", read, 30)
    if "suspensions" in page:
        return {item["target"]: middle + item["remaining_seconds"] for item in page["suspensions"]}
    return {target["id"]: middle + target["suspension"]["remaining_seconds"]
            for api in page["apis"] for rotation in api["rotations"] for target in rotation["targets"]
            if target.get("suspension")}


def disagreement(fleet, tolerance=0.050):
    """None when every node knows the same targets with the same ends; else what differs."""
    found = {controller.name: ends(controller, "/debug/suspensions") for controller in fleet.controllers}
    found.update({plane.name: ends(plane, "/debug/rotations") for plane in fleet.planes})
    # What ends while this looks around is in some answers only.
    soon = time.monotonic() + 1
    found = {name: {target: end for target, end in of.items() if end > soon} for name, of in found.items()}
    for target in set().union(*found.values()):
        missing = [name for name, of in found.items() if target not in of]
        if missing:
            return f"{target} is not suspended at {missing}"
        all_ends = {name: of[target] for name, of in found.items()}
        spread = max(all_ends.values()) - min(all_ends.values())
        if spread > tolerance:
            return f"ends of {target} are {spread * 1000:.0f} ms apart: {all_ends}"
    return None


def spread_ms(fleet):
    """(number of suspended targets, largest difference between two nodes' ends in ms); after agreement."""
    found = [ends(controller, "/debug/suspensions") for controller in fleet.controllers]
    found += [ends(plane, "/debug/rotations") for plane in fleet.planes]
    common = set(found[0]).intersection(*found)
    return len(common), max((max(f[t] for f in found) - min(f[t] for f in found)) * 1000 for t in common)
