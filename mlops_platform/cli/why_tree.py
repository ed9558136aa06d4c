"""``mlops why``: the walk from one prediction back to its files, as a tree."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl
from rich.markup import escape
from rich.tree import Tree

from mlops_platform.cli.context import console, emit, plural
from mlops_platform.cli.words import ranges, score, value, when
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
    asked = f"for {escape(row['example_id'])}, asked as of {when(row['event_timestamp'])} UTC"
    tree = Tree(f"[bold]prediction {row['prediction_id']}[/]  score [bold]{score(row['score'])}[/] {asked}")
    tree.add(f"answered {when(row['answered_at'])} UTC, run {row['run_id'][:8]}")
    model = tree.add(f"[cyan]model[/] {row['model']} version {row['version']}")
    for move in found.moves:
        model.add(f"{when(move.at)} {move.action}, asked by {escape(move.actor)}: {escape(move.reason)}")
    _add_checkpoint(model, found)
    if found.example is not None:
        question = tree.add(f"[cyan]question[/] from {found.example.table}, Delta version {found.example.version}")
        _add_files(question, found.example)
    heading = f"[cyan]features[/] of {plural(len(found.features), 'view')}, each as known when asked"
    features = tree.add(f"{heading} (times in UTC, rows counted from 0)")
    for feature in found.features:
        _add_feature(features, feature, values=values)
    missing = tree.add("[cyan]not recorded[/]")
    for text in found.missing:
        missing.add(escape(text))
    return tree


def _add_checkpoint(model: Tree, found: "Why") -> None:
    checkpoint, dataset = found.checkpoint, found.dataset
    branch = model.add(f"[cyan]checkpoint[/] {short(checkpoint.digest)}")
    branch.add(_made(checkpoint))
    _add_tuning(branch, found)
    _add_starts(branch, found)
    parts = dataset.content["parts"]
    rows = ", ".join(f"{parts[name]['rows']:,} {name}" for name in ("train", "validation", "holdout"))
    node = branch.add(f"[cyan]dataset[/] {short(dataset.digest)}  rows: {rows}")
    node.add(f"learned from labels known until {when(dataset.content['trained_until'])} UTC")
    node.add(f"from {', '.join(f'{role} {short(digest)}' for role, digest in dataset.recipe.inputs.items())}")
    if found.evaluation is not None:
        metrics = found.evaluation.content["metrics"]["challenger"]
        told = ", ".join(f"{name} {value(metrics[name])}" for name in metrics_in(metrics))
        branch.add(f"[cyan]evaluation[/] {short(found.evaluation.digest)}  {told}")


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
    revision = produced.git_revision
    git = f"git {revision[:12]}{'-dirty' if revision.endswith('-dirty') else ''}" if revision else "git not recorded"
    by = f"run {produced.run_id[:8]}, by {escape(produced.actor)}"
    return f"made {when(produced.at)} UTC, code {short(manifest.recipe.code)}, {git}, {by}"


def _add_feature(features: Tree, row: "FeatureRow", *, values: bool) -> None:
    keys = ", ".join(f"{name}={found}" for name, found in row.keys.items())
    if row.source is None:
        features.add(f"{row.view}  {escape(keys)}: no row was visible, the model got nulls")
        return
    verdict = "[green]recomputed: equal[/]" if row.recomputed_equal else "[bold red]recomputed: NOT equal[/]"
    times = f"true {when(row.event_timestamp)}, known {when(row.known_timestamp)}"
    branch = features.add(f"[bold]{row.view}[/]  {escape(keys)}: {times}; {verdict}")
    if values:
        branch.add(escape(", ".join(f"{name} {value(found)}" for name, found in row.values.items())))
    _add_files(branch, row.source, brief=not values)


def _add_files(branch: Tree, source: "SourceRows", *, brief: bool = False) -> None:
    for file in source.files:
        numbers = ranges(file["rows"], most=2 if brief else _MOST_RANGES)
        counted = plural(len(file["rows"]), "raw row")
        branch.add(f"{counted} of {escape(file['name'])} ({short(file['digest'])}): row {numbers}")
    if not source.files:
        branch.add(f"no raw row of {source.table} found")
