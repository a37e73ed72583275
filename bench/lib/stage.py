"""What stands during one measurement: mocks and proxies on their CPUs, in a folder that goes with them; and
rota-load against them."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from lib import peers
from lib.certificates import Certificates
from lib.peers.common import Direct, Mock, Setting
from lib.processes import Failure, Process

CPUS = sorted(os.sched_getaffinity(0))
FIRST, SECOND = CPUS[0], CPUS[-1]
# CPUs of the proxy, CPUs of load and mock, workers of the proxy.
LAYOUTS = {"one": ({FIRST}, {FIRST}, 1), "split": ({FIRST}, {SECOND}, 1),
           "two": ({FIRST, SECOND}, {FIRST, SECOND}, 2)}
CONNECTIONS = 64


def say(text):
    print(text, file=sys.stderr, flush=True)


class Stage:
    """A context manager: leaving it stops all that was started, the last one first."""

    def __init__(self, options, layout):
        self.options = options
        self.proxy_cpus, self.cpus, self.workers = LAYOUTS[layout]
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="rota-bench-"))
        self.started = []
        self.loads = []
        self.made_certificates = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for child in self.loads:
            if child.poll() is None:
                child.kill()
                child.communicate()
        for process in reversed(self.started):
            process.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def certificates(self):
        self.made_certificates = self.made_certificates or Certificates(self.folder / "tls")
        return self.made_certificates

    def new_folder(self, name):
        folder = self.folder / f"{len(self.started)}-{name}"
        folder.mkdir()
        return folder

    def start(self, name, command, folder, cpus, **keywords):
        process = Process(name, command, folder, cpus, **keywords)
        self.started.append(process)
        return process

    def mock(self, tls=False, **arguments):
        return Mock(self.start, self.options.bin, self.new_folder("mock"), self.cpus, threads=len(self.cpus),
                    certificates=self.certificates() if tls else None, **arguments)

    def engine(self, name, *mocks, weights=(1,), tls=False, asks=True, **arguments):
        """One proxy in front of the mocks. `tls`: towards the client; towards a mock as the mock has it. `asks`: it is
        there when it has answered a request, not only when it listens."""
        setting = Setting(start=self.start, bin=self.options.bin, folder=self.new_folder(name),
                          cpus=self.proxy_cpus, stand_by_cpus=self.cpus, workers=self.workers, mocks=mocks,
                          weights=weights, tls=tls,
                          certificates=self.certificates() if tls or mocks[0].tls else None)
        engine = peers.CLASSES[name](setting, **arguments)
        engine.wait()
        if asks:
            engine.ask()
        return engine

    def engines(self, names, mock, **arguments):
        return [self.engine(name, mock, **arguments) for name in names]

    def direct(self, mock):
        return Direct(mock)

    # --- Load.
    def start_load(self, engine, *arguments, stream=False, body_bytes=1024):
        """rota-load against an engine, on the CPUs of the load."""
        command = [self.options.bin / "rota-load", "--target", engine.stream_address if stream else engine.address,
                   "--body-bytes", body_bytes]
        if "--path" not in arguments:
            command += ["--path", engine.path, "--paths", engine.paths]
        for header in engine.headers:
            command += ["--header", header]
        if engine.ca:
            command += ["--tls", "--tls-ca", engine.ca, "--host", "localhost:" + engine.address.rsplit(":", 1)[1]]
        command = ["taskset", "-c", ",".join(map(str, sorted(self.cpus))), *map(str, command), *map(str, arguments)]
        self.loads.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return self.loads[-1]

    def finish_load(self, engine, child, strict=True):
        """What rota-load has printed. `strict`: anything but 200 is a failure of the run."""
        out, err = child.communicate()
        if child.returncode != 0:
            raise Failure(f"{engine.name}: rota-load failed: {err.strip()}")
        result = json.loads(out)
        if strict and (result["errors"] or set(result["statuses"]) - {"200"}):
            raise Failure(f"{engine.name}: not every request succeeded: {result['statuses']} {result['errors']}")
        if strict and not result["requests"]:
            raise Failure(f"{engine.name}: not one request was answered in {result['seconds']:.1f} s")
        return result

    def load(self, engine, *arguments, strict=True, **keywords):
        return self.finish_load(engine, self.start_load(engine, *arguments, **keywords), strict)
