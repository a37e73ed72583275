"""50 changes a second at 3,000 APIs, while requests go to all of them and 200 streams are open; and a lone change on a
quiet system. Everything, the controller included, shares all CPUs."""
from lib.changes import Changer, apis, on_cpus
from lib.processes import cpu_between, cpu_seconds
from lib.stage import CONNECTIONS, Stage, say
from lib.table import Row, quantile, table

APIS = 3000
RATE = 50
STREAMS = 200
REQUESTS_PER_SECOND = 500
RATE_BAR_MS = 50
LONE_BAR_MS = 10
QUIET_SECONDS = 1.03  # gRPC sleeps after a second without work (common/grpc_vigil.h)


def measure(options):
    say(f"changes at {APIS:,} APIs")
    seconds = 5 if options.short else 60
    with Stage(options, "two" if options.cpus > 1 else "one") as stage, on_cpus(stage.cpus):
        # The streams outlive the changes.
        mock = stage.mock(chunks=(seconds + 3) * 10)
        engine = stage.engine("rota", mock, apis=apis(mock.url, APIS))
        changer = Changer(engine, mock.url, APIS)
        changer.lone(3, 0.2)
        usage = Usage(engine)
        lone = changer.lone(20 if options.short else 100, 0.1)
        cpu_ms = {name: spent * 1000 / len(lone) for name, spent in usage.spent().items()}
        lone += changer.lone(4 if options.short else 30, QUIET_SECONDS)
        streams = stage.start_load(engine, "--streams", STREAMS, "--duration", f"{seconds + 30}s", stream=True)
        load = stage.start_load(engine, "--connections", CONNECTIONS, "--rate", REQUESTS_PER_SECOND, "--duration",
                                f"{seconds}s", "--path", "/api-{n}/1.0/chat/completions", "--paths", APIS - 1)
        usage = Usage(engine)
        changes = changer.at_rate(RATE, seconds)
        cores = {name: spent / seconds for name, spent in usage.spent().items()}
        loaded = stage.finish_load(engine, load, strict=False)
        streamed = stage.finish_load(engine, streams, strict=False)
    failed = sum(count for status, count in loaded["statuses"].items() if status != "200")
    found = {"lone_ms": [change.seconds * 1000 for change in lone],
             "rate_ms": [change.seconds * 1000 for change in changes],
             "requests": loaded["requests"], "p99_us": loaded["latency_us"]["p99"],
             "failed": failed + sum(loaded["errors"].values()) + changer.failures,
             "streams_lost": STREAMS - streamed["streams_finished"],
             "stream_p99_us": streamed["chunk_delay_us"]["p99"], "cores": cores,
             "lone_cpu_ms": cpu_ms}
    say(f"  lone: p99 {quantile(found['lone_ms'], 0.99):.1f} ms; at {RATE}/s: p50 "
        f"{quantile(found['rate_ms'], 0.5):.1f}, p99 {quantile(found['rate_ms'], 0.99):.1f} ms; failed "
        f"{found['failed']}, streams lost {found['streams_lost']}, cores {cores['controller']:.2f} + "
        f"{cores['data plane']:.2f}")
    return found


class Usage:
    """CPU seconds of both programs since it was made."""

    def __init__(self, engine):
        self.pids = {"controller": engine.controller.pid, "data plane": engine.pid}
        self.before = {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def spent(self):
        return {name: cpu_between(self.before[name], cpu_seconds(pid))[0] for name, pid in self.pids.items()}


def rows(found, _options):
    p99 = quantile(found["rate_ms"], 0.99)
    lone = quantile(found["lone_ms"], 0.99)
    harmed = found["failed"] > 0 or found["streams_lost"] > 0
    return [
        Row(f"{RATE} changes/s at {APIS:,} APIs: write to served, p99 (ms)", f"<= {RATE_BAR_MS}",
            {"rota": f"{p99:.1f}"}, p99 <= RATE_BAR_MS, failed=p99 == float("inf")),
        Row("... failed requests / lost streams", "0 / 0", {"rota": f"{found['failed']} / {found['streams_lost']}"},
            not harmed, failed=harmed),
        Row("a lone change on a quiet system: write to served, p99 (ms)", f"<= {LONE_BAR_MS}", {"rota": f"{lone:.1f}"},
            lone <= LONE_BAR_MS, failed=lone == float("inf"))]


def details(found):
    lines = table(["write to served, ms", "changes", "p50", "p90", "p99", "worst"], [
        [title, len(found[key]), *(f"{quantile(found[key], share):.1f}" for share in (0.5, 0.9, 0.99, 1))]
        for title, key in (("lone", "lone_ms"), (f"{RATE} a second", "rate_ms"))])
    return lines + ["", f"Meanwhile {found['requests']} requests at {REQUESTS_PER_SECOND} a second over all APIs (p99 "
                    f"{found['p99_us'] / 1000:.1f} ms) and {STREAMS} streams (delay p99 "
                    f"{found['stream_p99_us'] / 1000:.1f} ms). Cores in use: controller "
                    f"{found['cores']['controller']:.2f}, data plane {found['cores']['data plane']:.2f}. CPU time of a "
                    f"lone change, the questions included: controller {found['lone_cpu_ms']['controller']:.1f} ms, "
                    f"data plane {found['lone_cpu_ms']['data plane']:.1f} ms."]
