"""``mlops why``: the walk from one prediction back to its files, as a tree."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl
from rich.markup import escape
from rich.tree import Tree

from mlops_platform.cli.context import console, emit, plural
from mlops_platform.cli.words import ranges, revision, score, value, when
from mlops_platform.errors import MissingArtifactError
from mlops_platform.manifest import Manifest, short
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.spec import Forecast, Model, Project, metrics_in

if TYPE_CHECKING:
    from mlops_platform.provenance.feature_rows import FeatureRow
    from mlops_platform.provenance.source_rows import SourceRows
    from mlops_platform.provenance.walk import Why

LATEST = "latest"
_MOST_RANGES = 8
_REMOVED = "[bold yellow]removed since[/]"
_ROLES = {"champion": "by the champion", "canary": "by a canary, as callers got it",
          "shadow": "by a shadow: nobody was shown it"}  # fmt: skip


def show_why(project: Project, home: Home, prediction: str, *, as_json: bool) -> None:
    """Prints what is behind one prediction.

    Args:
        project: The declaration.
        home: Where everything is recorded.
        prediction: Its id, or ``latest``.
        as_json: Whether a program reads it.
    """
    from mlops_platform.provenance.walk import as_json as plain
    from mlops_platform.provenance.walk import why

    found = why(home, project, newest(project, home) if prediction == LATEST else prediction)
    if as_json:
        emit(plain(found))
    else:
        console().print(why_tree(found))


def newest(project: Project, home: Home, models: Sequence[Model] | None = None) -> str:
    """Id of the newest answer: of the last batch, the one whose score is highest, or the mean of its forecast.

    Args:
        project: The declaration.
        home: Where the prediction logs are.
        models: Those whose answers count; by default all of the project.

    Raises:
        MissingArtifactError: The prediction logs are empty.
    """
    found: list[tuple[datetime, float, str]] = []
    for model in project.models if models is None else models:
        log = DeltaDoor(home.prediction_log(project.name, model.name))
        if log.exists:
            score = pl.col("score").list.mean() if isinstance(model.task, Forecast) else pl.col("score")
            rows = log.scan().select("answered_at", score, "prediction_id").collect()
            found += rows.sort("answered_at", "score", "prediction_id").tail(1).rows()
    if not found:
        raise MissingArtifactError(required="a prediction in the prediction log", found=f"none in {home.root}",
                                   remedy="mlops materialize, or mlops demo")  # fmt: skip
    return max(found)[2]


def why_tree(found: "Why", *, values: bool = True) -> Tree:
    """The tree; ``values`` says whether each feature is listed."""
    row = found.prediction
    example = f"for {escape(row['example_id'])}" if row.get("example_id") else "for an example without a name"
    asked = f"{example}, asked as of {when(row['event_timestamp'])} UTC"
    tree = Tree(f"[bold]prediction {row['prediction_id']}[/]  score [bold]{score(row['score'])}[/] {asked}")
    how = f"run {row['run_id'][:8]}" if row.get("run_id") else f"live, {_ROLES[found.role]}"
    tree.add(f"answered {when(row['answered_at'])} UTC, {how}")
    shown = f"  {found.links['version']}" if values else ""
    model = tree.add(f"[cyan]model[/] {row['model']} version {row['version']}{shown}")
    for move in found.moves:
        model.add(f"{when(move.at)} {move.action}, asked by {escape(move.actor)}: {escape(move.reason)}")
    _add_checkpoint(model, found, gate=values)
    if found.example is not None:
        question = tree.add(f"[cyan]question[/] from {found.example.table}, Delta version {found.example.version}")
        _add_files(question, found.example)
    else:
        told = ", ".join(f"{name} {value(given)}" for name, given in found.inputs.items())
        asker = "of a caller" if found.mode == "online" else "of a batch"
        tree.add(f"[cyan]question[/] {asker}: {escape(told) or 'not recorded'}")
    heading = f"[cyan]features[/] of {plural(len(found.features), 'view')}, each as known when asked"
    features = tree.add(f"{heading} (times in UTC, rows counted from 0)")
    for feature in found.features:
        _add_feature(features, feature, values=values)
    if values:
        _add_runs(tree.add("[cyan]runs[/]"), found)
    missing = tree.add("[cyan]not recorded[/]")
    for text in found.missing:
        missing.add(escape(text))
    return tree


def _add_runs(runs: Tree, found: "Why") -> None:
    for run in found.runs:
        made = f"{escape(run.station)}  {when(run.at)} UTC, {run.seconds:.1f} s, by {escape(run.actor)}"
        runs.add(f"{made}: {run.dagster}{f'  {run.mlflow}' if run.mlflow else ''}")


def _add_checkpoint(model: Tree, found: "Why", *, gate: bool) -> None:
    branch = model.add(f"[cyan]checkpoint[/] {short(found.prediction['checkpoint'])}")
    branch.add(_made(found.checkpoint) if found.checkpoint is not None else _REMOVED)
    _add_tuning(branch, found)
    _add_starts(branch, found)
    if found.dataset is not None:
        _add_dataset(branch, found.dataset)
    elif found.checkpoint is not None:
        branch.add(f"[cyan]dataset[/] {short(found.checkpoint.recipe.inputs['dataset'])}").add(_REMOVED)
    if found.evaluation is not None:
        metrics = found.evaluation.content["metrics"]["challenger"]
        told = ", ".join(f"{name} {value(metrics[name])}" for name in metrics_in(metrics))
        branch.add(f"[cyan]evaluation[/] {short(found.evaluation.digest)}  {told}")
    if gate and found.verdict is not None:
        conditions = found.verdict.content["conditions"]
        met = sum(bool(each["passed"]) for each in conditions)
        judged = branch.add(f"[cyan]gate[/] {short(found.verdict.digest)}  {met} of {len(conditions)} conditions met")
        for each in conditions:
            if not each["passed"]:
                judged.add(f"[bold red]not met[/] {each['name']}: {escape(each['reason'])}")


def _add_dataset(branch: Tree, dataset: Manifest) -> None:
    parts = dataset.content["parts"]
    rows = ", ".join(f"{parts[name]['rows']:,} {name}" for name in ("train", "validation", "holdout"))
    node = branch.add(f"[cyan]dataset[/] {short(dataset.digest)}  rows: {rows}")
    node.add(f"learned from labels known until {when(dataset.content['trained_until'])} UTC")
    node.add(f"from {', '.join(f'{role} {short(digest)}' for role, digest in dataset.recipe.inputs.items())}")


def _add_tuning(branch: Tree, found: "Why") -> None:
    """Which study the training's values come from, and on which dataset."""
    if found.tuning is not None:
        told, dataset = found.tuning.content, found.tuning.recipe.inputs["dataset"]
        node = branch.add(
            f"[cyan]tuned[/] by {short(found.tuning.digest)}: trial {told['trial'] + 1} of {told['trials']}, "
            f"validation loss {value(told['validation_loss'])}, on dataset {short(dataset)}"
        )
        node.add(", ".join(f"{name} {value(found)}" for name, found in sorted(told["parameters"].items())))
        node.add(_made(found.tuning))


