"""LiteLLM's proxy: one model group over as many deployments as there are mocks (three models over one mock)."""
import json

from lib.peers.common import Engine
from lib.peers.installed import Installed, find


class LiteLLM(Installed, Engine):
    name = "litellm"
    title = "LiteLLM"
    job = "picks among 3 deployments, rewrites `model`, swaps the credential"
    is_slow = True
    start_seconds = 120

    def __init__(self, setting):
        super().__init__(setting)
        config = setting.folder / "litellm.yaml"
        config.write_text(json.dumps({
            "model_list": [{"model_name": "gpt-4o", "litellm_params": {
                "model": f"openai/{model}", "api_base": mock.url, "api_key": "sk-bench", "weight": weight}}
                for model, mock, weight in setting.targets()],
            "litellm_settings": {"telemetry": False, "num_retries": 0},
            "router_settings": {"routing_strategy": "simple-shuffle"}}))
        host, port = self.address.rsplit(":", 1)
        place = find(self.name)[0]
        self.process = setting.start(self.name, [
            place / "bin/litellm", "--config", config, "--host", host, "--port", port, "--num_workers",
            setting.workers], setting.folder, setting.cpus,
            environment={"PATH": f"{place}/bin:/usr/bin:/bin", "LITELLM_LOG": "ERROR",
                         "LITELLM_LOCAL_MODEL_COST_MAP": "True",
                         # No other proxy here asks clients who they are.
                         "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true"})
