"""Resident memory: idle, under load, and with 5,000 APIs."""
import time

from lib import peers
from lib.peers.rota import api
from lib.processes import memory_mib
from lib.stage import CONNECTIONS, Stage, say
from lib.table import Row, table

IDLE_BAR_MIB = 20
ANONYMOUS_BAR_MIB = 8
LOADED_BAR_MIB = 32
APIS_BAR_MIB = 45
APIS = 5000


def both(engine):
    return {"rss": memory_mib(engine.pid), "anonymous": memory_mib(engine.pid, "RssAnon")}


def loaded(stage, engine, *arguments):
    """The peak while 64 connections are busy for two seconds."""
    child = stage.start_load(engine, "--connections", CONNECTIONS, "--duration", "2s", *arguments)
    peak = both(engine)
    while child.poll() is None:
        now = both(engine)
        peak = max(peak, now, key=lambda value: value["rss"])
        time.sleep(0.05)
    stage.finish_load(engine, child)
    return peak


def measure(options):
    say("memory")
    with Stage(options, "one") as stage:
        mock = stage.mock()
        engines = stage.engines(peers.fast(options.engines), mock)
        time.sleep(1)
        found = {"idle": {engine.name: both(engine) for engine in engines}}
        found["loaded"] = {engine.name: loaded(stage, engine) for engine in engines}
    if "rota" not in options.engines:
        return found
    with Stage(options, "one") as stage:
        mock = stage.mock()
        apis = [api(mock.url)] + [api(mock.url, f"api-{n}") for n in range(APIS - 1)]
        engine = stage.engine("rota", mock, apis=apis)
        time.sleep(1)
        found["apis"] = {"rota": both(engine)}
        # Counters and histograms of an API come with its first request.
        found["used"] = {"rota": loaded(stage, engine, "--path", "/api-{n}/1.0/chat/completions", "--paths", APIS - 1)}
    return found


SHAPES = (("idle", "idle", IDLE_BAR_MIB), ("loaded", f"loaded ({CONNECTIONS} connections)", LOADED_BAR_MIB),
          ("apis", f"with {APIS:,} APIs", APIS_BAR_MIB))


def rows(found, _options):
    made = []
    for key, what, bar in SHAPES:
        rota = found.get(key, {}).get("rota")
        if rota or key != "apis":
            made.append(Row(f"resident memory {what} (MiB)", f"<= {bar}",
                            {name: f"{value['rss']:.1f}" for name, value in found[key].items()},
                            met=None if rota is None else rota["rss"] <= bar))
        if key == "idle":
            made.append(Row("anonymous memory idle (MiB)", f"<= {ANONYMOUS_BAR_MIB}",
                            {name: f"{value['anonymous']:.1f}" for name, value in found[key].items()},
                            met=None if rota is None else rota["anonymous"] <= ANONYMOUS_BAR_MIB))
    return made


def details(found):
    shown = [*SHAPES, ("used", f"{APIS:,} APIs, each of them used", None)]
    return table(["", "engine", "resident MiB", "anonymous MiB"], [
        [what, peers.title(name), f"{value['rss']:.1f}", f"{value['anonymous']:.1f}"]
        for key, what, _ in shown for name, value in found.get(key, {}).items()])
