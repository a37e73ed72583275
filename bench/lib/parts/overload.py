"""Three times what can be served, open loop, over 4,000 connections. There are two ways to have too much. "limit": more
open requests than `--max-requests-per-thread` allows; the upstream takes 50 ms, the data plane allows 200 at once.
"cpu": more than the core can do; the proxy shares its core with three busy loops, so that one load generator on the
other core can offer three times as much. There a data plane refuses one of twenty that it reads, because a refusal costs
nearly half of an answer (docs/reference/limits.md), and the rest waits its turn. Goodput is what was answered with 200;
it is held against the best of a closed loop on the same processes. By CPU in rounds, and against two closed loops: over
as many connections, and over the 64 that are the best for any server (4,000 that take turns are in no cache, in the kernel
neither)."""
import statistics
import sys
import time

from lib.processes import memory_mib
from lib.stage import CONNECTIONS, Stage, say
from lib.table import Row, table

LIMIT = 200
UPSTREAM_SECONDS = "50ms"
BUSY_LOOPS = 3
TIMES = 3
GOODPUT_BAR = 0.9
REFUSAL_BAR_MS = 20
FLAT = 1.05  # the second half of the time against the first
OPEN_LOOP_CONNECTIONS = 4000
WARM_UP_SECONDS = 2
CPU_ROUNDS = 5


def offer(stage, engine, rate, seconds):
    """Three times the best: what came of it, and how the memory went."""
    child = stage.start_load(engine, "--connections", OPEN_LOOP_CONNECTIONS, "--rate", f"{rate:.0f}", "--duration",
                             f"{seconds}s", "--warmup", f"{WARM_UP_SECONDS}s")
    time.sleep(WARM_UP_SECONDS)
    samples = [memory_mib(engine.pid)]
    while child.poll() is None:
        samples.append(memory_mib(engine.pid))
        time.sleep(0.1)
    result = stage.finish_load(engine, child, strict=False)
    good = result["statuses"].get("200", 0)  # of all of it, connecting 4,000 times included
    refused = result["statuses"].get("503", 0)
    half = len(samples) // 2
    return {
        "offered": rate, "goodput": result["steady_good_per_second"], "refused": refused,
        "other": result["requests"] - good - refused, "errors": result["errors"], "overdue": result["overdue"],
        "p99_ms": result["latency_us"]["p99"] / 1000,
        "refusal_p99_ms": result["refusal_us"]["p99"] / 1000 if "refusal_us" in result else None,
        "with_retry_after": result.get("retry_after", 0),
        "refusals_counted": result.get("refusal_us", {}).get("count", 0),  # without the warm-up
        "memory": [max(samples[:half]), max(samples[half:])]}


def case(stage, engine, connections, seconds):
    best = closed_loop(stage, engine, connections, 2, strict=True)
    found = {"best": best} | offer(stage, engine, best * TIMES, seconds)
    say(f"  best {best:.0f}/s, offered {found['offered']:.0f}/s, good {found['goodput']:.0f}/s, refused "
        f"{found['refused']}, p99 {found['p99_ms']:.0f} ms, {found['errors']}")
    return found


def closed_loop(stage, engine, connections, seconds, strict):
    """Answers with 200 per second, once all are connected. `strict`: anything else is a failure of the run."""
    result = stage.load(engine, "--connections", connections, "--duration", f"{seconds}s", "--warmup",
                        f"{WARM_UP_SECONDS}s", strict=strict)
    return result["steady_good_per_second"]


def by_cpu(stage, engine, options):
    """Rounds of closed loops and overload: what is offered is three times the best of the first."""
    best, rounds = None, []
    for _ in range(1 if options.short else CPU_ROUNDS):
        few = closed_loop(stage, engine, CONNECTIONS, 2, strict=not rounds)  # later ones begin in an overload
        many = closed_loop(stage, engine, OPEN_LOOP_CONNECTIONS, 3, strict=False)
        best = best or max(few, many)
        rounds.append(offer(stage, engine, best * TIMES, 3 if options.short else 5) | {"few": few, "many": many})
        say(f"  closed loop {few:.0f}/s over {CONNECTIONS} connections, {many:.0f}/s over {OPEN_LOOP_CONNECTIONS}; "
            f"offered {rounds[-1]['offered']:.0f}/s, good {rounds[-1]['goodput']:.0f}/s")
    total = {key: sum(found[key] for found in rounds)
             for key in ("refused", "other", "with_retry_after", "refusals_counted")}
    middle = {key: statistics.median(found[key] for found in rounds) for key in ("goodput", "few", "many")}
    refusals = [found["refusal_p99_ms"] for found in rounds if found["refusal_p99_ms"] is not None]
    return total | middle | {
        "best": middle["many"], "offered": best * TIMES, "errors": [found["errors"] for found in rounds if found["errors"]],
        "of_few": statistics.median(found["goodput"] / found["few"] for found in rounds),
        "of_many": statistics.median(found["goodput"] / found["many"] for found in rounds),
        "refusal_p99_ms": statistics.median(refusals) if refusals else None,
        "p99_ms": None,  # what was due after the warm-up is still in the queue at the end
        "memory": max((found["memory"] for found in rounds), key=lambda halves: halves[1] / halves[0])}


