"""The proxies that are measured, each in front of one rota-mock-llm: how they are configured and started."""
import http.client
import json
import os
import shutil
import socket

from lib.processes import Failure, Process

ENGINES = ("nginx", "haproxy", "rota")
MODELS = ("gpt-4o", "gpt-4o-mini", "o1-mini")

NGINX = """
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
  tcp_nodelay on;
  upstream mock {{ server {mock}; keepalive 512; keepalive_requests 1000000000; }}
  server {{
    listen {address} reuseport backlog=4096;
    location / {{ proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
  server {{
    listen {stream_address} reuseport backlog=4096;
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    }}
  }}
}}
"""

HAPROXY = """
global
  nbthread {workers}
  maxconn 9000
defaults
  mode http
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend front
  bind {address} backlog 4096
  default_backend mock
backend mock
  server mock {mock}
"""

API = {
    "name": "bench", "basePath": "/bench", "version": "1.0", "type": "REST",
    "aiProvider": {"name": "OpenAI", "apiVersion": "v1"},
    "operations": [{"target": "/chat/completions", "verb": "POST"}],
}


def check_programs(folder, engines):
    """A missing program is named with what installs it."""
    ours = ["rota-mock-llm", "rota-load"] + (["rota-controller", "rota-dataplane"] if "rota" in engines else [])
    missing = [name for name in ours if not (folder / name).exists()]
    if missing:
        raise Failure(f"{', '.join(missing)} not in {folder}: run scripts/build release, or give --bin")
    for name, package in (("nginx", "nginx-light"), ("haproxy", "haproxy")):
        if name in engines and shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin") is None:
            raise Failure(f"{name} is not installed: apt-get install {package}, or leave it out of --engines")


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def answers(address, path="/", method="GET", body=None):
    """The status of one request, 0 when there was no answer."""
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=2)
    try:
        connection.request(method, path, body, {"content-type": "application/json"})
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


class Mock:
    """The upstream. Its streams send an event every 100 ms with the time when it was sent."""

    def __init__(self, options, folder, cpus, chunks, threads=1):
        ports = folder / "mock.json"
        self.process = Process("mock", [
            options.bin / "rota-mock-llm", "--listen", "127.0.0.1:0", "--ports-file", ports, "--threads", threads,
            "--keep-requests", 0, "--answer-bytes", 512, "--chunks", chunks, "--chunk-interval", "100ms",
            "--stamp-chunks"], folder, cpus)
        self.process.wait_for("its ports file", lambda: ports.exists() and ports.read_text().strip())
        self.address = json.loads(ports.read_text())["listen"]

    def stop(self):
        self.process.stop()


class Direct:
    """No proxy at all."""

    name = "direct"
    path = "/v1/chat/completions"

    def __init__(self, mock):
        self.address = self.stream_address = mock.address
        self.pid = None

    def stop(self):
        pass


class Nginx:
    name = "nginx"
    path = "/v1/chat/completions"

    def __init__(self, _options, folder, cpus, workers, mock):
        self.address, self.stream_address = free_address(), free_address()
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(user="user root;" if os.geteuid() == 0 else "", workers=workers, folder=folder,
                                       mock=mock.address, address=self.address,
                                       stream_address=self.stream_address))
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = Process("nginx", [program, "-p", folder, "-c", config], folder, cpus)
        self.pid = self.process.pid
        self.process.wait_for("an answer", lambda: answers(self.address, "/v1/models") == 200)

    def stop(self):
        self.process.stop()


class HAProxy:
    name = "haproxy"
    path = "/v1/chat/completions"

    def __init__(self, _options, folder, cpus, workers, mock):
        self.address = self.stream_address = free_address()
        config = folder / "haproxy.cfg"
        config.write_text(HAPROXY.format(workers=workers, address=self.address, mock=mock.address))
        program = shutil.which("haproxy") or "/usr/sbin/haproxy"
        self.process = Process("haproxy", [program, "-db", "-f", config], folder, cpus)
        self.pid = self.process.pid
        self.process.wait_for("an answer", lambda: answers(self.address, "/v1/models") == 200)

    def stop(self):
        self.process.stop()


class Rota:
    """Controller (files) and data plane. Only the data plane is charged; the controller stands by."""

    name = "rota"
    path = "/bench/1.0/chat/completions"

    def __init__(self, options, folder, cpus, workers, mock):
        config = folder / "config"
        config.mkdir()
        self.write_config(config, f"http://{mock.address}/v1")
        ports = folder / "controller.json"
        self.controller = Process("rota-controller", [
            options.bin / "rota-controller", "--source", f"dir:{config}", "--listen", "127.0.0.1:0", "--admin",
            "127.0.0.1:0", "--ports-file", ports], folder, cpus)
        self.controller.wait_for("its ports file", lambda: ports.exists() and ports.read_text().strip())
        listen = json.loads(ports.read_text())["listen"]
        ports = folder / "dataplane.json"
        self.process = Process("rota-dataplane", [
            options.bin / "rota-dataplane", "--controller", listen, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0",
            "--metrics", "127.0.0.1:0", "--ports-file", ports, "--threads", workers, "--state-dir", folder / "state",
            "--access-log", folder / "access.log", "--access-log-sample", "0.01", "--allow-unauthenticated"],
            folder, cpus)
        self.pid = self.process.pid
        self.process.wait_for("its ports file", lambda: ports.exists() and ports.read_text().strip())
        found = json.loads(ports.read_text())
        self.address = self.stream_address = found["http"]
        body = json.dumps({"model": "any", "messages": [{"role": "user", "content": "ready?"}]})
        self.process.wait_for("a 200", lambda: answers(found["admin"], "/readyz") == 200 and
                              answers(self.address, self.path, "POST", body) == 200)

    @staticmethod
    def write_config(config, url):
        endpoint = {"endpoint": url, "endpointSecurity": {"enabled": True, "securityType": {
            "secretName": "bench-key", "in": "Header", "apiKeyNameKey": "Authorization", "apiKeyValueKey": "apiKey"}}}
        policy = {"policyName": "ModelBasedRoundRobin", "policyVersion": "v1", "parameters": {
            "onQuotaExceedSuspendDuration": 60,
            "productionModels": [{"model": model, "endpoint": url, "weight": 1} for model in MODELS]}}
        api = {**API, "endpointConfigurations": {"production": [endpoint]}, "apiPolicies": {"request": [policy]}}
        (config / "bench.yaml").write_text(json.dumps(api))  # JSON is YAML
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bench-key"},
                  "stringData": {"apiKey": "sk-bench"}}
        (config / "secret.yaml").write_text(json.dumps(secret))

    def stop(self):
        self.process.stop()
        self.controller.stop()


CLASSES = {"nginx": Nginx, "haproxy": HAProxy, "rota": Rota}
