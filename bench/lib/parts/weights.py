"""70/30 over 1,000 sequential requests: how far the count strays from its exact share, at any moment."""
from lib import peers
from lib.peers.common import BODY, connect
from lib.stage import Stage, say
from lib.table import Row, table

WEIGHTS = (70, 30)
REQUESTS = 1000


def stray(engine):
    """(largest deviation at any moment, deviation at the end), in requests."""
    connection = connect(engine.address)
    headers = dict(header.split(": ", 1) for header in engine.headers)
    first = largest = 0
    share = WEIGHTS[0] / sum(WEIGHTS)
    for count in range(1, REQUESTS + 1):
        connection.request("POST", engine.path, BODY, {"content-type": "application/json", **headers})
        first += b'"target-70"' in connection.getresponse().read().replace(b" ", b"")
        largest = max(largest, abs(first - count * share))
    connection.close()
    return {"largest": largest, "end": abs(first - REQUESTS * share)}


def measure(options):
    say("weights 70/30")
    found = {}
    for name in options.engines:
        with Stage(options, "one") as stage:
            mocks = [stage.mock(name=f"target-{weight}") for weight in WEIGHTS]
            # Not asked before: the first request is the first pick.
            found[name] = stray(stage.engine(name, *mocks, weights=WEIGHTS, asks=False))
            say(f"  {name}: {found[name]['largest']:.1f}")
    return found


def rows(found, _options):
    rota = found.get("rota")
    return [Row(f"weights 70/30, {REQUESTS:,} sequential requests: largest deviation", "< 1 at every moment",
                {name: f"{value['largest']:.1f}" for name, value in found.items()},
                met=None if rota is None else rota["largest"] < 1, failed=rota is not None and rota["largest"] >= 1)]


def details(found):
    return table(["", "largest deviation", "deviation at the end"], [
        [peers.title(name), f"{value['largest']:.1f}", f"{value['end']:.1f}"] for name, value in found.items()])
