"""rotactl and kubectl rota beside running programs: status, suspensions, explain, lift, top."""
import json
import os
import pathlib
import signal
import stat
import subprocess

import pytest

from harness import http
from harness.process import BIN, clean_environment, die_with_parent, run
from harness.stack import KEY, Controller, api, quota, secret
from harness.wait import until

PATH = "/assistant/1.0/chat/completions"


@pytest.fixture
def fleet(world):
    """Two data planes that serve one API."""
    world.serve_directory({"api.yaml": api(models=[("gpt-4o", 2), "gpt-4o-mini"]), "secret.yaml": secret(apiKey=KEY)})
    world.plane(name="plane-a")
    world.plane(name="plane-b")
    return world


def planes(world):
    return [part for plane in world.planes for part in ("--data-plane", f"http://{plane.admin}")]


def as_json(done, code=0):
    assert done.returncode == code, done
    return json.loads(done.stdout)


def suspend(world, model="gpt-4o"):
    """One data plane learns it; both know."""
    world.mock_server.behave({model: quota(60)})
    until("it is asked", lambda: http.ask(world.planes[0].http, "POST", PATH, http.CHAT).status
          and model in world.planes[0].suspended())
    until("both know", lambda: all(model in plane.suspended() for plane in world.planes))
    world.mock_server.forget()


def test_status_shows_the_fleet_and_what_is_wrong(fleet):
    controller = ("--controller", fleet.controller.admin)
    until("all is well", lambda: run("rotactl", "status", *controller).returncode == 0)
    report = as_json(run("rotactl", "status", *controller, "-o", "json"))
    assert report["gateways"] == ["default/default"] and report["apis"] == 1
    assert {plane["name"] for plane in report["data_planes"]} == {"plane-a", "plane-b"}
    assert all(plane["is_current"] for plane in report["data_planes"]), report
    table = run("rotactl", "status", *controller, *planes(fleet)).stdout
    assert "plane-a" in table and fleet.planes[0].admin in table and "\x1b" not in table

    fleet.directory.write("bad.yaml", api("broken", models=[("gpt-4o", 0)]))
    until("it is seen", lambda: "broken" in run("rotactl", "status", *controller).stdout)
    done = run("rotactl", "status", *controller)
    assert done.returncode == 1 and "Accepted=False" in done.stdout, done


def test_suspensions_are_listed_explained_and_lifted_everywhere(fleet):
    nobody = run("rotactl", "get", "suspensions", *planes(fleet))
    assert nobody.returncode == 0 and "Nobody" in nobody.stdout
    suspend(fleet)
    listed = as_json(run("rotactl", "get", "suspensions", *planes(fleet), "-o", "json"))["suspensions"]
    assert len(listed) == 1 and listed[0]["model"] == "gpt-4o" and listed[0]["known_to"] == 2, listed
    assert "\n    reason: quota\n" in run("rotactl", "get", "suspensions", *planes(fleet), "-o", "yaml").stdout
    name = listed[0]["api"]

    explained = run("rotactl", "explain", name, "--model", "gpt-4o", *planes(fleet))
    assert explained.returncode == 1 and "suspended: quota" in explained.stdout, explained
    assert as_json(run("rotactl", "explain", name, "--env", "sandbox", "--model", "gpt-4o-mini", *planes(fleet),
                       "-o", "json"))["environment"] == "sandbox"

    assert run("rotactl", "lift", name, "--model", "gpt-4o-mini", *planes(fleet)).returncode == 1
    # One data plane is told; the other hears of it through the controller.
    lifted = as_json(run("rotactl", "lift", name, "--model", "gpt-4o", *planes(fleet)[:2], "-o", "json"))
    assert [one["model"] for one in lifted["lifted"]] == ["gpt-4o"]
    until("it is back everywhere", lambda: not any(plane.suspended() for plane in fleet.planes), seconds=5)
    assert run("rotactl", "explain", name, "--model", "gpt-4o", *planes(fleet)).returncode == 0


def test_explain_says_what_comes_next_and_picks_nothing(fleet):
    plane = fleet.planes[0]
    explain = ("rotactl", "explain", "--path", PATH, "--data-plane", plane.admin, "-o", "json")
    upcoming = [next_["model"] for next_ in as_json(run(*explain))["rotation"]["next"]]
    assert upcoming == [next_["model"] for next_ in as_json(run(*explain))["rotation"]["next"]]
    answered = [http.ask(plane.http, "POST", PATH, http.CHAT).json()["model"] for _ in upcoming]
    assert answered == upcoming and answered.count("gpt-4o") > answered.count("gpt-4o-mini")


@pytest.mark.parametrize("arguments, code, says", [
    (["--path", "/nowhere"], 1, "404"),
    (["--path", PATH, "--verb", "PUT"], 1, "405"),
    (["nobody"], 1, "nobody"),
    ([], 2, "give an API"),
    (["--path", PATH, "--host", "chat.sandbox.example.com"], 0, "a label of the host"),
])
def test_explain_of_what_is_not_sent(fleet, arguments, code, says):
    done = run("rotactl", "explain", *arguments, "--data-plane", fleet.planes[0].admin)
    assert done.returncode == code and says in done.stdout + done.stderr, done


