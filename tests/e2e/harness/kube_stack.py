"""Rota on a genuine Kubernetes API server: one namespace, a controller or several, a data plane."""
from harness import http
from harness.stack import KEY, Controller, api
from harness.wait import until


def controller(world, kubectl, *flags, name="controller", kubeconfig=None):
    """One on the namespace of `kubectl`, where its lease is as well."""
    return world.add(Controller(
        world.folder, "kube", "--kubeconfig", kubeconfig or kubectl.server.kubeconfig, "--namespace",
        kubectl.namespace, "--lease-namespace", kubectl.namespace, *flags, name=name))


def serve(world, kubectl, *plane_flags, key=KEY, **named):
    world.mock(key=key)
    world.controller = controller(world, kubectl)
    world.plane(*plane_flags, **named)
    return world


def resource(name="assistant", **named):
    return {"apiVersion": "gateway.rota.dev/v1alpha1", "kind": "API", "metadata": {"name": name},
            "spec": api(name, **named)}


def path_of(name):
    return f"/{name}/1.0/chat/completions"


def ask(world, name="assistant"):
    return http.ask(world.planes[0].http, "POST", path_of(name), http.CHAT)


def ready_api(world, kubectl, key=KEY, **named):
    kubectl("create", "secret", "generic", "openai-key", f"--from-literal=apiKey={key}")
    kubectl.apply(resource(**named))
    world.planes[0].wait_serves(path_of(named.get("name", "assistant")))
    until("the first answer", lambda: ask(world, named.get("name", "assistant")).status == 200)
