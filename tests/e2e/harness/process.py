"""Child processes: started with a log and a ports file, ended for certain, their logs shown on failure."""
import ctypes
import json
import os
import pathlib
import signal
import subprocess

from harness.wait import Hopeless, until

BIN = pathlib.Path(os.environ.get("ROTA_BIN") or pathlib.Path(__file__).resolve().parents[3] / "build/release/bin")
PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
# Every program of the current test, so that a failure can show its log.
STARTED = []


def die_with_parent():
    """A test run that is killed leaves nothing behind."""
    _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def clean_environment(extra=None):
    """Without ROTA_*: they would configure our programs."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ROTA_")}
    environment.update(extra or {})
    return environment


def run(program, *arguments, env=None, stdin=None, timeout=30):
    """Runs one of our programs to its end."""
    return subprocess.run([str(BIN / program), *map(str, arguments)], env=clean_environment(env), input=stdin,
                          capture_output=True, text=True, timeout=timeout, check=False)


class Program:
    """One running program. `ports` are the addresses that it says it has bound."""

    def __init__(self, name, command, folder, env=None, ports_file=True, start_seconds=20):
        self.name = name
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = self.folder / f"{name}.log"
        self.command = [str(part) for part in command]
        self.env = env
        self.ports_file = self.folder / f"{name}.ports" if ports_file else None
        self.start_seconds = start_seconds
        self.process = None
        self.ports = {}
        STARTED.append(self)
        self.start()

    def start(self):
        command = list(self.command)
        if self.ports_file:
            self.ports_file.unlink(missing_ok=True)
            command += ["--ports-file", str(self.ports_file)]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=clean_environment(self.env),
                                            start_new_session=True, preexec_fn=die_with_parent)
        if self.ports_file:
            try:
                self.ports = until(f"{self.name} has written {self.ports_file}", self._read_ports, self.start_seconds)
            except BaseException:
                self.kill()
                raise

    def _read_ports(self):
        if self.process.poll() is not None:
            raise Hopeless(f"{self.name} ended with {self.process.returncode}:\n{self.tail()}")
        return self.ports_file.exists() and json.loads(self.ports_file.read_text())

    @property
    def running(self):
        return self.process.poll() is None

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self, seconds=15):
        """SIGTERM and the exit code; a program that does not end is killed, and that is a failure."""
        if self.running:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {seconds} s of SIGTERM") from None

    def kill(self):
        if self.running:
            self.process.kill()
        self.process.wait()

    def restart(self):
        self.stop()
        self.start()

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines=40):
        return "\n".join(self.text().splitlines()[-lines:])
