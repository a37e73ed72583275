"""The container image: what is in it, and the programs running inside it and nowhere else."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile

import pytest

from harness import http
from harness.process import BIN, Program
from harness.stack import KEY, api, secret
from harness.wait import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAMS = {"rota-controller", "rota-dataplane", "rotactl"}
USER = "65532:65532"
MAX_MIB = 80


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """(root, archive)"""
    output = tmp_path_factory.mktemp("image")
    done = subprocess.run([ROOT / "deploy/image/build", output], capture_output=True, text=True, timeout=300, check=False,
                          env={**os.environ, "ROTA_BIN": str(BIN)})
    assert done.returncode == 0, done.stderr
    yield output / "root", pathlib.Path(done.stdout.strip().splitlines()[-1])
    shutil.rmtree(output)


class Archive:
    """An OCI archive, read as the specification says, every digest checked."""

    def __init__(self, file):
        with tarfile.open(file) as tar:
            self.files = {member.name.removeprefix("./"): tar.extractfile(member).read()
                          for member in tar.getmembers() if member.isfile()}
        assert json.loads(self.files["oci-layout"])["imageLayoutVersion"] == "1.0.0"
        entries = json.loads(self.files["index.json"])["manifests"]
        assert len(entries) == 1
        self.tag = entries[0]["annotations"]["org.opencontainers.image.ref.name"]
        self.manifest = json.loads(self.blob(entries[0]))
        self.config = json.loads(self.blob(self.manifest["config"]))

    def blob(self, descriptor):
        algorithm, _, digest = descriptor["digest"].partition(":")
        content = self.files[f"blobs/{algorithm}/{digest}"]
        assert len(content) == descriptor["size"] and hashlib.sha256(content).hexdigest() == digest
        return content


def members(root):
    return [path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()]


def test_it_is_an_image_of_one_layer_that_runs_as_nobody(image, tmp_path):
    root, file = image
    archive = Archive(file)
    assert re.fullmatch(r"\d+\.\d+\.\d+", archive.tag)
    assert archive.config["config"]["User"] == USER
    assert archive.config["os"] == "linux" and len(archive.manifest["layers"]) == 1
    layer = tmp_path / "layer.tar.gz"
    layer.write_bytes(archive.blob(archive.manifest["layers"][0]))
    with tarfile.open(layer) as tar:
        entries = tar.getmembers()
    assert {entry.name.removeprefix("./") for entry in entries if not entry.isdir()} == {
        str(path.relative_to(root)) for path in members(root)}
    assert {(entry.uid, entry.gid) for entry in entries} == {(0, 0)}, "nothing belongs to the user that the programs run as"
    assert not [entry.name for entry in entries if entry.mode & 0o022 and not entry.issym()], "and nothing can be written"
    assert not [entry.name for entry in entries if entry.mode & 0o6000], "set-user-id"


def test_it_is_small(image):
    root, file = image
    unpacked = sum(path.lstat().st_size for path in members(root)) / 2**20
    assert unpacked <= MAX_MIB and file.stat().st_size / 2**20 <= unpacked, unpacked


def test_there_is_nothing_to_log_in_with(image):
    root, _ = image
    assert {path.name for path in (root / "usr/bin").iterdir()} == PROGRAMS | {"kubectl-rota"}
    assert (root / "usr/bin/kubectl-rota").readlink() == pathlib.Path("rotactl")
    elf = [path for path in members(root) if not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF"]
    others = {path.name for path in elf if ".so" not in path.name}
    assert others == PROGRAMS
    scripts = [path for path in members(root) if not path.is_symlink() and path.read_bytes()[:2] == b"#!"]
    assert not scripts and not (root / "etc/shadow").exists()


def test_scanners_find_packages_and_licenses(image):
    root, _ = image
    assert 'VERSION_ID="12"' in (root / "etc/os-release").read_text()
    packages = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir()}
    assert {"libc6", "libssl3", "ca-certificates"} <= packages
    for name in packages:
        entry = (root / "var/lib/dpkg/status.d" / name).read_text()
        assert re.search(r"^Version: \S", entry, re.M)
        assert (root / "usr/share/doc" / name / "copyright").exists(), name


def test_the_dockerfile_says_the_same(image):
    text = (ROOT / "deploy/image/Dockerfile").read_text()
    config = Archive(image[1]).config["config"]
    assert f"USER {config['User']}" in text and f"ENV {config['Env'][0]}" in text and f"CMD {json.dumps(config['Cmd'])}" in text
    for command in re.findall(r"(?:scripts|deploy)/[\w/-]+", text):
        assert (ROOT / command).exists(), command


class Inside:
    """A copy of the root with a configuration in it; commands run there as the image's user."""

    def __init__(self, root, folder):
        self.root = folder / "root"
        subprocess.run(["cp", "--archive", "--link", root, self.root], check=True, timeout=60)
        self.config = self.root / "config"
        self.config.mkdir()
        self.config.chmod(0o777)

    def command(self, *arguments):
        if os.getuid() == 0:
            return ["chroot", f"--userspec={USER}", self.root, *arguments]
        return ["unshare", "--map-root-user", f"--root={self.root}", *arguments]

    def ports(self, program, name):
        file = self.config / f"{name}.ports"

        def read():
            assert program.running, program.tail()
            return json.loads(file.read_text())
        return until(f"{name} has written its addresses", read)


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_every_program_runs_inside(image, tmp_path, program):
    inside = Inside(image[0], tmp_path)
    done = subprocess.run(inside.command(f"/usr/bin/{program}", "--version"), capture_output=True, text=True, timeout=30,
                          check=False)
    assert done.returncode == 0 and done.stdout.startswith(program), done.stderr


def test_a_directory_is_served_inside(image, world, tmp_path):
    inside = Inside(image[0], tmp_path)
    mock = world.mock()
    for name, content in (("api.json", api()), ("secret.json", secret(apiKey=KEY))):
        (inside.config / name).write_text(json.dumps(content))
    (inside.config / "ca.pem").write_bytes(world.authority.ca.read_bytes())

    def start(name, *arguments):
        return world.add(Program(name, inside.command(
            f"/usr/bin/{name}", *arguments, "--admin", "127.0.0.1:0", "--ports-file", f"/config/{name}.ports"),
            tmp_path, ports_file=False))
    controller = start("rota-controller", "--source", "dir:/config", "--listen", "127.0.0.1:0")
    listen = inside.ports(controller, "rota-controller")["listen"]
    plane = start("rota-dataplane", "--controller", listen, "--http", "127.0.0.1:0", "--allow-unauthenticated",
                  "--state-dir", "/config/state", "--resolve", f"api.openai.com:443:{mock.address}", "--upstream-ca", "/config/ca.pem")
    address = inside.ports(plane, "rota-dataplane")["http"]
    until("served", lambda: http.ask(address, "POST", "/assistant/1.0/chat/completions", http.CHAT).status == 200)


def test_the_public_authorities_are_trusted_inside(image):
    """As OpenSSL looks for them: by hash, below the folder that Debian compiles in."""
    root, _ = image
    certificates = root / "usr/lib/ssl/certs"
    assert certificates.resolve() == (root / "etc/ssl/certs").resolve()
    bundle = (root / "etc/ssl/certs/ca-certificates.crt").read_text().count("BEGIN CERTIFICATE")
    hashed = [path for path in (root / "etc/ssl/certs").iterdir() if re.fullmatch(r"[0-9a-f]{8}\.\d", path.name)]
    assert bundle > 100 and len(hashed) == bundle
    assert all("BEGIN CERTIFICATE" in path.read_text() for path in hashed)
