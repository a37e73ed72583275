"""The measurements. Every figure of one kind comes from one run, the engines taking turns within each round."""
import contextlib
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from lib import peers
from lib.processes import Failure, cpu_between, cpu_seconds, memory_mib

PARTS = ["memory", "cpu", "latency", "streams"]
# CPUs of the proxy, CPUs of load and mock, workers of the proxy.
LAYOUTS = {"one": ({0}, {0}, 1), "split": ({0}, {1}, 1), "two": ({0, 1}, {0, 1}, 2)}
CONNECTIONS = 64
LATENCY_RATE = 500
CHUNK_SECONDS = 0.1

__all__ = ["Failure", "LAYOUTS", "PARTS", "run"]


def say(text):
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def stage(options, layout, chunks):
    """Mock and engines of one layout, in a folder of their own that goes with them."""
    proxy_cpus, other_cpus, workers = LAYOUTS[layout]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rota-bench-"))
    started = []
    try:
        mock = peers.Mock(options, folder, other_cpus, chunks, threads=len(other_cpus))
        started.append(mock)
        engines = []
        for name in options.engines:
            engines.append(peers.CLASSES[name](options, folder, proxy_cpus, workers, mock))
            started.append(engines[-1])
        yield mock, engines, other_cpus
    finally:
        for one in reversed(started):
            one.stop()
        shutil.rmtree(folder, ignore_errors=True)


def start_load(options, engine, cpus, *arguments, stream=False):
    """rota-load against an engine, on the CPUs of the load."""
    command = [options.bin / "rota-load", "--target", engine.stream_address if stream else engine.address, "--path",
               engine.path, "--body-bytes", options.body_bytes, *arguments]
    command = ["taskset", "-c", ",".join(map(str, sorted(cpus))), *map(str, command)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish_load(engine, child):
    out, err = child.communicate()
    if child.returncode != 0:
        raise Failure(f"{engine.name}: rota-load failed: {err.strip()}")
    result = json.loads(out)
    if result["errors"] or set(result["statuses"]) - {"200"}:
        raise Failure(f"{engine.name}: not every request succeeded: {result['statuses']} {result['errors']}")
    return result


def load(options, engine, cpus, *arguments):
    return finish_load(engine, start_load(options, engine, cpus, *arguments))


def measure_memory(engines):
    """A second after the start, before any load."""
    time.sleep(1)
    return {engine.name: {"rss": memory_mib(engine.pid), "anonymous": memory_mib(engine.pid, "RssAnon")}
            for engine in engines}


def measure_cpu(options, layout, engines, cpus):
    """{engine: [per round {us, user_us, per_second}]}"""
    arguments = ("--connections", CONNECTIONS, "--duration", f"{options.seconds}s")
    for engine in engines:  # warm: pools, caches, branch predictors
        load(options, engine, cpus, "--connections", CONNECTIONS, "--duration", "500ms")
    rounds = {engine.name: [] for engine in engines}
    for number in range(options.rounds):
        shift = number % len(engines)  # nobody is always first
        for engine in engines[shift:] + engines[:shift]:
            before = cpu_seconds(engine.pid)
            result = load(options, engine, cpus, *arguments)
            spent, user = cpu_between(before, cpu_seconds(engine.pid))
            requests = result["requests"]
            rounds[engine.name].append({
                "us": spent / requests * 1e6, "user_us": user / requests * 1e6, "per_second": result["per_second"],
                "p50_us": result["latency_us"]["p50"], "p99_us": result["latency_us"]["p99"]})
        say(f"  {layout} round {number + 1}/{options.rounds}: " + ", ".join(
            f"{name} {values[-1]['us']:.1f} us" for name, values in rounds.items()))
    return rounds


def measure_latency(options, engines, mock, cpus):
    """{engine or direct: {p50, p99}} at a fixed rate: medians over the rounds."""
    seconds = 2 if options.short else 6
    everyone = [peers.Direct(mock)] + engines
    rounds = {engine.name: [] for engine in everyone}
    for number in range(3):
        for engine in everyone:
            result = load(options, engine, cpus, "--connections", CONNECTIONS, "--rate", LATENCY_RATE, "--duration",
                          f"{seconds}s", "--warmup", "300ms")
            rounds[engine.name].append(result["latency_us"])
        say(f"  latency round {number + 1}/3")
    return {name: {key: statistics.median(value[key] for value in values) for key in ("p50", "p99")}
            for name, values in rounds.items()}


def measure_streams(options, engines, mock, cpus, chunks):
    """{engine or direct: {finished, lost, delays, peak RSS, CPU per event}}"""
    found = {}
    for engine in [peers.Direct(mock)] + engines:
        before = cpu_seconds(engine.pid) if engine.pid else None
        child = start_load(options, engine, cpus, "--streams", options.streams, "--duration",
                           f"{chunks * CHUNK_SECONDS + 30:.0f}s", stream=True)
        peak = 0.0
        while child.poll() is None:
            peak = max(peak, memory_mib(engine.pid)) if engine.pid else 0
            time.sleep(0.1)
        out, err = child.communicate()
        if child.returncode != 0:
            raise Failure(f"{engine.name}: rota-load failed: {err.strip()}")
        result = json.loads(out)
        spent = cpu_between(before, cpu_seconds(engine.pid))[0] if engine.pid else 0.0
        found[engine.name] = {
            "streams": result["streams"], "finished": result["streams_finished"], "errors": result["errors"],
            "events": result["events"], "seconds": result["seconds"], "delay_us": result["chunk_delay_us"],
            "peak_rss": peak, "us_per_event": spent / max(result["events"], 1) * 1e6}
        say(f"  streams: {engine.name} finished {result['streams_finished']} of {result['streams']}")
    return found


def run(options):
    """Everything that was asked for, as one plain structure."""
    results = {"rounds": options.rounds, "seconds": options.seconds, "body_bytes": options.body_bytes, "cpu": {}}
    chunks = 30 if options.short else 100
    for layout in options.layouts:
        first = layout == options.layouts[0]
        if not first and "cpu" not in options.only:
            continue
        say(f"layout {layout}")
        with stage(options, layout, chunks) as (mock, engines, cpus):
            if first and "memory" in options.only:
                results["memory"] = measure_memory(engines)
            if "cpu" in options.only:
                results["cpu"][layout] = measure_cpu(options, layout, engines, cpus)
            if first and "latency" in options.only:
                results["latency"] = measure_latency(options, engines, mock, cpus)
    if "streams" in options.only:
        say(f"{options.streams} streams")
        # The proxy on a CPU of its own where there are two: the load must not be what delays events.
        layout = "split" if len(options.layouts) > 1 or "split" in options.layouts else "one"
        with stage(options, layout, chunks) as (mock, engines, cpus):
            results["streams_layout"] = layout
            results["streams"] = measure_streams(options, engines, mock, cpus, chunks)
    return results
