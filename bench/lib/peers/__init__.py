"""The proxies that are measured, each in front of one rota-mock-llm: how they are configured and started."""
from lib.peers.envoy import Envoy
from lib.peers.haproxy import HAProxy
from lib.peers.litellm import LiteLLM
from lib.peers.nginx import Nginx
from lib.peers.portkey import Portkey
from lib.peers.rota import Rota

# In the order of the table's columns.
CLASSES = {one.name: one for one in (Nginx, HAProxy, Envoy, LiteLLM, Portkey, Rota)}


def title(name):
    return CLASSES[name].title or name if name in CLASSES else name


def fast(names):
    return [name for name in names if not CLASSES[name].is_slow]
