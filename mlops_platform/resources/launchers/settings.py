"""What the launchers of clusters are told, in one place: the file ``clusters.toml`` of the home's environment.

A declaration says what a training needs; where a team's clusters are, and what their pods look like, is of the place
where Dagster runs, and the same for the UI, the sensors and the command line there.
"""

import tomllib
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home

FILE = "clusters.toml"
_Section = TypeVar("_Section", bound="_Settings")


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RaySettings(_Settings):
    """A Ray cluster, by which launcher ``ray`` trains: section ``[ray]``.

    Attributes:
        address: Of its dashboard, such as ``http://head:8265``; as everywhere in Ray, ``RAY_ADDRESS`` goes before it.
        python: Command that starts Python on its nodes, in an environment that has this platform and the project.
        env: Further variables of the training's processes. Ray's dashboard shows them: secrets belong in the
            environment of the cluster's nodes.
        wait_seconds: How long a training waits for free nodes.
        orphan_seconds: How long a training goes on when nothing is heard of the Dagster process that waits for it.
    """

    address: str = ""
    python: str = "python"
    env: dict[str, str] = {}
    wait_seconds: float = 3600.0
    orphan_seconds: float = 120.0


class KubernetesSettings(_Settings):
    """A Kubernetes cluster, by which launcher ``kubernetes`` trains, and the pod that does: section ``[kubernetes]``.

    Attributes:
        image: Of the container: it has this platform, the project and, for GPUs, a CUDA build of torch.
        home_claim: PersistentVolumeClaim that holds the home; it is mounted at the path it has where Dagster runs.
        home_sub_path: Folder of that claim that is the home; empty for its root.
        namespace: Of the pod; empty for the current one.
        memory: Requested and allowed, such as ``16Gi``.
        shared_memory: Allowed at ``/dev/shm``, where processes of one training meet; counted as memory.
        gpu_model: Of the nodes' GPUs; it becomes part of a checkpoint's recipe. Empty where there are none.
        gpus_per_node: How many of them a node has.
        gpu_resource: Name under which the cluster counts them.
        secrets: Secrets whose every key becomes a variable of the program.
        secret_env: Variables taken from one key of a secret each, as ``secret/key``.
        env: Further variables, in plain sight.
        node_selector: Labels that the pod's node must have.
        tolerations: Of the node's taints, as Kubernetes writes them.
        service_account: That the pod runs as; empty for the namespace's default.
        labels, annotations: Further ones of the pod.
        deadline_seconds: After which Kubernetes ends the pod, whatever it does.
        kubeconfig, kube_context: How the cluster is reached from outside it; empty for the usual way.
        wait_seconds: How long the pod may wait for a node.
        orphan_seconds: How long a training goes on when nothing is heard of the Dagster process that waits for it.
        poll_seconds: Between two questions for the pod's state.
    """

    image: str = ""
    home_claim: str = ""
    home_sub_path: str = ""
    namespace: str = ""
    memory: str = "8Gi"
    shared_memory: str = "2Gi"
    gpu_model: str = ""
    gpus_per_node: int = 1
    gpu_resource: str = "nvidia.com/gpu"
    secrets: list[str] = []
    secret_env: dict[str, Annotated[str, Field(pattern="^[^/]+/[^/]+$")]] = {}
    env: dict[str, str] = {}
    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, Any]] = []
    service_account: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    deadline_seconds: int = 7 * 24 * 3600
    kubeconfig: str = ""
    kube_context: str = ""
    wait_seconds: float = 3600.0
    orphan_seconds: float = 120.0
    poll_seconds: float = 5.0


_SECTIONS: dict[str, type[_Settings]] = {"ray": RaySettings, "kubernetes": KubernetesSettings}


def place(home: Home | None = None) -> Path:
    """Where the file is, or would be; of the environment's home where none is given."""
    return (home or Home.from_environment()).root / FILE


def settings_of(kind: type[_Section], home: Home | None = None) -> _Section:
    """A section of ``clusters.toml``; all as usual where there is no such file or section.

    Args:
        kind: Which.
        home: Whose; None for that of the environment.

    Raises:
        PlatformError: The file is no TOML, or has a section, field or type that it should not have.
    """
    path = place(home)
    written = _read(path) if path.is_file() else {}
    found: _Section = written.get(kind, kind())
    return found


def _read(path: Path) -> dict[Any, Any]:
    """The whole file, so that a mistake in any part of it is found by whoever looks first."""
    try:
        written = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise _refused(path, str(error)) from error
    found = {}
    for name, section in written.items():
        if name not in _SECTIONS or not isinstance(section, dict):
            raise _refused(path, f"section or field {name}")
        try:
            found[_SECTIONS[name]] = _SECTIONS[name](**section)
        except ValidationError as error:
            first = error.errors()[0]
            raise _refused(path, f"{name}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    return found


def _refused(path: Path, found: str) -> PlatformError:
    sections = "; ".join(f"[{name}] of {', '.join(kind.model_fields)}" for name, kind in _SECTIONS.items())
    return PlatformError(
        required=f"{path} to be TOML with {sections}", found=found, remedy="mend that line of the file"
    )
