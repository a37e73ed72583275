"""CPU time per request with TLS towards the client and towards the upstream, keep-alive on both."""
from lib import cpu_time, peers
from lib.stage import Stage, say
from lib.table import Row

RATIO_BAR = 1.05


def measure(options):
    say("CPU per request, TLS on both sides")
    with Stage(options, "one") as stage:
        mock = stage.mock(tls=True)
        engines = {name: stage.engine(name, mock, tls=True) for name in peers.fast(options.engines)}
        return cpu_time.per_request(stage, engines, options.rounds, options.seconds, "TLS")


def rows(found, _options):
    ratio, bound = cpu_time.against_nginx(found).get("rota", (None, None))
    return [Row("CPU per request, 1 KiB, TLS on both sides (us)", f"95 % bound of the ratio to nginx <= {RATIO_BAR}",
                cpu_time.cells(found), met=None if bound is None else bound <= RATIO_BAR,
                failed=ratio is not None and ratio > cpu_time.RATIO_THAT_FAILS)]


def details(found):
    return cpu_time.details(found, "engine")
