"""``why``: the walk from one answer back to model, dataset, feature rows, raw rows and files; asks no server."""

import math
from dataclasses import asdict, dataclass, replace
from datetime import date, time, timedelta
from typing import Any

from mlops_platform.manifest import Manifest, short
from mlops_platform.provenance.evidence import Evidence, evidence, opened
from mlops_platform.provenance.example_rows import example_rows
from mlops_platform.provenance.feature_rows import Chosen, FeatureRow, raw_of, visible, walked
from mlops_platform.provenance.live_rows import Told, live_rows
from mlops_platform.provenance.logged import batch_of, example_of, logged
from mlops_platform.provenance.runs import Run, runs, version_link
from mlops_platform.provenance.source_rows import SourceRows
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.personal import personal_columns
from mlops_platform.resources.source_code import resolve
from mlops_platform.spec import Forecast, Model, Project, duration

BATCH, ONLINE = "batch", "online"
LEFT_OUT = "left out: personal"


@dataclass(frozen=True, kw_only=True)
class Why(Evidence):
    """Everything behind one prediction: the evidence for its model version, and what was asked and read.

    Attributes:
        prediction: Its row in the prediction log.
        mode: ``batch`` or ``online``.
        role: ``champion``; ``canary``, whose answers callers get too; ``shadow``, whose answers nobody gets.
        inputs: What was asked: keys, context and time; personal columns are hashed or left out.
        features_read: The values that the model was given.
        example: The raw rows that the question came from; None where a caller asked, or it is not recorded any more.
        features: One row a feature table of which the version that was read is recorded.
        runs: That made what the answer rests on.
        links: To the UIs: ``version`` in MLflow's registry, ``dagster`` of the run that answered, if one did.
    """

    prediction: dict[str, Any]
    mode: str
    role: str
    inputs: dict[str, Any]
    features_read: dict[str, Any]
    example: SourceRows | None
    features: list[FeatureRow]
    runs: list[Run]
    links: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class _Question:
    """What was asked and read: the part of ``Why`` that batch and live answers come to in different ways."""

    inputs: dict[str, Any]
    features_read: dict[str, Any]
    example: SourceRows | None
    features: list[FeatureRow]
    made: list[Manifest]
    missing: list[str]


def why(home: Home, project: Project, prediction_id: str) -> Why:
    """Walks one answer back.

    Args:
        home: Where everything is; no server is asked.
        project: The declaration.
        prediction_id: As the answer or the prediction log has it.

    Raises:
        UnknownPredictionError: No model of the project has such a prediction.
        MissingArtifactError: The files of a table that it rests on are gone, or its batch does not have it.
        CorruptArtifactError: Something that it rests on was edited.
    """
    model, row = logged(home, project, prediction_id)
    known = evidence(home, project, model, row)
    mode = row.get("mode") or BATCH
    asked = _live(home, project, model, row) if mode == ONLINE else _batch(home, project, model, row)
    links = {"version": version_link(project.name, model.name, row["version"])}
    made = [*asked.made, known.checkpoint, known.dataset, known.evaluation, known.verdict, known.tuning, *known.starts]
    # Logs of older homes have ids of examples as they are, personal or not.
    named = str(row["example_id"]).startswith("h-") or model.examples.id not in personal_columns(project, model).hashed
    shown = row if named or row["example_id"] is None else {**row, "example_id": LEFT_OUT}
    missing = [*asked.missing, *known.missing, *_revision(known.checkpoint)]
    return Why(
        prediction=shown, mode=mode, role=row.get("role") or "champion", inputs=asked.inputs,
        features_read=asked.features_read, example=asked.example, features=asked.features, runs=runs(home, made),
        links=links, **{**vars(known), "missing": missing},
    )  # fmt: skip


def _batch(home: Home, project: Project, model: Model, row: dict[str, Any]) -> _Question:
    store, asked, keys = ArtifactStore(home), model.examples, project.entity_keys(model)
    batch = batch_of(store, row)
    if batch is None:
        lost = (
            f"the question, the feature rows and the values that the model was given: batch {short(row['batch'])} is "
        )
        return _Question(inputs={}, features_read={}, example=None, features=[], made=[], missing=[
            lost + "not in the artifact store any more; materialize the predictions: they are made again, equal"
        ])  # fmt: skip
    example = example_of(batch, row["prediction_id"])
    source, unseen = _example(home, project, model, batch.manifest, example)
    chosen, lost_rows = _chosen(home, project, model, batch.manifest, example)
    hidden = personal_columns(project, model).every
    given = [*dict.fromkeys([asked.id, *keys, "event_timestamp", *(column.name for column in model.context)])]
    missing = ["why the upstream delivered what it delivered: the walk ends at the landed file and its row numbers",
               *unseen, *lost_rows]  # fmt: skip
    return _Question(
        inputs=_kept(hidden, {name: example[name] for name in given if name in example}),
        features_read=_kept(hidden, _features_read(project, model, example)), example=source,
        features=[
            replace(row, keys=_kept(hidden, row.keys), values=_kept(hidden, row.values, f"{row.view}__"))
            for row in walked(home, chosen)
        ],
        made=[batch.manifest], missing=[*missing, *_sequence(model, f"predictions {short(batch.manifest.digest)}")],
    )  # fmt: skip


