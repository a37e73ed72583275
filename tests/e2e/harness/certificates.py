"""A CA made by the test, and certificates of it."""
import pathlib
import subprocess


def openssl(*arguments):
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr


class Authority:
    def __init__(self, folder, name="Test CA"):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.folder / "ca.pem"
        self._ca_key = self.folder / "ca.key"
        self._count = 0
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                 "-keyout", self._ca_key, "-out", self.ca, "-subj", f"/CN={name}")

    def issue(self, name, names=(), addresses=("127.0.0.1",)):
        """Certificate and key files for the DNS names and addresses."""
        self._count += 1
        stem = f"{self._count}-{name}"
        key, request, certificate = (self.folder / f"{stem}.{end}" for end in ("key", "csr", "pem"))
        extensions = self.folder / f"{stem}.ext"
        sans = [f"DNS:{n}" for n in names] + [f"IP:{a}" for a in addresses]
        extensions.write_text(f"subjectAltName={','.join(sans)}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                 "-out", request, "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self._ca_key, "-CAcreateserial",
                 "-days", "2", "-extfile", extensions, "-out", certificate)
        return certificate, key
