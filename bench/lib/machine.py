"""What was measured on: the figures mean nothing without it."""
import os
import pathlib
import platform
import re

from lib import peers


def processor():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    found = re.search(r"^model name\s*:\s*(.*)$", text, re.M)
    return found.group(1).strip() if found else platform.machine()


def is_virtual():
    return " hypervisor" in pathlib.Path("/proc/cpuinfo").read_text()


def memory_gib():
    text = pathlib.Path("/proc/meminfo").read_text()
    return int(re.search(r"^MemTotal:\s*(\d+)", text, re.M).group(1)) / (1 << 20)


def describe(load_before):
    """Lines for the document."""
    cores = len(os.sched_getaffinity(0))
    return [f"{processor()}{' (virtual machine)' if is_virtual() else ''}, {cores} core{'s' if cores > 1 else ''}, "
            f"{memory_gib():.0f} GiB, Linux {platform.release()}. Load average before the run: {load_before:.2f}"
            + (" - **other work was going on, the figures are not to be trusted.**" if load_before > 0.5 else ".")]


def versions(engines):
    return ", ".join(f"{peers.title(name)} {peers.CLASSES[name].version()}" for name in engines)