def _add_starts(branch: Tree, found: "Why") -> None:
    """Which checkpoints the training began from, each under the one that began from it."""
    began = found.checkpoint
    if began is None:
        return
    for start in found.starts:
        taken = began.content["warm_start"]
        branch = branch.add(
            f"[cyan]warm start[/] from checkpoint {short(start.digest)}: {taken['taken']:,} weights taken, "
            f"{taken['fresh']:,} fresh; of labels known until {when(taken['known_until'])} UTC"
        )
        branch.add(_made(start))
        began = start


def _made(manifest: Manifest) -> str:
    produced = manifest.produced
    code = f"code {short(manifest.recipe.code)}, git {revision(produced.git_revision)}"
    return f"made {when(produced.at)} UTC, {code}, run {produced.run_id[:8]}, by {escape(produced.actor)}"


def _add_feature(features: Tree, row: "FeatureRow", *, values: bool) -> None:
    keys = ", ".join(f"{name}={found}" for name, found in row.keys.items())
    if row.event_timestamp is None:
        features.add(f"{row.view}  {escape(keys)}: no row was visible, the model got {_instead(row)}")
        return
    times = f"true {when(row.event_timestamp)}, known {when(row.known_timestamp)}"
    branch = features.add(f"[bold]{row.view}[/]  {escape(keys)}: {times}; {'; '.join(_verdicts(row))}")
    if values:
        told = (f"{name} {value(given)}{_marked(row, name)}" for name, given in row.values.items())
        branch.add(escape(", ".join(told)))
    if row.source is not None:
        _add_files(branch, row.source, brief=not values)


def _instead(row: "FeatureRow") -> str:
    """What the model was given in the place of a row."""
    filled = [f"{name} {value(given)}" for name, given in row.values.items() if given is not None]
    return escape(", ".join(filled)) if filled else "nulls"


def _marked(row: "FeatureRow", name: str) -> str:
    return f" ({row.marks[name]})" if name in row.marks else ""


def _verdicts(row: "FeatureRow") -> list[str]:
    """Whether a row is what was answered from, as far as that can be told."""
    told = [] if row.status == "present" else [f"[bold yellow]{escape(row.status)}[/]"]
    if row.version is None:
        told.append("[bold red]no recorded version of the table has it[/]")
    if row.as_answered is False:
        told.append("[bold red]the table's row differs from what was answered[/]")
    if row.recomputed_equal is not None:
        told.append("[green]recomputed: equal[/]" if row.recomputed_equal else "[bold red]recomputed: NOT equal[/]")
    return told or ["its raw rows are not recorded"]


def _add_files(branch: Tree, source: "SourceRows", *, brief: bool = False) -> None:
    for file in source.files:
        numbers = ranges(file["rows"], most=2 if brief else _MOST_RANGES)
        counted = plural(len(file["rows"]), "raw row")
        branch.add(f"{counted} of {escape(file['name'])} ({short(file['digest'])}): row {numbers}")
    if not source.files:
        branch.add(f"no raw row of {source.table} found")
