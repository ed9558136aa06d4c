"""Making a dataset: examples, their features as known at their time, and the split."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from mlops_platform.datasets.split import boundaries, divide
from mlops_platform.errors import PlatformError
from mlops_platform.manifest import TableRef
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.source_code import resolve
from mlops_platform.spec import Model, Project

LABEL = ("label", "label_known_timestamp")


def example_columns(project: Project, model: Model) -> list[str]:
    """Columns that the examples themselves bring, in order: id, time, keys, context, categories, slices."""
    context = [column.name for column in model.context]
    keys = project.entity_keys(model)
    asked = [model.examples.id, "event_timestamp", *keys, *context, *model.categories, *model.slices]
    features = project.feature_names(model)
    return [name for name in dict.fromkeys(asked) if name not in features]


def build(project: Project, model: Model, raw: pl.LazyFrame, feast: FeastDoor, tables: Mapping[str, TableRef],
          folder: Path) -> dict[str, Any]:  # fmt: skip
    """Writes ``train.parquet``, ``validation.parquet`` and ``holdout.parquet``.

    Args:
        project, model: The declarations.
        raw: Rows of the examples' raw table, at a version.
        feast: The project's Feast.
        tables: The version of each feature table to read.
        folder: Where to write.

    Returns:
        The dataset's content: rows and label balance by part, boundaries, what was left out and why.
    """
    examples = resolve(model.examples.labelled)(raw).collect()
    reasons = dict(
        examples.filter(pl.col("label").is_null()).group_by("unlabelled").agg(pl.len()).sort("unlabelled").rows()
    )
    labelled = examples.filter(pl.col("label").is_not_null()).sort("event_timestamp", model.examples.id)
    if labelled.is_empty():
        raise PlatformError(required=f"labelled rows in {model.examples.source}", found=f"none; unlabelled: {reasons}",
                            remedy="land files with outcomes")  # fmt: skip
    at = boundaries(model.split, labelled["event_timestamp"].max(), model.examples.calendar)
    columns = [*example_columns(project, model), *LABEL]
    whole = feast.with_features(model, labelled.select(columns), tables)
    parts, left_out = divide(whole, at)
    for name, part in parts.items():
        part.write_parquet(folder / f"{name}.parquet", compression="zstd", compression_level=1, statistics=False)
    learned = pl.concat([parts["train"], parts["validation"]])
    numeric = list(project.numeric_columns(model))
    return {
        "rows": sum(part.height for part in parts.values()),
        "examples": examples.height,
        "unlabelled": {str(reason): count for reason, count in reasons.items()},
        **left_out,
        "parts": {name: {"rows": part.height, "positive_share": part["label"].mean()} for name, part in parts.items()},
        "boundaries": {name: value.isoformat() for name, value in asdict(at).items()},
        "holdout_start": at.holdout_start.isoformat(),
        "trained_until": learned.select(pl.col("label_known_timestamp").max()).item().isoformat(),
        "null_rates": parts["train"].select(pl.col(numeric).is_null().mean()).row(0, named=True),
        "feature_service": model.feature_service,
        "numeric": numeric,
        "categories": list(model.categories),
    }
