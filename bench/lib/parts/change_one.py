"""One API changed among 5,000, while requests go on: how long the data plane takes to apply it, and whether a request
notices. The same load without changes is the measure of what this machine does by itself."""
import statistics
import time

from lib.changes import Changer, apis, on_cpus
from lib.stage import CONNECTIONS, Stage, say
from lib.table import Row, table

APIS = 5000
RATE = 1000
APPLY_BAR_MS = 2
SLOW_MS = 5
GAP_SECONDS = 0.4


def start_load(stage, engine, seconds):
    return stage.start_load(engine, "--connections", CONNECTIONS, "--rate", RATE, "--duration", f"{seconds:.0f}s",
                            "--slow", f"{SLOW_MS}ms")


def change_and_see(engine, changer, count):
    """[(Change, seconds that the data plane took to apply it)]"""
    seen = []
    for _ in range(count):
        before, _ = engine.applied()
        change = changer.lone(1, 0)[0]
        deadline = time.monotonic() + 2
        snapshot, seconds = engine.applied()
        while snapshot == before and time.monotonic() < deadline:
            time.sleep(0.01)
            snapshot, seconds = engine.applied()
        seen.append((change, seconds))
        time.sleep(GAP_SECONDS)
    return seen


def window(change):
    """When it may be felt: from the write to a little after it was served. Seconds."""
    return change.written, (change.served or change.written) + SLOW_MS / 1000


def overlapping(slow, changes):
    """The slow answers that were under way then."""
    return [answer for answer in slow if any(
        answer["due_ns"] / 1e9 <= window(change)[1] and
        answer["due_ns"] / 1e9 + answer["us"] / 1e6 >= window(change)[0] for change in changes)]


def measure(options):
    say(f"one API changed among {APIS:,}")
    count = 6 if options.short else 40
    # The controller gives way to the load: what it computes must not look like the data plane's doing.
    with Stage(options, "split" if options.cpus > 1 else "one") as stage:
        mock = stage.mock()
        engine = stage.engine("rota", mock, apis=apis(mock.url, APIS), controller_nice=19)
        changer = Changer(engine, mock.url, APIS)
        seconds = count * (GAP_SECONDS + 0.1) + 1
        with on_cpus(stage.cpus):
            changer.lone(2, 0.2)
            quiet = stage.finish_load(engine, start_load(stage, engine, seconds))
            child = start_load(stage, engine, seconds)
            time.sleep(0.5)
            seen = change_and_see(engine, changer, count)
            busy = stage.finish_load(engine, child)
    changes = [change for change, _ in seen]
    found = {"changes": count, "apply_ms": [seconds * 1000 for _, seconds in seen],
             "served_ms": [change.seconds * 1000 for change in changes],
             "failures": changer.failures, "during": len(overlapping(busy["slow"], changes)),
             # As many would have been slow in that time without any change.
             "by_chance": quiet["slow_count"] / seconds * sum(end - start for start, end in map(window, changes))}
    for name, result in (("quiet", quiet), ("busy", busy)):
        found[name] = {"slow": result["slow_count"], "requests": result["requests"]} | {
            key: result["latency_us"][key] for key in ("p50", "p99", "p999", "max")}
    say(f"  apply {statistics.median(found['apply_ms']):.2f} ms, worst {max(found['apply_ms']):.2f} ms; slow answers: "
        f"{found['quiet']['slow']} without, {found['busy']['slow']} with changes, {found['during']} during one")
    return found


def rows(found, _options):
    unserved = sum(value == float("inf") for value in found["served_ms"])
    noticed = found["during"] > 2 * found["by_chance"] + 1
    return [
        Row(f"one API changed among {APIS:,}: applied in the data plane, median / worst (ms)", f"<= {APPLY_BAR_MS}",
            {"rota": f"{statistics.median(found['apply_ms']):.2f} / {max(found['apply_ms']):.2f}"},
            max(found["apply_ms"]) <= APPLY_BAR_MS, failed=unserved > 0 or found["failures"] > 0),
        Row(f"... requests slower than {SLOW_MS} ms during a change (expected from the run without changes)",
            "none because of it", {"rota": f"{found['during']} ({found['by_chance']:.1f})"}, not noticed)]


def details(found):
    return [f"{found['changes']} changes while {RATE} requests a second go to another API.", "", *table(
        ["", "requests", "p50 / p99 / p99.9 / max us", f"slower than {SLOW_MS} ms"],
        [[title, found[key]["requests"],
          " / ".join(f"{found[key][name]:.0f}" for name in ("p50", "p99", "p999", "max")), found[key]["slow"]]
         for title, key in (("without changes", "quiet"), ("with changes", "busy"))]),
        "", f"From the write to served, the controller giving way to the load: median "
        f"{statistics.median(found['served_ms']):.1f} ms, worst {max(found['served_ms']):.1f} ms."]
