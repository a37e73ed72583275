"""CPU time per request at 1 KiB: the first bar of all, in every layout."""
from lib import cpu_time, peers
from lib.stage import LAYOUTS, Stage, say
from lib.table import Row, median_of

RATIO_BAR = 1.05
RATIO_GOAL = 0.8
SLOW_SECONDS = 4
SLOW_ROUNDS = 5
SLOW_CONNECTIONS = 8  # what the last ones cost that are not waited for is small against the rest
# Two workers may cost this much more than one, beyond what the second core costs nginx.
GROWTH_BAR = 1.05


def measure(options):
    found = {}
    for layout in ("one",) if options.short or options.cpus == 1 else LAYOUTS:
        say(f"CPU per request, layout {layout}")
        # The bar is held in layout one; the other two are beside it.
        rounds = options.rounds if layout == "one" else max(5, options.rounds // 2)
        with Stage(options, layout) as stage:
            mock = stage.mock()
            engines = {name: stage.engine(name, mock) for name in peers.fast(options.engines)}
            found[layout] = cpu_time.per_request(stage, engines, rounds, options.seconds, layout)
    slow = [name for name in options.engines if peers.CLASSES[name].is_slow]
    for name in slow:  # one at a time: idle they are not still
        with Stage(options, "one") as stage:
            engine = stage.engine(name, stage.mock())
            found.setdefault("slow", {}).update(cpu_time.per_request(
                stage, {name: engine}, SLOW_ROUNDS, SLOW_SECONDS, "one", connections=SLOW_CONNECTIONS))
    return found


def rows(found, _options):
    compared = cpu_time.against_nginx(found["one"])
    cells = cpu_time.cells(found["one"]) | {
        name: f"{median_of(values, 'us'):,.0f}" for name, values in found.get("slow", {}).items()}
    ratio, bound = compared.get("rota", (None, None))
    made = [Row("CPU per request, 1 KiB, 1 worker, all on one core (us)",
                f"95 % bound of the ratio to nginx <= {RATIO_BAR} (goal {RATIO_GOAL})", cells,
                met=None if bound is None else bound <= RATIO_BAR,
                failed=ratio is not None and ratio > cpu_time.RATIO_THAT_FAILS)]
    if "two" in found:
        growth = {name: median_of(values, "us") / median_of(found["one"][name], "us")
                  for name, values in found["two"].items()}
        beside = growth.get("nginx")
        made.append(Row("2 workers on 2 cores against 1 on 1, CPU per request",
                        f"grows no more than nginx's x {GROWTH_BAR}",
                        {name: f"{value:.2f}x" for name, value in growth.items()},
                        met=growth["rota"] <= beside * GROWTH_BAR if beside and "rota" in growth else None))
    return made


def details(found):
    lines = []
    for layout, engines in found.items():
        title = f"Layout one, the slow ones, {SLOW_CONNECTIONS} connections" if layout == "slow" else f"Layout {layout}"
        lines += [title + ":", "", *cpu_time.details(engines, "engine"), ""]
    return lines
