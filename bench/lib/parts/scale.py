"""Cost must grow with the work, not with the configuration: CPU time per request at 1, 100 and 5,000 APIs, of which one
is asked, or all in turn (then hardly anything of an API is still in the processor's caches), and with 1, 8 and 64
targets in the rotation. nginx with as many locations, of which it only passes requests on, shows what the caches cost
anybody."""
import copy
import statistics

from lib import cpu_time
from lib.peers.rota import api
from lib.stage import Stage, say
from lib.table import Row, median_of, ratios

APIS = (1, 100, 5000)
TARGETS = (1, 8, 64)
FLAT = 1.10
GROWTH_BAR = 1.05  # what is in no cache costs everybody
PATH = "/api-{n}/1.0/chat/completions"


def one(count):
    return f"Rota, {count:,} APIs, one asked"


def every(count):
    return f"Rota, {count:,} APIs, all asked"


def of_nginx(count):
    return f"nginx, {count:,} locations, all asked"


def with_targets(count):
    return f"Rota, {count} targets"


def asked(engine, apis):
    """The engine, of whose APIs so many are asked in turn."""
    engine = copy.copy(engine)
    engine.path, engine.paths = PATH, apis
    return engine


def measure(options):
    say("CPU per request against the number of APIs and of targets")
    found = {}
    rounds = 2 if options.short else max(5, options.rounds // 2)
    with Stage(options, "one") as stage:
        mock = stage.mock()
        for count in APIS:
            engine = stage.engine("rota", mock, apis=[api(mock.url)] + [
                api(mock.url, f"api-{n}") for n in range(count)])
            found[one(count)] = asked(engine, 1)
            if count > 1:
                found[every(count)] = asked(engine, count)
            if "nginx" in options.engines:
                found[of_nginx(count)] = asked(stage.engine("nginx", mock, locations=[
                    PATH.format(n=n) for n in range(count)]), count)
        for count in TARGETS:
            apis = [api(mock.url)] + [api(mock.url, "api-0", models=[f"model-{n}" for n in range(count)])]
            found[with_targets(count)] = asked(stage.engine("rota", mock, apis=apis), 1)
        return cpu_time.per_request(stage, found, rounds, options.seconds, "scale")


def growth(found, keys):
    """The largest one over the first: within a round, and of the rounds the median."""
    return max(statistics.median(ratios(found[keys[0]], found[key])) for key in keys)


def row(found, what, keys, beside=()):
    """Flat; where nginx was measured `beside` (its keys): as flat as nginx."""
    shown = {"nginx": beside, "rota": keys} if beside else {"rota": keys}
    grown = {name: growth(found, of_engine) for name, of_engine in shown.items()}
    bar, allowed = f"flat: within {FLAT}x of the first", FLAT
    if beside:
        bar, allowed = f"grows no more than nginx's x {GROWTH_BAR}", grown["nginx"] * GROWTH_BAR
    cells = {name: " / ".join(f"{median_of(found[key], 'us'):.1f}" for key in of_engine) + f" ({grown[name]:.2f}x)"
             for name, of_engine in shown.items()}
    return Row(f"CPU per request at {what} (us)", bar, cells, grown["rota"] <= allowed, failed=grown["rota"] > 2.5)


def rows(found, _options):
    apis = " / ".join(f"{count:,}" for count in APIS)
    nginx = [of_nginx(count) for count in APIS]
    return [row(found, f"{apis} APIs, one asked", [one(count) for count in APIS]),
            row(found, f"{apis} APIs, all asked", [one(APIS[0]), *(every(count) for count in APIS[1:])],
                beside=nginx if nginx[0] in found else ()),
            row(found, f"{' / '.join(map(str, TARGETS))} targets", [with_targets(count) for count in TARGETS])]


def details(found):
    return cpu_time.details(found, "")