def test_lifting_needs_an_admin_port_on_loopback(world):
    world.serve_directory({"api.yaml": api(), "secret.yaml": secret(apiKey=KEY)})
    plane = world.plane(host="0.0.0.0")
    port = plane.admin.rpartition(":")[2]
    open_to_all = world.add(Controller(world.folder, f"dir:{world.directory.path}", "--insecure", name="open",
                                       host="0.0.0.0"))
    for admin in (port, open_to_all.admin.rpartition(":")[2]):
        refused = http.ask(f"127.0.0.1:{admin}", "POST", "/debug/lift?target=x")
        assert refused.status == 403 and "loopback" in refused.body
    assert http.ask(world.controller.admin, "POST", "/debug/lift?target=x").status == 200


def test_top_counts_what_goes_through(fleet):
    command = [str(BIN / "rotactl"), "top", "--watch", "--interval", "300ms", "-o", "json", *planes(fleet)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=clean_environment(),
                          preexec_fn=die_with_parent) as top:
        try:
            def seen():
                for plane in fleet.planes:
                    assert http.ask(plane.http, "POST", PATH, http.CHAT).status == 200
                rows = {row["model"]: row for row in json.loads(top.stdout.readline())["rows"]
                        if row["environment"] == "production"}
                return rows.get("gpt-4o", {}).get("requests_per_second", 0) > 0
            until("requests are counted", seen)
        finally:
            top.send_signal(signal.SIGINT)


def test_nobody_there_is_exit_code_3():
    done = run("rotactl", "status", "--controller", "127.0.0.1:1")
    assert done.returncode == 3 and "127.0.0.1:1 does not answer" in done.stderr


FAKE_KUBECTL = """#!/usr/bin/env python3
import json, os, socket, sys, threading
arguments = sys.argv[1:]
with open(os.environ["FAKE_KUBECTL_LOG"], "a") as log:
    log.write(json.dumps(arguments) + "\\n")
pods = json.loads(os.environ["FAKE_KUBECTL_PODS"])
if arguments[0] == "get":
    component = next(a for a in arguments if a.startswith("--selector=")).rpartition("=")[2]
    print(json.dumps({"items": [
        {"metadata": {"namespace": "gateways", "name": name}, "status": {"phase": "Running"},
         "spec": {"containers": [{"ports": [{"name": "admin", "containerPort": port}]}]}}
        for name, port in pods.get(component, {}).items()]}))
    sys.exit()
assert arguments[0] == "port-forward", arguments
port = int(next(a for a in arguments if a.startswith(":"))[1:])
listener = socket.create_server(("127.0.0.1", 0))
print(f"Forwarding from 127.0.0.1:{listener.getsockname()[1]} -> {port}", flush=True)
def pump(a, b):
    while data := a.recv(65536):
        b.sendall(data)
    b.shutdown(socket.SHUT_WR)
while True:
    near, _ = listener.accept()
    far = socket.create_connection(("127.0.0.1", port))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@pytest.fixture
def kubectl(fleet, tmp_path):
    """A kubectl that knows our processes as pods; runs kubectl-rota with it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "kubectl"
    script.write_text(FAKE_KUBECTL)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    log = tmp_path / "kubectl.log"
    pods = {"dataplane": {plane.name: int(plane.admin.rpartition(":")[2]) for plane in fleet.planes},
            "controller": {"controller": int(fleet.controller.admin.rpartition(":")[2])}}

    def ask(*arguments):
        return run("kubectl-rota", *arguments, env={
            "PATH": f"{folder}:{os.environ['PATH']}", "FAKE_KUBECTL_PODS": json.dumps(pods),
            "FAKE_KUBECTL_LOG": str(log)})
    ask.log = log
    ask.pods = pods
    return ask


def test_the_plugin_forwards_to_the_chart_s_pods(kubectl):
    until("all is well", lambda: kubectl("status", "-n", "gateways").returncode == 0)
    done = kubectl("status", "-n", "gateways", "--context", "prod", "--kubeconfig", "/some/config")
    assert "plane-a" in done.stdout and "controller" in done.stdout, done
    for call in [json.loads(line) for line in kubectl.log.read_text().splitlines()][-2:]:
        assert {"--namespace=gateways", "--context=prod", "--kubeconfig=/some/config"} <= set(call), call
    suspensions = as_json(kubectl("get", "suspensions", "-o", "json"))
    assert suspensions["data_planes"] == 2
    assert kubectl("explain", "--path", PATH).returncode == 0


def test_the_plugin_without_pods_says_what_to_do(kubectl):
    kubectl.pods.clear()
    done = kubectl("status")
    assert done.returncode == 3 and "--namespace" in done.stderr, done


def test_the_plugin_shows_the_name_by_which_it_is_called_and_completes():
    assert "kubectl rota" in run("kubectl-rota", "--help").stdout
    assert "Usage: rotactl" in run("rotactl", "--help").stdout
    assert run("kubectl_complete-rota", "get", "").stdout == "suspensions\n:4\n"
    assert run("rotactl", "__complete", "explain", "--env", "s").stdout == "sandbox\n:4\n"
    if pathlib.Path("/bin/bash").exists():
        done = subprocess.run(
            ["bash", "-c", 'source <(rotactl completion bash); COMP_WORDS=(rotactl sta); COMP_CWORD=1; _rotactl; '
             'printf "%s" "${COMPREPLY[@]}"'],
            env={"PATH": f"{BIN}:{os.environ['PATH']}"}, capture_output=True, text=True, timeout=30, check=False)
        assert done.stdout == "status", done
