"""nginx, tuned as its documentation says for a proxy with keep-alive."""
import os
import re
import shutil
import subprocess

from lib.peers.common import PATH, PATIENCE_SECONDS, Engine, free_address

CONFIG = """
{user}
daemon off;
worker_processes {workers};
worker_rlimit_nofile 65536;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error.log warn;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  client_body_buffer_size 128k;
  keepalive_requests 1000000000;
  client_header_timeout {patience}s;
  keepalive_timeout {patience}s;
  tcp_nodelay on;
  upstream mock {{ {servers} keepalive 512; keepalive_requests 1000000000; }}
  proxy_http_version 1.1;
  proxy_set_header Connection "";
{tls}
  server {{
    listen {address} {listen};
    location / {{ proxy_pass {scheme}://mock; }}
{locations}
  }}
  server {{
    listen {stream_address} {listen};
    location / {{ proxy_pass {scheme}://mock; proxy_buffering off; }}
  }}
}}
"""

# Keep-alive and resumption on both sides, verification of the upstream as Rota does it.
TLS_IN = """
  ssl_protocols TLSv1.2 TLSv1.3;
  ssl_certificate {c.certificate};
  ssl_certificate_key {c.key};
  ssl_session_cache shared:ssl:4m;
"""
TLS_OUT = """
  proxy_ssl_protocols TLSv1.2 TLSv1.3;
  proxy_ssl_trusted_certificate {c.ca};
  proxy_ssl_verify on;
  proxy_ssl_name localhost;
  proxy_ssl_server_name on;
  proxy_ssl_session_reuse on;
"""


def program():
    return shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")


class Nginx(Engine):
    name = "nginx"
    job = "passes through"

    def __init__(self, setting, locations=()):
        """`locations`: paths that have a location of their own."""
        super().__init__(setting)
        self.stream_address = free_address()
        upstream_tls = setting.mocks[0].tls
        tls = (TLS_IN if setting.tls else "") + (TLS_OUT if upstream_tls else "")
        scheme = "https" if upstream_tls else "http"
        config = setting.folder / "nginx.conf"
        config.write_text(CONFIG.format(
            user="user root;" if os.geteuid() == 0 else "", workers=setting.workers, folder=setting.folder,
            servers=" ".join(f"server {mock.address} weight={weight};" for mock, weight in setting.weighted()),
            tls=tls.format(c=setting.certificates), scheme=scheme,
            locations="\n".join(f"    location = {path} {{ proxy_pass {scheme}://mock{PATH}; }}" for path in locations),
            listen=("ssl " if setting.tls else "") + "reuseport backlog=4096",
            address=self.address, stream_address=self.stream_address, patience=PATIENCE_SECONDS))
        self.process = setting.start(self.name, [program(), "-p", setting.folder, "-c", config], setting.folder,
                               setting.cpus)

    @classmethod
    def missing(cls):
        return None if program() else "apt-get install nginx-light"

    @classmethod
    def version(cls):
        text = subprocess.run([program(), "-v"], capture_output=True, text=True, check=False).stderr
        return re.sub(r".*nginx/", "", text).strip()
