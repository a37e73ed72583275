"""Cost must grow with the work, not with the configuration: CPU time per request at 1, 100 and 5,000 APIs, of which one
is asked, or all in turn (then hardly anything of an API is still in the processor's caches), and with 1, 8 and 64
targets in the rotation. nginx with as many locations, of which it only passes requests on, shows what the caches cost
anybody."""
import copy

from lib import cpu_time
from lib.peers.rota import api
from lib.stage import Stage, say
from lib.table import Row, median_of

APIS = (1, 100, 5000)
TARGETS = (1, 8, 64)
FLAT = 1.10
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


def row(found, what, keys, **others):
    """`others`: {engine: keys}, beside Rota's."""
    values = {name: [median_of(found[key], "us") for key in keys if key in found]
              for name, keys in {**others, "rota": keys}.items()}
    rota = values["rota"]
    return Row(f"CPU per request at {what} (us)", f"flat: within {FLAT}x of the first",
               {name: " / ".join(f"{value:.1f}" for value in of) for name, of in values.items()},
               max(rota) <= rota[0] * FLAT, failed=max(rota) > rota[0] * 2.5)


def rows(found, _options):
    apis = " / ".join(f"{count:,}" for count in APIS)
    return [row(found, f"{apis} APIs, one asked", [one(count) for count in APIS]),
            row(found, f"{apis} APIs, all asked", [one(APIS[0]), *(every(count) for count in APIS[1:])],
                nginx=[of_nginx(count) for count in APIS]),
            row(found, f"{' / '.join(map(str, TARGETS))} targets", [with_targets(count) for count in TARGETS])]


def details(found):
    return cpu_time.details(found, "")
