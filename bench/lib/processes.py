"""Processes: started on given CPUs, stopped by their own id, and what /proc says about a process and its children."""
import os
import pathlib
import signal
import subprocess
import time

TICKS = os.sysconf("SC_CLK_TCK")


class Failure(Exception):
    """A message for the person who ran this."""


class Process:
    """One program with a log file. Stopped with SIGTERM, then SIGKILL, with everything that it has started."""

    def __init__(self, name, command, folder, cpus, nice=0, environment=None):
        self.name = name
        self.log = folder / f"{name}.log"

        def prepare():
            os.sched_setaffinity(0, cpus)
            if nice:
                os.nice(nice)

        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(  # pylint: disable=consider-using-with
                [str(part) for part in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder,
                env={**os.environ, **(environment or {})}, preexec_fn=prepare, start_new_session=True)

    @property
    def pid(self):
        return self.child.pid

    def check(self):
        if self.child.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise Failure(f"{self.name} ended with {self.child.returncode}:\n{tail}")

    def wait_for(self, what, condition, seconds=20):
        """Polls until the condition is true, the process is gone or time is up."""
        end = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > end:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise Failure(f"{self.name}: {what}: not within {seconds} s:\n{tail}")
            time.sleep(0.02)

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.child.pid, signal.SIGKILL)  # the session that it leads; its children may outlive it
        except (ProcessLookupError, PermissionError):
            pass
        self.child.wait()


def tree(pid):
    """The process and its descendants."""
    found = [pid]
    for current in found:
        try:
            for task in pathlib.Path(f"/proc/{current}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def cpu_seconds(pid):
    """User and system time of the tree so far. The sum is exact (nanoseconds from the scheduler), its split is
    as coarse as the kernel's ticks."""
    total = user = system = 0
    for one in tree(pid):
        try:
            fields = pathlib.Path(f"/proc/{one}/stat").read_text().rsplit(") ", 1)[1].split()
            for task in pathlib.Path(f"/proc/{one}/task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
        user += int(fields[11])
        system += int(fields[12])
    user_share = user / (user + system) if user + system else 0
    return total / 1e9, user_share, (user + system) / TICKS


def cpu_between(before, after):
    """(all, user) seconds between two cpu_seconds()."""
    ticks = after[2] - before[2]
    user = after[1] * after[2] - before[1] * before[2]
    spent = after[0] - before[0]
    return spent, spent * user / ticks if ticks else 0.0


def memory_mib(pid, field="VmRSS"):
    """VmRSS or RssAnon of the tree. Pages that a master shares with its workers count once per process."""
    kib = 0
    for one in tree(pid):
        try:
            text = pathlib.Path(f"/proc/{one}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        kib += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(field + ":"))
    return kib / 1024