def _example(home: Home, project: Project, model: Model, batch: Manifest, example: dict[str, Any]
             ) -> tuple[SourceRows | None, list[str]]:  # fmt: skip
    """The raw rows that the example was made from, or, in words, that they are not recorded any more."""
    asked, name = model.examples, model.examples.upcoming_source
    upcoming, lost = opened(ArtifactStore(home), "raw", batch.recipe.inputs[f"raw:{name}"],
                            "the raw rows that the question came from, in")  # fmt: skip
    if upcoming is None:
        return None, lost
    keys = {key: example[key] for key in project.entity_keys(model)}
    return example_rows(
        home, project.raw_table(name), upcoming, resolve(asked.upcoming), asked.id, example[asked.id],
        example["event_timestamp"], ahead=_ahead(model), keys=keys,
    ), []  # fmt: skip


def _chosen(home: Home, project: Project, model: Model, batch: Manifest, example: dict[str, Any]
            ) -> tuple[list[Chosen], list[str]]:  # fmt: skip
    """The feature rows that the example saw, and, in words, of which tables that is not recorded any more."""
    store, chosen, missing = ArtifactStore(home), [], []
    for name, columns in project.feature_columns(model).items():
        table, names = project.feature_table(name), [column.name for column in columns]
        features, lost = opened(store, "features", batch.recipe.inputs[f"features:{name}"], f"the row of {name}, in")
        missing += lost
        if features is None:
            continue
        raw, gone = raw_of(store, features, table)
        missing += gone
        own = {key: example[key] for key in table.keys}
        seen = visible(home, table, names, own, example["event_timestamp"], features)
        chosen.append(Chosen(table=table, names=names, keys=own, features=features, raw=raw, row=seen))
    return chosen, missing


def _live(home: Home, project: Project, model: Model, row: dict[str, Any]) -> _Question:
    told = Told.of(row)
    features, missing = live_rows(home, project, model, told)
    missing = ["who asked: a live answer's log keeps the question's values and no caller", *missing]
    if not row.get("features"):
        missing.append("the feature values that the model was given: this answer's log does not have them")
    return _Question(
        inputs=told.inputs, features_read=_features_read(project, model, {**told.inputs, **told.features}),
        example=None, features=features, made=[],
        missing=[*missing, *_sequence(model, told.marks.get("state"))],
    )  # fmt: skip


def _features_read(project: Project, model: Model, example: dict[str, Any]) -> dict[str, Any]:
    return {name: example.get(name) for name in [*project.numeric_columns(model), *model.categories]}


def _ahead(model: Model) -> timedelta:
    return model.task.horizon * duration(model.task.step) if isinstance(model.task, Forecast) else timedelta(0)


def _kept(hidden: frozenset[str], values: dict[str, Any], view: str = "") -> dict[str, Any]:
    """Values without the personal ones, of a feature view by their full names."""
    return {name: LEFT_OUT if f"{view}{name}" in hidden and value is not None else value
            for name, value in values.items()}  # fmt: skip


def _sequence(model: Model, state: str | None) -> list[str]:
    if model.network.sequence is None:
        return []
    entity = ", ".join(model.network.sequence.entity)
    return [f"the steps before: a model of sequences also answers from the state that the earlier rows of its {entity} "
            f"left ({state or 'not named in the log'}), and these are not listed"]  # fmt: skip


def _revision(checkpoint: Manifest | None) -> list[str]:
    if checkpoint is None:
        return []
    if checkpoint.produced.git_revision is None:
        return ["the git revision: the code did not run from a repository (its digest is recorded)"]
    if checkpoint.produced.git_revision.endswith("-dirty"):
        return ["uncommitted changes of the working tree (the digest of the code that ran is recorded)"]
    return []


def as_json(found: Why) -> dict[str, Any]:
    """The walk as JSON values; times are ISO 8601 in UTC, what JSON has no number for is text."""
    manifests = {"checkpoint": found.checkpoint, "dataset": found.dataset}
    told = asdict(found)
    # A reader meets the answer and its question before the evidence.
    asked = {name: told[name] for name in ("prediction", "mode", "role", "inputs", "features_read")}
    digests = {name: manifest.digest if manifest else None for name, manifest in manifests.items()}
    return _plain({**asked, **told, "digests": digests})


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value.isoformat() if isinstance(value, date | time) else value
