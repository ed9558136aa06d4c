"""The pod in which a training runs on Kubernetes, written down; no cluster is needed to look at it."""

from pathlib import Path
from typing import Any

from mlops_platform.resources.launchers import Launch
from mlops_platform.resources.launchers.settings import KubernetesSettings

GROUP = "mlops_platform.training.program.group"
CONTAINER = "training"
_HOME, _MEMORY = "home", "shared-memory"
# After the kill of the processes: for their group to write down how they ended.
_AFTERWARDS_SECONDS = 15


def metadata(settings: KubernetesSettings, run_id: str, asset: str) -> dict[str, Any]:
    """The pod's labels and annotations; its name is dagster-k8s' own.

    Args:
        settings: Of the cluster.
        run_id: Dagster's run.
        asset: Key of the checkpoint, joined by slashes.
    """
    project, model, station = ([*asset.split("/"), "", ""])[:3]
    own = {"dagster/run-id": run_id, "mlops/project": project, "mlops/model": model, "mlops/station": station}
    labels = {name: _label(value) for name, value in own.items() if value}
    return {"labels": {**settings.labels, **labels}, "annotations": {**settings.annotations, "mlops/asset": asset}}


def spec(settings: KubernetesSettings, launch: Launch, folder: Path, home: Path) -> dict[str, Any]:
    """The pod's specification.

    Args:
        settings: Of the cluster.
        launch: What runs in it.
        folder: Shared with this process.
        home: That both see, at this same path.
    """
    kill = round(launch.grace_seconds) + _AFTERWARDS_SECONDS
    optional = {
        "serviceAccountName": settings.service_account, "nodeSelector": dict(settings.node_selector),
        "tolerations": list(settings.tolerations),
    }  # fmt: skip
    return {
        "containers": [_container(settings, launch, folder, home)],
        "volumes": [
            {"name": _HOME, "persistentVolumeClaim": {"claimName": settings.home_claim}},
            {"name": _MEMORY, "emptyDir": {"medium": "Memory", "sizeLimit": settings.shared_memory}},
        ],
        # A new start is asked for by who waits for the training, which then resumes.
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": kill,
        "activeDeadlineSeconds": settings.deadline_seconds,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **{name: value for name, value in optional.items() if value},
    }


def _container(settings: KubernetesSettings, launch: Launch, folder: Path, home: Path) -> dict[str, Any]:
    told = {
        "job": launch.job, "folder": folder, "program": launch.program, "devices": launch.devices,
        "grace": launch.grace_seconds, "orphan": settings.orphan_seconds,
    }  # fmt: skip
    needs = {"cpu": str(launch.devices * launch.threads), "memory": settings.memory}
    if launch.accelerator == "cuda":
        needs[settings.gpu_resource] = str(launch.devices)
    sub_path = {"subPath": settings.home_sub_path} if settings.home_sub_path else {}
    return {
        "name": CONTAINER,
        "image": settings.image,
        "command": [
            "python",
            "-m",
            GROUP,
            *(part for name, value in told.items() for part in (f"--{name}", str(value))),
        ],
        "env": _variables(settings, launch),
        "envFrom": [{"secretRef": {"name": name}} for name in settings.secrets],
        "resources": {"requests": needs, "limits": dict(needs)},
        "volumeMounts": [
            {"name": _HOME, "mountPath": str(home), **sub_path},
            {"name": _MEMORY, "mountPath": "/dev/shm"},
        ],
        "securityContext": {"allowPrivilegeEscalation": False},
    }


def _variables(settings: KubernetesSettings, launch: Launch) -> list[dict[str, Any]]:
    plain = [{"name": name, "value": value} for name, value in {**launch.env, **settings.env}.items()]
    secret = []
    for name, place in settings.secret_env.items():
        of, _, key = place.partition("/")
        secret.append({"name": name, "valueFrom": {"secretKeyRef": {"name": of, "key": key}}})
    return [*plain, *secret]


def _label(value: str) -> str:
    """A value as labels may have it: 63 letters, digits, ``-``, ``_`` and ``.``, a letter or digit at both ends."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in value)[:63]
    return kept.strip("-_.")
