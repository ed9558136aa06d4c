"""Making a dataset: examples, their features as known at their time, and the split."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.datasets.as_known import labels_in_time
from mlops_platform.datasets.split import boundaries, divide
from mlops_platform.errors import PlatformError
from mlops_platform.manifest import TableRef
from mlops_platform.point_in_time import extended
from mlops_platform.resources.feast import Answer, FeastDoor
from mlops_platform.resources.source_code import resolve
from mlops_platform.spec import Forecast, Model, Project, Task

LABEL = ("label", "label_known_timestamp")


def example_columns(project: Project, model: Model) -> list[str]:
    """Columns that the examples themselves bring, in order: id, time, keys, context, categories, slices, the task's."""
    context = [column.name for column in model.context]
    keys = project.entity_keys(model)
    asked = [model.examples.id, "event_timestamp", *keys, *context, *model.categories, *model.slices,
             *model.task.columns]  # fmt: skip
    features = project.feature_names(model)
    asked += model.network.sequence.entity if model.network.sequence is not None else ()
    return [name for name in dict.fromkeys(asked) if name not in features]


def declared(model: Model) -> dict[str, Any]:
    """The part of the declaration that decides a dataset."""
    return {"split": repr(model.split), "examples": repr(model.examples), "service": model.feature_service,
            "features": list(model.features), "context": [repr(column) for column in model.context],
            "categories": list(model.categories), "slices": list(model.slices), **_sequence(model),
            **model.task.recipe()}  # fmt: skip


def _sequence(model: Model) -> dict[str, Any]:
    sequence = model.network.sequence
    return {"sequence": list(sequence.entity)} if sequence is not None else {}


@dataclass(frozen=True, kw_only=True)
class Built:
    """A dataset.

    Attributes:
        content: Rows and label balance by part, boundaries, what was left out and why.
        joined: Examples whose features were joined now.
        reused: Examples whose features are those of the dataset before.
    """

    content: dict[str, Any]
    joined: int
    reused: int

    def __str__(self) -> str:
        told = self.content
        return (f"{told['rows']} rows; left out: {told['unlabelled']}, {told['purged']} purged, "
                f"{told['embargoed']} embargoed; {self.joined} joined, {self.reused} reused")  # fmt: skip


def build(project: Project, model: Model, raw: pl.LazyFrame, feast: FeastDoor, tables: Mapping[str, TableRef],
          folder: Path, *, earlier: pl.DataFrame | None = None) -> Built:  # fmt: skip
    """Writes ``train.parquet``, ``validation.parquet`` and ``holdout.parquet``.

    For a network of sequences also ``context.parquet``: the examples that are in none of them, without a label, so that
    its state comes through every row.

    Args:
        project, model: The declarations.
        raw: Rows of the examples' raw table, at a version.
        feast: The project's Feast.
        tables: The version of each feature table to read.
        folder: Where to write.
        earlier: Entity keys, times and features that these tables are known to answer; the files do not depend on it.
    """
    function = resolve(model.examples.labelled)
    examples = function(raw).collect()
    newest = examples.filter(pl.col("label").is_not_null())["event_timestamp"].max()
    if newest is None:
        raise PlatformError(required=f"labelled rows in {model.examples.source}",
                            found=f"none; unlabelled: {_unlabelled(examples)}",
                            remedy="land files with outcomes")  # fmt: skip
    at = boundaries(model.split, newest, model.examples.calendar)
    examples, earlier_labels = labels_in_time(function, raw, examples, at, model.examples.id)
    labelled = examples.filter(pl.col("label").is_not_null())
    columns = [*example_columns(project, model), *LABEL]
    asked = examples if model.network.sequence is not None else labelled
    answer, joined = _answer(model, asked.select(columns), feast, tables, earlier)
    parts, left_out = divide(answer.rows.filter(pl.col("label").is_not_null()), at)
    context = {"context": _context(model, answer.rows, parts)} if model.network.sequence is not None else {}
    for name, part in {**parts, **context}.items():
        # In one chunk, since chunks become row groups.
        part.rechunk().write_parquet(
            folder / f"{name}.parquet", compression="zstd", compression_level=1, statistics=False
        )
    learned = pl.concat([parts["train"], parts["validation"]])
    numeric = list(project.numeric_columns(model))
    content = {
        "rows": sum(part.height for part in parts.values()),
        "examples": examples.height,
        "unlabelled": _unlabelled(examples),
        **left_out,
        **{name: part.height for name, part in context.items()},
        "earlier_labels": earlier_labels,
        "parts": {name: {"rows": part.height, **_balance(model.task, part["label"])} for name, part in parts.items()},
        "boundaries": {name: value.isoformat() for name, value in asdict(at).items()},
        "holdout_start": at.holdout_start.isoformat(),
        "trained_until": learned.select(pl.col("label_known_timestamp").max()).item().isoformat(),
        "null_rates": parts["train"].select(pl.col(numeric).is_null().mean()).row(0, named=True),
        "feature_service": model.feature_service,
        "known_time": dict(answer.known_time),
        "numeric": numeric,
        "categories": list(model.categories),
    }
    return Built(content=content, joined=joined, reused=asked.height - joined)


def _context(model: Model, rows: pl.DataFrame, parts: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The rows of no part, without what tells of their label."""
    identity = model.examples.id
    taken = pl.concat([part.select(identity) for part in parts.values()])
    return rows.join(taken, on=identity, how="anti", maintain_order="left").drop(LABEL)


def _balance(task: Task, label: pl.Series) -> dict[str, object]:
    """What the labels of a part tell at a glance."""
    if isinstance(task, Forecast):
        return {"known_share": float(np.isfinite(label.to_numpy()).mean()) if len(label) else None}
    return {"positive_share": label.mean()}


def _unlabelled(examples: pl.DataFrame) -> dict[str, int]:
    """How many examples have no label, by the reason why."""
    without = examples.filter(pl.col("label").is_null())
    counted = without.group_by("unlabelled").agg(pl.len()).sort("unlabelled")
    return {str(reason): count for reason, count in counted.iter_rows()}


def _answer(model: Model, examples: pl.DataFrame, feast: FeastDoor, tables: Mapping[str, TableRef],
            earlier: pl.DataFrame | None) -> tuple[Answer, int]:  # fmt: skip
    """The examples with their features, and how many of them were joined for it."""
    if earlier is None:
        return feast.answer(model, examples, tables), examples.height
    answers: list[Answer] = []

    def join(rest: pl.DataFrame) -> pl.DataFrame:
        answers.append(feast.answer(model, rest, tables))
        return answers[-1].rows

    on = [*feast.project.entity_keys(model), "event_timestamp"]
    found = extended(earlier, examples, on=on, join=join)
    return Answer(rows=found.rows, known_time=answers[-1].known_time), found.joined
