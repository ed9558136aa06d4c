"""A Kubernetes of one node that is no cluster: it checks a pod by the API's schema and runs its container as a process.

It has the few paths that dagster-k8s' Pipes client asks for. What it leaves out: images, mounts (the pod's paths are
this machine's), limits, scheduling.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

ROOT = Path(__file__).parents[2]
VERSION = "1.34"


@dataclass
class Fake:
    """What the server knows.

    Attributes:
        secrets: Values by secret and key.
        pods: Those that were made, by name; ``pod`` is what was asked for.
        never: Why pods do not start, as Kubernetes says it; None where they do.
        away: How many questions to come are answered by 503.
        refuses: Whether nobody may create a pod.
    """

    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pods: dict[str, "Pod"] = field(default_factory=dict)
    never: str | None = None
    away: int = 0
    refuses: bool = False


@dataclass
class Pod:
    """One pod, and the process that stands for its container."""

    pod: dict[str, Any]
    process: "subprocess.Popen[bytes] | None"
    deleted: bool = False
    why: str | None = None

    def answer(self) -> dict[str, Any]:
        """As the API tells it."""
        return {"apiVersion": "v1", "kind": "Pod", "metadata": self.pod["metadata"], "spec": self.pod["spec"],
                "status": self._status()}  # fmt: skip

    def _status(self) -> dict[str, Any]:
        if self.process is None:
            return {"phase": "Pending", "containerStatuses": [self._container({"waiting": {"reason": self.why}})]}
        code = self.process.poll()
        if code is None:
            return {"phase": "Running", "containerStatuses": [self._container({"running": {}})]}
        told = {"exitCode": code if code >= 0 else 128 - code, "reason": "Completed" if code == 0 else "Error"}
        if self.why:
            told["reason"] = self.why
        phase = "Succeeded" if code == 0 else "Failed"
        return {"phase": phase, "containerStatuses": [self._container({"terminated": told})]}

    def _container(self, state: dict[str, Any]) -> dict[str, Any]:
        return {"name": "training", "ready": True, "restartCount": 0, "image": "", "imageID": "", "state": state}


def _started(pod: dict[str, Any], fake: Fake) -> Pod:
    if fake.never:
        return Pod(pod, None, why=fake.never)
    (container,) = pod["spec"]["containers"]
    env = {}
    for source in container.get("envFrom", []):
        env |= fake.secrets[source["secretRef"]["name"]]
    for variable in container["env"]:
        of = variable.get("valueFrom", {}).get("secretKeyRef")
        env[variable["name"]] = fake.secrets[of["name"]][of["key"]] if of else variable["value"]
    command = [sys.executable, *container["command"][1:]]
    here = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
    process = subprocess.Popen(command, env={**here, **env}, start_new_session=True, stdout=subprocess.DEVNULL)
    return Pod(pod, process)


class _Api(BaseHTTPRequestHandler):
    fake: Fake

    def do_POST(self) -> None:
        pod = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.fake.refuses:
            return self._send(403, {"kind": "Status", "code": 403, "message": "pods is forbidden"})
        kubernetes_validate.validate({"apiVersion": "v1", "kind": "Pod", **pod}, VERSION, strict=True)
        self.fake.pods[pod["metadata"]["name"]] = made = _started(pod, self.fake)
        self._send(201, made.answer())

    def do_GET(self) -> None:
        if self.fake.away:
            self.fake.away -= 1
            return self._send(503, {"kind": "Status", "code": 503})
        path, _, query = self.path.partition("?")
        there = {name: pod for name, pod in self.fake.pods.items() if not (pod.deleted and _ended(pod))}
        if path.endswith("/log"):
            self._send(200, "")
        elif path.endswith("/pods"):
            self._send(200, {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [
                pod.answer() for name, pod in there.items() if name in query]})  # fmt: skip
        elif (name := path.rpartition("/")[2]) in there:
            self._send(200, there[name].answer())
        else:
            self._send(404, {"kind": "Status", "code": 404})

    def do_DELETE(self) -> None:
        pod = self.fake.pods[self.path.rpartition("/")[2]]
        pod.deleted = True
        if pod.process is not None and pod.process.poll() is None:
            pod.process.terminate()
        self._send(200, pod.answer())

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _send(self, code: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _ended(pod: Pod) -> bool:
    return pod.process is None or pod.process.poll() is not None


@contextlib.contextmanager
def fake_kubernetes(folder: Path, fake: Fake) -> Iterator[Path]:
    """Serves until the block ends; the kubeconfig that leads there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Api", (_Api,), {"fake": fake}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    config = folder / "kubeconfig"
    config.write_text(yaml.safe_dump({
        "apiVersion": "v1", "kind": "Config", "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        "users": [{"name": "fake", "user": {}}],
    }))  # fmt: skip
    try:
        yield config
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
        for pod in fake.pods.values():
            if pod.process is not None:
                pod.process.kill()
                pod.process.wait()
