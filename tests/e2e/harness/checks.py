"""What must hold the same way in directory mode and on Kubernetes."""
import re

from harness import http
from harness.wait import until


def keys_seen(mock):
    return set(re.findall(r"sk-\w+", str([request["headers"] for request in mock.requests()["requests"]])))


def check_key_rotation(world, path, rotate):
    """Under load: rotate() puts sk-new for sk-old; it is in use within a second, alone, and no request failed.

    The mock must accept any key.
    """
    plane = world.planes[0] if world.planes else world.plane()
    mock = world.mock_server
    plane.wait_serves(path)
    with http.Load(plane.http, path, clients=4) as load:
        until("the load runs with the old key", lambda: load.answered > 50 and keys_seen(mock) == {"sk-old"})
        rotate()
        until("the new key is in use", lambda: "sk-new" in keys_seen(mock), seconds=1)
        # A request that had its key before the change may still have been on its way.
        mock.forget()
        seen = load.answered
        until("more requests", lambda: load.answered > seen + 100)
        mock.forget()
        seen = load.answered
        until("still more requests", lambda: load.answered > seen + 100)
        assert keys_seen(mock) == {"sk-new"}
    assert not load.failures, load.failures
