"""SSE streams, all open at once, an event every 100 ms: none may be lost, none held back. 1,000 for the delay, 5,000
for the memory, 5,000 with TLS towards the client."""
import statistics
import time

from lib import peers
from lib.processes import cpu_between, cpu_seconds, memory_mib
from lib.stage import Stage, say
from lib.table import Row, median_of, table

EVENT_SECONDS = 0.1
# Between two looks at the memory. Each stops the event loops for half a millisecond; ten a second would be every
# hundredth event, which is the p99.
MEMORY_SECONDS = 1
START_SECONDS = 1  # all are connected first, then started within this time
DELAY_BAR_US = 100
COMPARED = ("nginx", "rota")
# The p99 of a round is how fast a halted virtual CPU was woken, whoever runs on it: rounds differ by a factor of three.
ROUNDS, ROUNDS_COMPARED = 3, 15
PLAIN_BAR_MIB = 100
TLS_BAR_MIB = 300


def run(stage, engine, streams, chunks):
    """One engine under `streams` streams of `chunks` events."""
    before = cpu_seconds(engine.pid) if engine.pid else None
    idle = memory_mib(engine.pid) if engine.pid else 0
    child = stage.start_load(engine, "--streams", streams, "--rate", streams / START_SECONDS, "--duration",
                             f"{chunks * EVENT_SECONDS + 60:.0f}s", stream=True)
    peak = idle
    while child.poll() is None:
        peak = max(peak, memory_mib(engine.pid)) if engine.pid else 0
        time.sleep(MEMORY_SECONDS)
    result = stage.finish_load(engine, child, strict=False)
    spent = cpu_between(before, cpu_seconds(engine.pid))[0] if engine.pid else 0
    say(f"  {streams} streams: {engine.name} finished {result['streams_finished']}, p99 "
        f"{result['chunk_delay_us']['p99']:.0f} us, {peak:.0f} MiB")
    return {"streams": streams, "finished": result["streams_finished"], "errors": result["errors"],
            "p50": result["chunk_delay_us"]["p50"], "p99": result["chunk_delay_us"]["p99"],
            "max": result["chunk_delay_us"]["max"], "peak": peak, "kib": (peak - idle) * 1024 / streams,
            "us_per_event": spent / max(result["events"], 1) * 1e6}


def measure_shape(options, names, streams, chunks, rounds=1, tls=False, direct=True):
    """{engine, and direct: [per round what run() says]}. The proxy on a CPU of its own where there are two: the load
    must not be what delays events. Memory grows with the first round, so that each round has fresh processes."""
    found = {}
    for number in range(rounds):
        order = names[::-1] if number % 2 else names  # nobody is always first
        with Stage(options, "split" if options.cpus > 1 else "one") as stage:
            mock = stage.mock(chunks=chunks)
            for engine in ([stage.direct(mock)] if direct else []) + stage.engines(order, mock, tls=tls):
                found.setdefault(engine.name, []).append(run(stage, engine, streams, chunks))
    return found


def measure_delay(options, names, chunks):
    compared = [name for name in names if name in COMPARED]
    if options.short:
        return measure_shape(options, names, 1000, chunks)
    found = measure_shape(options, compared, 1000, chunks, ROUNDS_COMPARED, direct=False)
    found |= measure_shape(options, [name for name in names if name not in COMPARED], 1000, chunks, ROUNDS)
    return {name: found[name] for name in ["direct", *names]}


def measure(options):
    chunks = 20 if options.short else 100
    fast = peers.fast(options.engines)
    say("1,000 streams")
    found = {"thousand": measure_delay(options, fast, chunks)}
    say("5,000 streams")
    few = [name for name in fast if name in COMPARED] if options.short else fast
    found["plain"] = measure_shape(options, few, 5000, chunks)
    say("5,000 streams, TLS towards the client")
    found["tls"] = measure_shape(options, few, 5000, chunks, tls=True, direct=False)
    slow = [name for name in options.engines if name not in fast]
    for name in slow:  # a tenth: they would not end with more
        found["slow"] = found.get("slow", {}) | measure_shape(options, [name], 100, chunks)
    return found


def lost(values):
    return sum(value["streams"] - value["finished"] for value in values)


def cell(values, text):
    return text + (f", {lost(values)} lost" if lost(values) else "")


def memory_row(what, engines, bar):
    rota = engines.get("rota")
    return Row(what, f"<= {bar} MiB, none lost",
               {name: cell(values, f"{values[0]['peak']:.1f}") for name, values in engines.items() if name != "direct"},
               met=None if rota is None else lost(rota) == 0 and rota[0]["peak"] <= bar,
               failed=rota is not None and lost(rota) > 0)


def rows(found, _options):
    thousand = found["thousand"]
    rota, nginx = thousand.get("rota"), thousand.get("nginx")
    cells = {name: cell(values, f"{median_of(values, 'p99'):.0f}") for name, values in thousand.items()
             if name != "direct"}
    met = None
    if rota and nginx:
        beyond = statistics.median(ours["p99"] - theirs["p99"] for ours, theirs in zip(rota, nginx))
        met = lost(rota) == 0 and beyond <= DELAY_BAR_US
        cells["rota"] += f" ({beyond:+.0f} to nginx)"
    return [
        Row("1,000 SSE streams: delay of an event, p99 (us)", f"<= nginx's + {DELAY_BAR_US}, none lost", cells, met,
            failed=rota is not None and lost(rota) > 0),
        memory_row("5,000 SSE streams: resident memory (MiB)", found["plain"], PLAIN_BAR_MIB),
        memory_row("5,000 SSE streams, TLS towards the client: resident memory (MiB)", found["tls"], TLS_BAR_MIB)]


def details(found):
    lines = []
    for title, key in (("1,000 streams", "thousand"), ("5,000 streams", "plain"),
                       ("5,000 streams, TLS towards the client", "tls"), ("100 streams (the slow ones)", "slow")):
        if key not in found:
            continue
        lines += [title + ":", "", *table(
            ["", "finished", "delay p50 / p99 / max us", "us/event", "resident MiB", "KiB/stream"],
            [[peers.title(name), f"{sum(v['finished'] for v in values)} of {sum(v['streams'] for v in values)}",
              f"{median_of(values, 'p50'):.0f} / {median_of(values, 'p99'):.0f} / {median_of(values, 'max'):.0f}",
              *([f"{median_of(values, 'us_per_event'):.1f}", f"{median_of(values, 'peak'):.1f}",
                 f"{median_of(values, 'kib'):.1f}"] if name != "direct" else ["", "", ""])]
             for name, values in found[key].items()]), ""]
    return lines
