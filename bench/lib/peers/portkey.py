"""Portkey's gateway: its configuration travels in a header of every request."""
import json

from lib.peers.common import Engine
from lib.peers.installed import Installed, find


class Portkey(Installed, Engine):
    name = "portkey"
    title = "Portkey"
    job = "picks among 3 targets, rewrites `model`, swaps the credential"
    is_slow = True
    start_seconds = 60

    def __init__(self, setting):
        super().__init__(setting)
        config = {"strategy": {"mode": "loadbalance"}, "targets": [
            {"provider": "openai", "custom_host": mock.url, "api_key": "sk-bench", "weight": weight,
             "override_params": {"model": model}} for model, mock, weight in setting.targets()]}
        self.headers = (f"x-portkey-config: {json.dumps(config)}",)
        place = find(self.name)[0] / "node_modules/@portkey-ai/gateway"
        self.process = setting.start(self.name, [
            "node", place / "build/start-server.js", f"--port={self.address.rsplit(':', 1)[1]}", "--headless"],
            setting.folder, setting.cpus, environment={"TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"})
