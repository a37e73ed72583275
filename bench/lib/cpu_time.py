"""CPU time per request of a proxy's process tree: closed loop, the proxies taking turns within each round."""
import statistics

from lib import peers
from lib.processes import cpu_between, cpu_seconds
from lib.stage import CONNECTIONS, say
from lib.table import median_of, ratios, table, upper_bound

# What also a short run on a noisy machine must not exceed.
RATIO_THAT_FAILS = 2.0


def per_request(stage, engines, rounds, seconds, label, connections=CONNECTIONS, **keywords):
    """{key: [per round {us, user_us, per_second, p50_us, p99_us}]}. `engines`: {key: engine}."""
    fixed = ("--connections", connections)
    for engine in engines.values():  # warm: pools, caches, branch predictors
        stage.load(engine, *fixed, "--duration", f"{max(0.5, seconds / 3):.1f}s", **keywords)
    found = {key: [] for key in engines}
    keys = list(engines)
    for number in range(rounds):
        shift = number % len(keys)  # nobody is always first
        for key in keys[shift:] + keys[:shift]:
            before = cpu_seconds(engines[key].pid)
            result = stage.load(engines[key], *fixed, "--duration", f"{seconds}s", **keywords)
            spent, user = cpu_between(before, cpu_seconds(engines[key].pid))
            found[key].append({
                "us": spent / result["requests"] * 1e6, "user_us": user / result["requests"] * 1e6,
                "per_second": result["per_second"], "p50_us": result["latency_us"]["p50"],
                "p99_us": result["latency_us"]["p99"]})
        say(f"  {label} round {number + 1}/{rounds}: " + ", ".join(
            f"{key} {values[-1]['us']:.1f} us" for key, values in found.items()))
    return found


def against_nginx(found):
    """{engine: (median ratio, 95 % upper bound)} of those that were measured beside nginx."""
    if "nginx" not in found:
        return {}
    compared = {}
    for name, values in found.items():
        each = ratios(found["nginx"], values)
        compared[name] = (statistics.median(each), upper_bound(each))
    return compared


def cells(found):
    """For a row: microseconds, and the ratio with its bound where there is one."""
    compared = against_nginx(found)
    return {name: f"{median_of(values, 'us'):.1f}" + (
        " ({:.2f}x, at most {:.2f}x)".format(*compared[name]) if name in compared and name != "nginx" else "")
        for name, values in found.items()}


def details(found, head):
    """A table of everything."""
    compared = against_nginx(found)
    return table([head, "us/request", "user / system", "requests/s", "p50 / p99 us", "against nginx", "95 % bound"], [
        [peers.title(name), f"{median_of(values, 'us'):.1f}",
         f"{median_of(values, 'user_us'):.1f} / {median_of(values, 'us') - median_of(values, 'user_us'):.1f}",
         f"{median_of(values, 'per_second'):.0f}",
         f"{median_of(values, 'p50_us'):.0f} / {median_of(values, 'p99_us'):.0f}",
         f"{compared[name][0]:.2f}" if name in compared else "", f"{compared[name][1]:.2f}" if name in compared else ""]
        for name, values in found.items()])
