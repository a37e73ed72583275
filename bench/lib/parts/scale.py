"""Cost must grow with the work, not with the configuration: CPU time per request at 1, 100 and 5,000 APIs (requests
spread over all of them) and with 1, 8 and 64 targets in the rotation."""
from lib import cpu_time
from lib.peers.rota import api
from lib.stage import Stage, say
from lib.table import Row, median_of

APIS = (1, 100, 5000)
TARGETS = (1, 8, 64)
FLAT = 1.10


def measure(options):
    say("CPU per request against the number of APIs and of targets")
    found = {}
    rounds = 2 if options.short else max(5, options.rounds // 2)
    with Stage(options, "one") as stage:
        mock = stage.mock()
        for count in APIS:
            apis = [api(mock.url)] + [api(mock.url, f"api-{n}") for n in range(count)]
            found[f"{count:,} APIs"] = spread(stage.engine("rota", mock, apis=apis), count)
        for count in TARGETS:
            apis = [api(mock.url)] + [api(mock.url, "api-0", models=[f"model-{n}" for n in range(count)])]
            found[f"{count} targets"] = spread(stage.engine("rota", mock, apis=apis), 1)
        return cpu_time.per_request(stage, found, rounds, options.seconds, "scale")


def spread(engine, count):
    """Its load goes to so many APIs."""
    engine.path, engine.paths = "/api-{n}/1.0/chat/completions", count
    return engine


def row(found, what, counts, unit):
    values = [median_of(found[f"{count:,} {unit}"], "us") for count in counts]
    flat = max(values) <= values[0] * FLAT
    return Row(f"CPU per request at {' / '.join(f'{count:,}' for count in counts)} {what} (us)",
               f"flat: within {FLAT}x of the first", {"rota": " / ".join(f"{value:.1f}" for value in values)}, flat,
               failed=max(values) > values[0] * 2.5)


def rows(found, _options):
    return [row(found, "APIs", APIS, "APIs"), row(found, "targets", TARGETS, "targets")]


def details(found):
    return cpu_time.details(found, "Rota with")
