"""What one pick from a rotation costs: rotation_benchmark, two threads on one rotation.

Time and CPU time as Google Benchmark gives them for two threads: what has passed, and what both have used, divided by the
picks of both. Exact order means one counter, and two threads that do nothing but pick pass its cache line to and fro: each
waits half of its time for it, which is CPU time (a bare fetch_add in a loop costs 36 to 70 ns of it on a virtual machine
such as this). 64 unrelated weights repeat after 300,000 picks: their order is made once, some 50 ns a pick, and remembered.
"""
import json
import subprocess

from lib.processes import Failure
from lib.stage import say
from lib.table import Row, median_of, table

NANOSECONDS_BAR = 50
REPETITIONS = 5  # interleaved; medians
SHAPES = ("three equal", "70/30", "ten weights", "64 random weights")


def measure(options):
    say("a pick")
    program = options.bin / "rotation_benchmark"
    if not program.exists():
        raise Failure(f"{program.name} not in {options.bin}: run scripts/build release")
    done = subprocess.run([program, "--benchmark_filter=^PickFirst/", "--benchmark_format=json",
                           f"--benchmark_repetitions={1 if options.short else REPETITIONS}",
                           "--benchmark_enable_random_interleaving=true",
                           f"--benchmark_min_time={0.1 if options.short else 1}"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{program.name} failed: {done.stderr.strip()[-500:]}")
    rounds = {}
    for one in json.loads(done.stdout)["benchmarks"]:
        if one["run_type"] == "iteration":
            rounds.setdefault((one["threads"], one["run_name"]), []).append(one)
    found = {}
    for (threads, name), values in sorted(rounds.items()):
        shape = SHAPES[int(name.split("/")[1])]
        # Both are divided by the picks of all threads; the CPU time is summed over the threads before.
        found[f"{shape}, threads: {threads}"] = {
            "threads": threads, "ns": median_of(values, "real_time"), "cpu_ns": median_of(values, "cpu_time"),
            "allocations": max(value["allocations"] for value in values)}
    return found


def rows(found, options):
    two = [value for value in found.values() if value["threads"] == 2]
    if options.cpus < 2:
        return []
    allocations = max(value["allocations"] for value in two)
    return [Row(f"a pick at 2 threads on one rotation ({', '.join(SHAPES)}): ns of time; allocations",
                f"<= {NANOSECONDS_BAR}; 0",
                {"rota": f"{' / '.join(format(value['ns'], '.0f') for value in two)}; {allocations:.0f}"},
                met=all(value["ns"] <= NANOSECONDS_BAR for value in two) and allocations == 0, failed=allocations > 0),
            Row("... ns of CPU of both threads", "",
                {"rota": " / ".join(format(value["cpu_ns"], ".0f") for value in two)})]


def details(found):
    return table(["", "ns per pick", "CPU ns per pick", "allocations"], [
        [name, f"{value['ns']:.1f}", f"{value['cpu_ns']:.1f}", f"{value['allocations']:.0f}"]
        for name, value in found.items()])
