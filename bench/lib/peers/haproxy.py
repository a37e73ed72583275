"""haproxy, with the option without which it holds events of a stream back."""
import os
import re
import shutil
import subprocess

from lib.peers.common import PATIENCE_SECONDS, Engine

CONFIG = """
global
  nbthread {workers}
  maxconn 9000
defaults
  mode http
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client {patience}s
  timeout server 60s
frontend front
  bind {address} backlog 4096{bind}
  default_backend mock
backend mock
{servers}
"""


def program():
    return shutil.which("haproxy", path=os.environ.get("PATH", "") + ":/usr/sbin")


class HAProxy(Engine):
    name = "haproxy"
    job = "passes through"

    def __init__(self, setting):
        super().__init__(setting)
        verify = f" ssl verify required ca-file {setting.certificates.ca} sni str(localhost)" \
            if setting.mocks[0].tls else ""
        servers = "\n".join(f"  server mock{number} {mock.address} weight {weight}{verify}"
                            for number, (mock, weight) in enumerate(setting.weighted()))
        config = setting.folder / "haproxy.cfg"
        config.write_text(CONFIG.format(
            workers=setting.workers, address=self.address, servers=servers,
            patience=PATIENCE_SECONDS, bind=f" ssl crt {setting.certificates.both}" if setting.tls else ""))
        self.process = setting.start(self.name, [program(), "-db", "-f", config], setting.folder, setting.cpus)

    @classmethod
    def missing(cls):
        return None if program() else "apt-get install haproxy"

    @classmethod
    def version(cls):
        text = subprocess.run([program(), "-v"], capture_output=True, text=True, check=False).stdout
        found = re.search(r"version ([0-9.]+)", text)
        return found.group(1) if found else "?"
