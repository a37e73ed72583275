"""SSE streams, all open at once, an event every 100 ms: none may be lost, none held back. 1,000 for the delay, 5,000
for the memory, 5,000 with TLS towards the client. The delay is from when the provider writes an event to when the client
has read it."""
import statistics
import time

from lib import peers
from lib.processes import cpu_between, cpu_seconds, memory_mib
from lib.stage import Stage, say
from lib.table import Row, differences, median_of, table, upper_bound

EVENT_SECONDS = 0.1
# Between two looks at the memory. Each stops the event loops for half a millisecond; ten a second would be every
# hundredth event, which is the p99.
MEMORY_SECONDS = 1
# All are connected first, then started within this time. Eleven intervals: their events come one by one. With ten, that is
# one stream a millisecond, ten of 1,000 would send at the same moment, in each interval again.
START_SECONDS = 11 * EVENT_SECONDS
DELAY_BAR_US = 100
COMPARED = ("nginx", "rota")
ROUNDS = 3  # of those that are not compared
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


def measure_shape(options, names, streams, chunks, rounds=1, layout="split", tls=False, direct=True):
    """{engine, and direct: [per round what run() says]}. Memory grows with the first round, so that each round has fresh
    processes."""
    found = {}
    for number in range(rounds):
        order = names[::-1] if number % 2 else names  # nobody is always first
        with Stage(options, layout if options.cpus > 1 else "one") as stage:
            mock = stage.mock(chunks=chunks)
            for engine in ([stage.direct(mock)] if direct else []) + stage.engines(order, mock, tls=tls):
                found.setdefault(engine.name, []).append(run(stage, engine, streams, chunks))
    return found


def measure_delay(options, names, chunks, layout, rounds):
    say(f"1,000 streams, layout {layout}")
    if options.short:
        return measure_shape(options, names, 1000, chunks, layout=layout)
    compared = [name for name in names if name in COMPARED]
    found = measure_shape(options, compared, 1000, chunks, rounds, layout, direct=False)
    others = [name for name in names if name not in COMPARED]
    found |= measure_shape(options, others, 1000, chunks, ROUNDS, layout)
    return {name: found[name] for name in ["direct", *names]}


def measure(options):
    chunks = 20 if options.short else 100
    fast = peers.fast(options.engines)
    # Layout "one" is held to the bar. In "split" the sender goes on while the host withholds the proxy's CPU (5 ms at a
    # time, up to 2 % of it, measured by a loop that only reads the clock), so that the p99 is the host's: rounds differ by
    # a factor of five, nginx's as Rota's.
    found = {"thousand": measure_delay(options, fast, chunks, "one", 15),
             "apart": measure_delay(options, fast, chunks, "split", 5)}
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


def delay_row(what, engines, bar_us=None):
    rota, nginx = engines.get("rota"), engines.get("nginx")
    cells = {name: cell(values, f"{median_of(values, 'p99'):.0f}") for name, values in engines.items()
             if name != "direct"}
    met = None
    if rota and nginx:
        each = differences(nginx, rota, "p99")
        beyond = statistics.median(each)
        cells["rota"] += f" ({beyond:+.0f} to nginx, at most {upper_bound(each):+.0f})"
        met = lost(rota) == 0 and beyond <= bar_us if bar_us else None
    return Row(what, f"<= nginx's + {bar_us}, none lost" if bar_us else "", cells, met,
               failed=rota is not None and lost(rota) > 0)


def rows(found, _options):
    return [
        delay_row("1,000 SSE streams: delay of an event, p99 (us)", found["thousand"], DELAY_BAR_US),
        delay_row("... the proxy on a CPU of its own", found["apart"]),
        memory_row("5,000 SSE streams: resident memory (MiB)", found["plain"], PLAIN_BAR_MIB),
        memory_row("5,000 SSE streams, TLS towards the client: resident memory (MiB)", found["tls"], TLS_BAR_MIB)]


def details(found):
    lines = []
    for title, key in (("1,000 streams, layout one", "thousand"), ("1,000 streams, layout split", "apart"),
                       ("5,000 streams", "plain"),
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
