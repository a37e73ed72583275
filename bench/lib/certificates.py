"""A CA and one server certificate for localhost and 127.0.0.1, made by openssl for one run."""
import subprocess

from lib.processes import Failure


class Certificates:
    """ECDSA P-256, valid for two days."""

    def __init__(self, folder):
        folder.mkdir(exist_ok=True)
        self.ca, self.certificate, self.key = folder / "ca.pem", folder / "server.pem", folder / "server.key"
        self.both = folder / "both.pem"  # haproxy wants certificate and key in one file
        ca_key, request, extensions = folder / "ca.key", folder / "server.csr", folder / "server.ext"
        extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        run("req", "-x509", *curve, "-keyout", ca_key, "-out", self.ca, "-days", 2, "-subj", "/CN=bench CA")
        run("req", *curve, "-keyout", self.key, "-out", request, "-subj", "/CN=localhost")
        run("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-out",
            self.certificate, "-days", 2, "-extfile", extensions)
        self.both.write_text(self.certificate.read_text() + self.key.read_text())


def run(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failure(f"openssl {arguments[0]}: {done.stderr.strip()}")
