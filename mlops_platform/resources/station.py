"""The door between Dagster and the artifacts: a station makes its artifact, or takes the one its recipe gave before."""

import contextlib
import getpass
import json
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.manifest import Manifest, Produced, Recipe, TableRef, digest_file, short
from mlops_platform.resources.artifacts import Artifact, ArtifactStore, write_whole
from mlops_platform.resources.databases import held_open
from mlops_platform.resources.home import Home
from mlops_platform.resources.locks import RUNS, shared
from mlops_platform.resources.memo import look
from mlops_platform.resources.mlflow import MlflowDoor, MlflowResource, Tracked
from mlops_platform.resources.reaper import reap
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.source_code import git_revision


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a station's work leaves beside the files in its folder.

    Attributes:
        content: Facts decided by the recipe alone; part of the digest.
        measured: Facts that vary between makings.
        table: The Delta table that the artifact stands for.
    """

    content: Mapping[str, Any] = field(default_factory=dict)
    measured: Mapping[str, Any] = field(default_factory=dict)
    table: TableRef | None = None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a listener hears of a station: when it begins (``seconds`` is None) and when it ends, one way or the other.

    Attributes:
        station: Asset key, joined by slashes.
        seconds: Wall time.
        hit: Whether an earlier artifact was taken.
        manifest: What the station now stands for.
        error: Why it failed.
        skipped: Why there was nothing to make, where that is no fault.
    """

    station: str
    seconds: float | None = None
    hit: bool = False
    manifest: Manifest | None = None
    error: BaseException | None = None
    skipped: str | None = None


listeners: list[Callable[[Progress], None]] = []

# Why each failed run of this process failed: MLflow hears of it even where it is imported only later in the run.
_failed: dict[str, str] = {}


