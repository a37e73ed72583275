"""Envoy with a static configuration: one listener, one cluster (two for weights)."""
import json

from lib.peers.common import Engine
from lib.peers.installed import Installed, find

TYPE = "type.googleapis.com/envoy.extensions"


def address_of(text):
    host, port = text.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}


def cluster(name, mock, ca):
    made = {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{"max_connections": 20000, "max_pending_requests": 20000,
                                             "max_requests": 20000}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": address_of(mock.address)}}]}]}}
    if mock.tls:
        made["transport_socket"] = {"name": "tls", "typed_config": {
            "@type": f"{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "localhost",
            "common_tls_context": {"validation_context": {"trusted_ca": {"filename": str(ca)}}}}}
    return made


def route(weighted):
    if len(weighted) == 1:
        return {"cluster": "mock0", "timeout": "0s"}
    return {"timeout": "0s", "weighted_clusters": {"clusters": [
        {"name": f"mock{number}", "weight": weight} for number, (_, weight) in enumerate(weighted)]}}


def configuration(setting, address):
    weighted = setting.weighted()
    manager = {
        "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "bench",
        "codec_type": "HTTP1", "generate_request_id": False,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": route(weighted)}]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{TYPE}.filters.http.router.v3.Router"}}]}
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    if setting.tls:
        files = setting.certificates
        chain["transport_socket"] = {"name": "tls", "typed_config": {
            "@type": f"{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [{
                "certificate_chain": {"filename": str(files.certificate)},
                "private_key": {"filename": str(files.key)}}]}}}
    ca = setting.certificates.ca if setting.certificates else None
    return {"static_resources": {
        "listeners": [{"name": "front", "address": address_of(address), "filter_chains": [chain]}],
        "clusters": [cluster(f"mock{number}", mock, ca) for number, (mock, _) in enumerate(weighted)]}}


class Envoy(Installed, Engine):
    name = "envoy"
    title = "Envoy"
    job = "passes through"

    def __init__(self, setting):
        super().__init__(setting)
        config = setting.folder / "envoy.json"
        config.write_text(json.dumps(configuration(setting, self.address)))
        self.process = setting.start(self.name, [
            find(self.name)[0] / "bin/envoy", "-c", config, "--concurrency", setting.workers, "--log-level", "warn",
            "--disable-hot-restart"], setting.folder, setting.cpus)
