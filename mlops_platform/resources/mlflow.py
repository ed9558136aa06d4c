"""The door to MLflow, imported only when something is written or asked.

It keeps dagster-mlflow's convention, so that its users and its ``mlflow_tracking`` resource find our runs: one MLflow
run for each Dagster run, tagged ``dagster_run_id``. Creating that run is idempotent here (a lock and a search by tag),
and each station that really works gets a child run, ended in the process that did the work.
"""

import contextlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_platform.resources.home import Home
from mlops_platform.resources.locks import exclusive

if TYPE_CHECKING:
    from mlflow import MlflowClient

PARENT = "mlflow.parentRunId"
_LONGEST_PARAMETER = 6000


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """What a station tells MLflow about the artifact that it made.

    Attributes:
        params: Written once.
        metrics: The final figures.
        curves: Figures by epoch, counted from 0.
        files: Local files to attach.
        tags: Further tags of the run.
        nested: Runs beneath this one by name, such as the trials of a tuning.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    files: Sequence[Path] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    nested: Mapping[str, "Tracked"] = field(default_factory=dict)


def tracked_content(content: Mapping[str, Any]) -> Tracked:
    """The numbers of an artifact's content, nested names joined by dots, as metrics."""
    metrics: dict[str, float] = {}
    for name, value in content.items():
        if isinstance(value, Mapping):
            metrics |= {f"{name}.{inner}": number for inner, number in tracked_content(value).metrics.items()}
        elif isinstance(value, int | float):
            metrics[name] = float(value)
    return Tracked(metrics=metrics)


@dataclass(frozen=True)
class MlflowDoor:
    """MLflow's tracking store and registry for one project.

    Attributes:
        home: Where the store lives by default.
        project: Name of the project, which is also the experiment's.
        uri: Tracking URI; empty for SQLite in the home.
    """

    home: Home
    project: str
    uri: str = ""

    @cached_property
    def client(self) -> "MlflowClient":
        """MLflow's own client."""
        self.home.export()
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        from mlflow import MlflowClient

        self.home.mlflow.mkdir(parents=True, exist_ok=True)
        with self._lock():
            return MlflowClient(self.tracking_uri, self.tracking_uri)

    @property
    def tracking_uri(self) -> str:
        """Where runs and models are recorded."""
        return self.uri or f"sqlite:///{self.home.mlflow / 'mlflow.db'}"

    @cached_property
    def experiment(self) -> str:
        """Id of the project's experiment, made if need be."""
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(self.project)
        if found is not None:
            return found.experiment_id
        location = None if self.uri.startswith("http") else (self.home.mlflow / "artifacts").as_uri()
        try:
            return self.client.create_experiment(self.project, artifact_location=location)
        except MlflowException:
            found = self.client.get_experiment_by_name(self.project)
            if found is None:
                raise
            return found.experiment_id

    @property
    def exists(self) -> bool:
        """Whether the store has been made, told without importing MLflow; a server counts as there."""
        return bool(self.uri) or (self.home.mlflow / "mlflow.db").is_file()

    def parent_run(self, dagster_run_id: str, name: str) -> str:
        """The one MLflow run of a Dagster run."""
        experiment = self.experiment
        with self._lock():
            query = f"tags.dagster_run_id = '{dagster_run_id}' and tags.`mlops.station` = 'run'"
            found = self.client.search_runs([experiment], query)
            if found:
                return found[0].info.run_id
            tags = {"dagster_run_id": dagster_run_id, "mlops.station": "run", "mlflow.runName": name,
                    "mlops.environment": self.home.environment}  # fmt: skip
            return self.client.create_run(experiment, tags=tags).info.run_id

    def record(self, *, dagster_run_id: str, job: str, station: str, tracked: Tracked, tags: Mapping[str, str]) -> str:
        """Writes a station's child run and returns its id."""
        parent = self.parent_run(dagster_run_id, job)
        run = self._child(parent, station, tracked, tags)
        for name, inner in tracked.nested.items():
            self._complete(self._child(run, f"{station} {name}", inner, {}))
        self._complete(run)
        if self.client.get_run(parent).info.status != "FAILED":
            self.client.set_terminated(parent, "FINISHED")
        return run

    def _child(self, parent: str, station: str, tracked: Tracked, tags: Mapping[str, str]) -> str:
        """A run beneath another, not yet ended."""
        from mlflow.entities import Metric, Param

        every = {PARENT: parent, "mlops.station": station, "mlflow.runName": station, **tags, **tracked.tags}
        run = self.client.create_run(self.experiment, tags=every).info.run_id
        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, 0) for name, value in tracked.metrics.items()]
        for name, values in tracked.curves.items():
            metrics += [Metric(name, float(value), now, step) for step, value in enumerate(values)]
        params = [Param(name, str(value)[:_LONGEST_PARAMETER]) for name, value in tracked.params.items()]
        for start in range(0, len(metrics), 900):
            self.client.log_batch(run, metrics=metrics[start : start + 900])
        for start in range(0, len(params), 90):
            self.client.log_batch(run, params=params[start : start + 90])
        for path in tracked.files:
            self.client.log_artifact(run, str(path))
        return run

    def _complete(self, run: str) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(run, tags=[RunTag("mlops.complete", "true")])
        self.client.set_terminated(run, "FINISHED")

    def fail(self, dagster_run_id: str, job: str, reason: str) -> None:
        """Ends the run of a Dagster run as failed."""
        parent = self.parent_run(dagster_run_id, job)
        self.client.set_tag(parent, "mlops.error", reason[:4000])
        self.client.set_terminated(parent, "FAILED")

    def run_url(self, run_id: str) -> str:
        """Link to a run in MLflow's UI, as ``make dev`` serves it."""
        base = self.uri if self.uri.startswith("http") else os.environ.get("MLOPS_MLFLOW_UI", "http://127.0.0.1:5000")
        return f"{base}/#/experiments/{self.experiment}/runs/{run_id}"

    def _lock(self) -> contextlib.AbstractContextManager[None]:
        return exclusive(self.home, "mlflow")


class MlflowResource(dg.ConfigurableResource):
    """MLflow, as Dagster's assets reach it.

    Attributes:
        tracking_uri: A server's address; empty for SQLite in the home.
    """

    tracking_uri: str = ""

    def door(self, home: Home, project: str) -> MlflowDoor:
        """The door for one project."""
        return MlflowDoor(home, project, self.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", ""))
