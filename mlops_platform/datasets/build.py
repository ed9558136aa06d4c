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
    keys = [key for name in project.feature_columns(model) for key in project.feature_table(name).keys]
    features = {column.name for group in project.feature_columns(model).values() for column in group}
    context = [column.name for column in model.context]
    asked = [model.examples.id, "event_timestamp", *keys, *context, *model.categories, *model.slices]
    return [name for name in dict.fromkeys(asked) if name not in features]


def with_features(project: Project, model: Model, examples: pl.DataFrame, feast: FeastDoor,
                  tables: Mapping[str, TableRef]) -> pl.DataFrame:  # fmt: skip
    """Adds each example's features as known at its ``event_timestamp``; rows and their order stay."""
    keys = list(dict.fromkeys(k for name in project.feature_columns(model) for k in project.feature_table(name).keys))
    wanted = [column.name for group in project.feature_columns(model).values() for column in group]
    entities = examples.select(*keys, "event_timestamp")
    joined = feast.historical(entities, model.feature_service, tables)
    if joined.height != examples.height:
        raise PlatformError(
            required=f"one row back for each of {examples.height} examples", found=f"{joined.height} rows",
            remedy="set offline_store to PolarsOfflineStore in feature_store.yaml: others lose or multiply rows",
        )  # fmt: skip
    return examples.hstack(joined.select(wanted))


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
    whole = with_features(project, model, labelled.select(*example_columns(project, model), *LABEL), feast, tables)
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
        "trained_until": learned["label_known_timestamp"].max().isoformat(),
        "null_rates": parts["train"].select(pl.col(numeric).is_null().mean()).row(0, named=True),
        "feature_service": model.feature_service,
        "numeric": numeric,
        "categories": list(model.categories),
    }
