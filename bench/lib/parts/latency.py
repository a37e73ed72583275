"""What a proxy adds to a direct call at 500 requests a second: open loop, counted from when a request was due."""
import statistics

from lib import peers
from lib.stage import CONNECTIONS, Stage, say
from lib.table import Row, differences, median_of, table

RATE = 500
P50_BAR_US = 5
P99_BAR_US = 15


def measure(options):
    """{engine or direct: [per round {p50, p99}]}"""
    say(f"latency at {RATE} requests a second")
    rounds, seconds = (2, 1.5) if options.short else (15, 4)
    with Stage(options, "one") as stage:
        mock = stage.mock()
        everyone = [stage.direct(mock)] + stage.engines(peers.fast(options.engines), mock)
        found = {engine.name: [] for engine in everyone}
        for number in range(rounds):
            shift = number % len(everyone)
            for engine in everyone[shift:] + everyone[:shift]:
                result = stage.load(engine, "--connections", CONNECTIONS, "--rate", RATE, "--duration", f"{seconds}s",
                                    "--warmup", "300ms")
                found[engine.name].append({key: result["latency_us"][key] for key in ("p50", "p99")})
            say(f"  latency round {number + 1}/{rounds}: " + ", ".join(
                f"{name} {values[-1]['p50']:.0f}/{values[-1]['p99']:.0f}" for name, values in found.items()))
    return found


def difference(found, key, name, base):
    """Median over the rounds of the difference within one round."""
    return statistics.median(differences(found[base], found[name], key))


def rows(found, _options):
    made = []
    for key, bar in (("p50", P50_BAR_US), ("p99", P99_BAR_US)):
        cells = {name: f"{difference(found, key, name, 'direct'):+.0f}" for name in found if name != "direct"}
        met = None
        if "nginx" in found and "rota" in found:
            beyond = difference(found, key, "rota", "nginx")
            cells["rota"] += f" ({beyond:+.0f} to nginx)"
            met = beyond <= bar
        made.append(Row(f"added at {RATE} requests/s, {key} (us)", f"<= nginx's + {bar}", cells, met))
    return made


def details(found):
    return table(["", "p50 us", "p99 us"], [
        [peers.title(name), f"{median_of(values, 'p50'):.0f}", f"{median_of(values, 'p99'):.0f}"]
        for name, values in found.items()])
