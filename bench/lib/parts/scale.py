"""Cost must grow with the work, not with the configuration: CPU time per request at 1, 100 and 5,000 APIs, of which one
is asked, or all in turn (then hardly anything of an API is still in the processor's caches), and with 1, 8 and 64
targets in the rotation."""
import copy

from lib import cpu_time
from lib.peers.rota import api
from lib.stage import Stage, say
from lib.table import Row, median_of

APIS = (1, 100, 5000)
TARGETS = (1, 8, 64)
FLAT = 1.10
PATH = "/api-{n}/1.0/chat/completions"


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
            found[f"{count:,} APIs, one asked"] = asked(engine, 1)
            if count > 1:
                found[f"{count:,} APIs, all asked"] = asked(engine, count)
        for count in TARGETS:
            apis = [api(mock.url)] + [api(mock.url, "api-0", models=[f"model-{n}" for n in range(count)])]
            found[f"{count} targets"] = asked(stage.engine("rota", mock, apis=apis), 1)
        return cpu_time.per_request(stage, found, rounds, options.seconds, "scale")


def row(found, what, keys):
    values = [median_of(found[key], "us") for key in keys]
    return Row(f"CPU per request at {what} (us)", f"flat: within {FLAT}x of the first",
               {"rota": " / ".join(f"{value:.1f}" for value in values)}, max(values) <= values[0] * FLAT,
               failed=max(values) > values[0] * 2.5)


def rows(found, _options):
    apis = " / ".join(f"{count:,}" for count in APIS)
    first = f"{APIS[0]} APIs, one asked"
    more = {which: [f"{count:,} APIs, {which} asked" for count in APIS[1:]] for which in ("one", "all")}
    return [row(found, f"{apis} APIs, {which} asked", [first] + keys) for which, keys in more.items()] + [
        row(found, f"{' / '.join(map(str, TARGETS))} targets", [f"{count} targets" for count in TARGETS])]


def details(found):
    return cpu_time.details(found, "Rota with")
