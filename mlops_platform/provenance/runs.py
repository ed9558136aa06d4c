"""The runs behind an answer, with links to where Dagster and MLflow show them; neither is asked."""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass

from mlops_platform.manifest import Manifest
from mlops_platform.resources.home import Home

_DAGSTER, _MLFLOW = "http://127.0.0.1:3000", "http://127.0.0.1:5000"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One making of an artifact.

    Attributes:
        station: Which station, as its asset key joined by slashes.
        kind: Of the artifact.
        digest: Of the artifact.
        at: When, ISO 8601 in UTC.
        seconds: Wall time of the work.
        actor: Who asked.
        run_id: Dagster run.
        dagster: Link to it.
        mlflow: Link to the MLflow run; None where none was recorded.
    """

    station: str
    kind: str
    digest: str
    at: str
    seconds: float
    actor: str
    run_id: str
    dagster: str
    mlflow: str | None


def runs(home: Home, manifests: Iterable[Manifest | None]) -> list[Run]:
    """The runs that made artifacts, each artifact once, in the order given."""
    found = {manifest.digest: manifest for manifest in manifests if manifest is not None}
    return [
        Run(station=m.station, kind=m.kind, digest=digest, at=m.produced.at, seconds=m.produced.seconds,
            actor=m.produced.actor, run_id=m.produced.run_id, dagster=dagster_link(m.produced.run_id),
            mlflow=_mlflow_run(home, digest))
        for digest, m in found.items()
    ]  # fmt: skip


def dagster_link(run_id: str) -> str:
    """Where Dagster's UI shows a run; ``MLOPS_DAGSTER_UI`` says where that is."""
    return f"{os.environ.get('MLOPS_DAGSTER_UI', _DAGSTER)}/runs/{run_id}"


def version_link(project: str, model: str, version: str) -> str:
    """Where MLflow's UI shows a model version; ``MLOPS_MLFLOW_UI`` says where that is."""
    return f"{_mlflow_address()}/#/models/{project}.{model}/versions/{version}"


def _mlflow_run(home: Home, digest: str) -> str | None:
    note = home.mlflow / "runs" / f"{digest.removeprefix('sha256:')}.json"
    if not note.is_file():
        return None
    url: str = json.loads(note.read_bytes())["url"]
    # The address of the UI may be another one now than when the run was written.
    return _mlflow_address() + url[url.index("/#/") :] if "/#/" in url else url


def _mlflow_address() -> str:
    tracked = os.environ.get("MLFLOW_TRACKING_URI", "")
    return tracked if tracked.startswith("http") else os.environ.get("MLOPS_MLFLOW_UI", _MLFLOW)
