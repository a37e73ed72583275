"""CPU time per request with a 64 KiB body: what looking at a body costs."""
from lib import cpu_time, peers
from lib.stage import Stage, say
from lib.table import Row

BODY_BYTES = 64 << 10
RATIO_BAR = 2.0


def measure(options):
    say("CPU per request, 64 KiB body")
    rounds = 3 if options.short else max(5, options.rounds // 2)
    with Stage(options, "one") as stage:
        mock = stage.mock()
        engines = {name: stage.engine(name, mock) for name in peers.fast(options.engines)}
        return cpu_time.per_request(stage, engines, rounds, options.seconds, "64 KiB", body_bytes=BODY_BYTES)


def rows(found, _options):
    ratio, _ = cpu_time.against_nginx(found).get("rota", (None, None))
    return [Row("CPU per request, 64 KiB body (us)", f"<= {RATIO_BAR}x nginx", cpu_time.cells(found),
                met=None if ratio is None else ratio <= RATIO_BAR,
                failed=ratio is not None and ratio > RATIO_BAR * 1.5)]


def details(found):
    return cpu_time.details(found, "engine")
