"""What one pick from a rotation costs: rotation_benchmark, two threads on one rotation.

Exact order means one counter, and two threads that do nothing but pick pass its cache line to and fro: some 70 ns one way
between the cores of a virtual machine such as this, which is most of a pick's CPU time at two threads when both really
run (a bare fetch_add in a loop costs 36 ns there). 64 unrelated weights repeat after 300,000 picks: their order is not
kept but made, some 50 ns a pick.
"""
import json
import subprocess

from lib.processes import Failure
from lib.stage import say
from lib.table import Row, table

NANOSECONDS_BAR = 50
SHAPES = ("three equal", "70/30", "ten weights", "64 random weights")


def measure(options):
    say("a pick")
    program = options.bin / "rotation_benchmark"
    if not program.exists():
        raise Failure(f"{program.name} not in {options.bin}: run scripts/build release")
    done = subprocess.run([program, "--benchmark_filter=^PickFirst/", "--benchmark_format=json",
                           f"--benchmark_min_time={0.1 if options.short else 1}"],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"{program.name} failed: {done.stderr.strip()[-500:]}")
    found = {}
    for one in json.loads(done.stdout)["benchmarks"]:
        shape = SHAPES[int(one["name"].split("/")[1])]
        # The program divides the time by the picks of all threads: the wall time of a pick is that times the threads,
        # its CPU time, which other work on the machine does not lengthen, is summed over the threads already.
        found[f"{shape}, threads: {one['threads']}"] = {
            "threads": one["threads"], "ns": one["cpu_time"], "wall_ns": one["real_time"] * one["threads"],
            "allocations": one["allocations"]}
    return found


def rows(found, options):
    two = [value for value in found.values() if value["threads"] == 2]
    if options.cpus < 2:
        return []
    allocations = max(value["allocations"] for value in two)
    return [Row(f"a pick at 2 threads on one rotation ({', '.join(SHAPES)}): ns; allocations",
                f"<= {NANOSECONDS_BAR}; 0",
                {"rota": f"{' / '.join(format(value['ns'], '.0f') for value in two)}; {allocations:.0f}"},
                met=all(value["ns"] <= NANOSECONDS_BAR for value in two) and allocations == 0, failed=allocations > 0)]


def details(found):
    return table(["", "CPU ns per pick", "wall ns", "allocations"], [
        [name, f"{value['ns']:.1f}", f"{value['wall_ns']:.1f}", f"{value['allocations']:.0f}"]
        for name, value in found.items()])
