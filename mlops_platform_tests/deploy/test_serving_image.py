"""The image of the service, which no test can build: its paths, its commands, its list of libraries, its manifests."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import pytest
import typer
import yaml
from packaging.requirements import Requirement

from mlops_platform.cli.app import app
from mlops_platform.serving.http.auth import OPEN
from mlops_platform.serving.http.health import health_router
from mlops_platform.serving.http.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "serving"
LINES = (FOLDER / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
NEVER = {"torch", "pytorch-lightning", "mlflow", "feast", "dagster", "pandas", "scikit-learn", "onnx"}
KUBERNETES = "1.34"
_OF_KSERVE = {"minReplicas", "maxReplicas", "scaleMetric", "scaleTarget"}

_IMPORTED = """
import importlib.metadata, json, sys
import mlops_platform.cli.app
import mlops_platform.cli.served
import mlops_platform.cli.serving
import mlops_platform.serving.http.supervisor
import mlops_platform.serving.http.worker
import fastapi, httptools, onnxruntime, prometheus_client.multiprocess, uvicorn, uvloop
owners = importlib.metadata.packages_distributions()
known = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted({owner for name in known for owner in owners.get(name, ())})))
"""


def told(instruction: str) -> list[str]:
    """What follows an instruction, of each of its lines."""
    return [line.partition(" ")[2].strip() for line in LINES if line.startswith(f"{instruction} ")]


def named(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", requirement).lower()


def closure(names: set[str]) -> set[str]:
    """Distributions and all that they need, of those that are installed here."""
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        found.add(name)
        try:
            needed = map(Requirement, importlib.metadata.requires(name) or ())
        except importlib.metadata.PackageNotFoundError:
            continue
        waiting |= {named(r.name) for r in needed if not r.marker or r.marker.evaluate({"extra": ""})} - found
    return found


def test_every_path_that_is_copied_exists_and_is_let_into_the_build() -> None:
    let_in = [line[1:].removesuffix("/**") for line in (FOLDER / "Dockerfile.dockerignore").read_text().split()
              if line.startswith("!")]  # fmt: skip
    copied = [part for line in told("COPY") if "--from" not in line for part in line.split()[:-1] if part[:2] != "--"]
    assert copied and all((ROOT / path).exists() for path in copied)
    assert set(copied) == set(let_in)


def test_its_commands_and_options_are_those_of_mlops_serve() -> None:
    (entry,), (arguments,) = (list(map(json.loads, told(name))) for name in ("ENTRYPOINT", "CMD"))
    assert entry == ["mlops", "serve"]
    assert importlib.metadata.entry_points(group="console_scripts")["mlops"].value == "mlops_platform.cli:main"
    command: Any = typer.main.get_command(app)
    given = command.commands["serve"].make_context("serve", [*arguments])
    assert given.params["host"] == "0.0.0.0" and given.params["drain"] == 5
    (port,) = told("EXPOSE")
    assert str(given.params["port"]) == port
    assert any(line.startswith("HEALTHCHECK") and f"127.0.0.1:{port}/livez" in line for line in LINES)
    assert told("USER") == ["10001:10001"] and any("useradd --uid 10001" in line for line in LINES)


def test_its_environment_names_the_project_and_the_home() -> None:
    (told_last,) = (line for line in told("ENV") if "MLOPS_HOME" in line)
    variables = dict(pair.split("=", 1) for pair in told_last.split())
    module, _, name = variables["MLOPS_PROJECT"].partition(":")
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file() and name == "PROJECT"
    assert variables["MLOPS_HOME"] == told("VOLUME")[0]


def test_the_list_of_libraries_is_what_a_worker_imports() -> None:
    lines = (FOLDER / "requirements.txt").read_text().splitlines()
    listed = {named(line) for line in lines if line and not line.startswith("#")}
    pinned = {named(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert listed <= pinned, "each has an exact version in constraints.txt"
    installed = closure(listed)
    assert installed.isdisjoint(NEVER)
    done = subprocess.run([sys.executable, "-c", _IMPORTED], capture_output=True, text=True, check=True, cwd=ROOT)
    imported = {named(name) for name in json.loads(done.stdout)}
    # Of this machine's interpreter, or looked for by libraries that do without.
    others = {name for name in imported - installed if not name.startswith("opentelemetry")}
    assert others <= {"mlops-platform", "setuptools", "watchfiles"}, "add them to deploy/serving/requirements.txt"


@pytest.mark.parametrize("document", list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())),
                         ids=lambda document: str(document["kind"]))  # fmt: skip
def test_the_manifests_are_kubernetes_own(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, KUBERNETES, strict=True)


def test_probes_ports_and_the_time_to_end_are_those_of_the_service() -> None:
    deployment, service, _, scaler = yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())
    kserve = yaml.safe_load((FOLDER / "kserve.yaml").read_text())
    answered = {getattr(route, "path", None) for route in health_router(cast(Any, None)).routes}
    for pod in (deployment["spec"]["template"]["spec"], kserve["spec"]["predictor"]):
        (container,) = pod["containers"]
        given = dict(zip(container["args"][1::2], container["args"][2::2], strict=True))
        (port,) = container["ports"]
        assert str(port["containerPort"]) == given["--port"]
        probes = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
        assert {probe["port"] for probe in probes.values()} <= {port["name"], port["containerPort"]}
        paths = {name: probe["path"] for name, probe in probes.items()}
        # A restart mends neither a missing champion nor a registry that is away.
        assert paths == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
        assert set(paths.values()) <= answered & OPEN, "probes bring no token"
        assert pod["terminationGracePeriodSeconds"] > float(given["--drain"]) + Settings().stop_seconds
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    assert "replicas" not in deployment["spec"] and scaler["spec"]["minReplicas"] == 2


def test_kserves_predictor_is_a_pod_with_kserves_own_fields() -> None:
    service = yaml.safe_load((FOLDER / "kserve.yaml").read_text())
    assert (service["apiVersion"], service["kind"]) == ("serving.kserve.io/v1beta1", "InferenceService")
    predictor = service["spec"]["predictor"]
    pod = {name: value for name, value in predictor.items() if name not in _OF_KSERVE}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": service["metadata"], "spec": pod}
    kubernetes_validate.validate(document, KUBERNETES, strict=True)
    (container,) = predictor["containers"]
    assert container["name"] == "kserve-container", "KServe finds the predictor by this name"
    deployment = next(iter(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())))
    (plain,) = deployment["spec"]["template"]["spec"]["containers"]
    assert (plain["args"], plain["image"], plain["env"]) == (container["args"], container["image"], container["env"])