class Stations(dg.ConfigurableResource):
    """Runs the work of stations under one home.

    Attributes:
        path: The home folder; empty for ``MLOPS_HOME``.
        environment: dev, staging or prod; empty for ``MLOPS_ENV``.
        mlflow: Where runs are tracked and models registered.
    """

    path: str = ""
    environment: str = ""
    mlflow: dg.ResourceDependency[MlflowResource]

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["Stations"]:
        """Ends the runs of dead processes before the first step, and holds Dagster's databases open until the end.

        No garbage is collected meanwhile.
        """
        with shared(self.home, RUNS), held_open(self.home):
            if context.instance is not None and context.run is not None:
                reap(context.instance, context.run.run_id)
            yield self

    @property
    def home(self) -> Home:
        """The home, made ready."""
        default = Home.from_environment()
        path = Path(self.path) if self.path else default.path
        home = Home(path, self.environment or default.environment, default.landing_at)
        home.prepare()
        return home

    @property
    def store(self) -> ArtifactStore:
        """The home's artifact store."""
        return ArtifactStore(self.home)

    def tracking(self, project: str) -> MlflowDoor:
        """MLflow for one project."""
        return self.mlflow.door(self.home, project)

    def tracked_run(self, artifact: Artifact) -> str | None:
        """MLflow run in which an artifact was recorded, if it was."""
        note = self._note(artifact)
        return json.loads(note.read_bytes())["run_id"] if note.is_file() else None

    def _note(self, artifact: Artifact) -> Path:
        return self.home.mlflow / "runs" / f"{artifact.folder.name}.json"

    def input(self, station: str) -> Artifact:
        """The artifact that an upstream station stands for now."""
        return Refs(self.home).read(station)

    def make(
        self,
        context: dg.AssetExecutionContext,
        *,
        kind: str,
        code: tuple[str, ...],
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        work: Callable[[Path], Made],
        software: Mapping[str, str] | None = None,
        show: Callable[[Artifact], Mapping[str, Any]] | None = None,
        track: Callable[[Artifact], Tracked] | None = None,
        redo: bool | str = False,
        outside: bool = False,
        after: Callable[[Recipe], object] | None = None,
    ) -> dg.MaterializeResult:
        """Takes the artifact of this recipe, or makes it.

        Args:
            context: Of the asset.
            kind: Of the artifact.
            code: References of the functions that do the work.
            config: The part of the declaration that decides the result.
            inputs: Digest of each input by role.
            work: Fills the staging folder it is given.
            software: Versions beside those that the code's imports tell.
            show: Further metadata for the UI.
            track: What MLflow is told of an artifact that was made now.
            redo: Makes it again although the recipe is known: where what it left outside the store is gone, or for the
                reason given as text.
            outside: Whether the work also changes something outside the store, so that an artifact found counts only if
                it is the one this station made last.
            after: Called with the recipe as soon as the station stands for its artifact, made now or before.

        Returns:
            The materialization, its data version the artifact's digest.
        """
        station = "/".join(context.asset_key.path)
        _tell(Progress(station=station))
        begun = time.perf_counter()
        refs = Refs(self.home)
        looked = look(refs, station, code=code, config=config, inputs=inputs, software=software, redo=redo,
                      outside=outside)  # fmt: skip
        found = looked.found
        if found is None:
            refs.store.keep_code(looked.parts)
            if outside:
                refs.forget(station)
        artifact = found or self._work(context, kind, looked.recipe, work, begun)
        refs.write(artifact.manifest, looked.recipe.key, station=station, hit=found is not None,
                   because=looked.because, run_id=context.run.run_id)  # fmt: skip
        if after is not None:
            after(looked.recipe)
        seconds = time.perf_counter() - begun
        metadata = _metadata(artifact, show(artifact) if show else {}, found is not None, seconds)
        if track is not None:
            metadata["mlflow_run"] = dg.MetadataValue.url(self._tracked(context, artifact, track))
        whole = time.perf_counter() - begun
        _tell(Progress(station=station, seconds=whole, hit=found is not None, manifest=artifact.manifest))
        return dg.MaterializeResult(data_version=dg.DataVersion(artifact.manifest.digest), metadata=metadata)

    def skip(self, context: dg.AssetExecutionContext, why: str) -> None:
        """Says that a station has nothing to make yet; its asset must allow that (``output_required=False``)."""
        context.log.warning(f"skipped: {why}")
        _tell(Progress(station="/".join(context.asset_key.path), seconds=0.0, skipped=why))

    def _work(self, context: dg.AssetExecutionContext, kind: str, recipe: Recipe, work: Callable[[Path], Made],
              begun: float) -> Artifact:  # fmt: skip
        store = self.store
        staging = store.stage()
        made = self._attempt(context, work, staging, begun)
        files = {p.relative_to(staging).as_posix(): digest_file(p) for p in sorted(staging.rglob("*")) if p.is_file()}
        produced = Produced(
            at=datetime.now(UTC).isoformat(), seconds=time.perf_counter() - begun, run_id=context.run.run_id,
            correlation_id=os.environ.get("MLOPS_CORRELATION_ID", context.run.run_id), actor=actor(context.run.tags),
            git_revision=git_revision(Path(__file__).parent), measured=dict(made.measured),
        )  # fmt: skip
        manifest = Manifest(kind=kind, station=recipe.station, environment=self.home.environment, files=files,
                            table=made.table, content=dict(made.content), recipe=recipe, produced=produced)  # fmt: skip
        sealed = store.commit(staging, manifest)
        return store.open(sealed.kind, sealed.digest)

    def _attempt(
        self, context: dg.AssetExecutionContext, work: Callable[[Path], Made], staging: Path, begun: float
    ) -> Made:
        """Does the work; where it fails, nothing stays behind, and MLflow hears of it if it knows this run."""
        try:
            return work(staging)
        except BaseException as error:
            shutil.rmtree(staging, ignore_errors=True)
            station = "/".join(context.asset_key.path)
            _tell(Progress(station=station, seconds=time.perf_counter() - begun, error=error))
            _failed[context.run.run_id] = f"{station}: {error}"
            if "mlflow" in sys.modules:
                self._tell_mlflow_of_failure(context, error)
            raise

    def _tell_mlflow_of_failure(self, context: dg.AssetExecutionContext, error: BaseException | None = None) -> None:
        door = self.tracking(context.asset_key.path[0])
        try:
            door.fail(context.run.run_id, context.job_name, _failed[context.run.run_id])
        except Exception as further:
            # What stopped the station matters more than that MLflow cannot be told of it.
            raise (error or further) from further

    def _tracked(self, context: dg.AssetExecutionContext, artifact: Artifact,
                 track: Callable[[Artifact], Tracked]) -> str:  # fmt: skip
        """Link to the MLflow run of an artifact; the run is written if none was, say because a process died."""
        manifest = artifact.manifest
        note = self._note(artifact)
        if note.is_file():
            return json.loads(note.read_bytes())["url"]
        door = self.tracking(context.asset_key.path[0])
        tags = {
            "mlops.digest": manifest.digest,
            "mlops.recipe": manifest.recipe.key,
            "mlops.actor": manifest.produced.actor,
            "mlops.correlation_id": manifest.produced.correlation_id,
        }
        run = door.record(dagster_run_id=context.run.run_id, job=context.job_name, station=manifest.station,
                          tracked=track(artifact), tags=tags)  # fmt: skip
        entry = {"run_id": run, "url": door.run_url(run)}
        write_whole(note, json.dumps(entry).encode(), replace=True)
        if context.run.run_id in _failed:
            self._tell_mlflow_of_failure(context)
        return entry["url"]


def actor(tags: Mapping[str, str]) -> str:
    """Who asked: the sensor or schedule of the run, else ``MLOPS_ACTOR``, else the account."""
    for tag in ("dagster/sensor_name", "dagster/schedule_name", "user"):
        if tag in tags:
            return tags[tag]
    return os.environ.get("MLOPS_ACTOR") or getpass.getuser()


def _tell(progress: Progress) -> None:
    for listener in listeners:
        listener(progress)


def _metadata(artifact: Artifact, told: Mapping[str, Any], hit: bool, seconds: float) -> dict[str, Any]:
    manifest = artifact.manifest
    shown: dict[str, Any] = {
        **{name: _readable(value) for name, value in told.items()},
        "memo": "hit" if hit else "made",
        "seconds": round(seconds, 3),
        "digest": short(manifest.digest),
        "recipe": short(manifest.recipe.key),
        "manifest": f"artifacts/{manifest.kind}/{artifact.folder.name[:12]}…/manifest.json",
    }
    if "rows" in manifest.content and manifest.kind != "checkpoint":
        shown["dagster/row_count"] = manifest.content["rows"]
    return shown


def _readable(value: Any) -> Any:
    """Six digits are what people read; the artifact keeps them all."""
    return float(f"{value:.6g}") if isinstance(value, float) and math.isfinite(value) else value


def table_schema(columns: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Metadata that shows a table's columns: name, type, description."""
    schema = dg.TableSchema(columns=[dg.TableColumn(name=n, type=t, description=d or None) for n, t, d in columns])
    return {"dagster/column_schema": schema}