def measure(options):
    seconds = 3 if options.short else 10
    layout = "split" if options.cpus > 1 else "one"
    say("overload: more open requests than allowed")
    with Stage(options, layout) as stage:
        engine = stage.engine("rota", stage.mock(behavior=f"delay={UPSTREAM_SECONDS}"),
                              flags=("--max-requests-per-thread", LIMIT))
        found = {"limit": case(stage, engine, LIMIT, seconds)}
    if options.cpus == 1:
        return found
    say("overload: more than the core can do")
    for name in ("rota", "nginx"):
        if name not in options.engines:
            continue
        with Stage(options, layout) as stage:
            engine = stage.engine(name, stage.mock())
            for _ in range(BUSY_LOOPS):
                stage.start("busy", [sys.executable, "-c", "while True: pass"], stage.new_folder("busy"),
                            stage.proxy_cpus)
            found[f"cpu {name}"] = by_cpu(stage, engine, options)
    return found


def is_good(share, value):
    return share >= GOODPUT_BAR and not value["other"]


def is_flat(value):
    return value["memory"][1] <= value["memory"][0] * FLAT


def rows(found, _options):
    limit = found["limit"]
    immediate = (limit["refused"] > 0 and limit["with_retry_after"] == limit["refusals_counted"] and
                 limit["refusal_p99_ms"] <= REFUSAL_BAR_MS)
    made = [
        Row(f"{TIMES}x of what the limit of open requests allows: goodput", f">= {GOODPUT_BAR:.0%} of the best",
            {"rota": f"{limit['goodput'] / limit['best']:.0%}"},
            is_good(limit["goodput"] / limit["best"], limit)),
        Row("... refusals", f"503 with Retry-After, p99 <= {REFUSAL_BAR_MS} ms",
            {"rota": f"{limit['refused']} of 503, {limit['with_retry_after']} of {limit['refusals_counted']} with it, "
                     f"p99 {limit['refusal_p99_ms'] or float('nan'):.1f} ms"}, immediate,
            failed=limit["refused"] == 0),
        Row("... memory, first half / second half (MiB)", f"flat: within {FLAT}x",
            {"rota": "{:.1f} / {:.1f}".format(*limit["memory"])}, is_flat(limit))]
    if "cpu rota" in found:
        beside = {key.split()[1]: value for key, value in found.items() if key.startswith("cpu ")}
        made.append(Row(
            f"{TIMES}x of what the core can do: goodput",
            f">= {GOODPUT_BAR:.0%} of the best over as many connections, memory flat",
            {name: f"{value['of_many']:.0%}" for name, value in beside.items()},
            is_good(beside["rota"]["of_many"], beside["rota"]) and is_flat(beside["rota"])))
        made.append(Row(f"... of the best over {CONNECTIONS} connections", "",
                        {name: f"{value['of_few']:.0%}" for name, value in beside.items()}))
        ours = beside["rota"]
        made.append(Row("... refusals", "some, 503 with Retry-After", {
            "rota": f"{ours['refused']} of 503, {ours['with_retry_after']} of {ours['refusals_counted']} with it"},
            ours["refused"] > 0 and ours["with_retry_after"] == ours["refusals_counted"]))
    return made


def details(found):
    return table(
        ["", "best/s", "offered/s", "good/s", "refused", "other answers, errors", "p99 of the good ms",
         "p99 of refusals ms", "MiB, halves"],
        [[key, f"{value['best']:.0f}", f"{value['offered']:.0f}", f"{value['goodput']:.0f}", value["refused"],
          f"{value['other']} {value['errors'] or ''}", "" if value["p99_ms"] is None else f"{value['p99_ms']:.1f}",
          "" if value["refusal_p99_ms"] is None else f"{value['refusal_p99_ms']:.1f}",
          "{:.1f} / {:.1f}".format(*value["memory"])] for key, value in found.items()])
