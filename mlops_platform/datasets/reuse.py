"""What of the dataset before still holds: its joined features, as far as nothing that they saw has changed.

Like a memo this saves work and changes no result: the rows are those that a join of everything would give.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import polars as pl

from mlops_platform.datasets.split import PARTS
from mlops_platform.errors import CorruptArtifactError, MissingArtifactError
from mlops_platform.manifest import Manifest, Recipe
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Model, Project

ALWAYS = datetime.max.replace(tzinfo=UTC)
_WHOLE = "all"
# Inputs that may differ: examples are matched by their keys and times, feature tables are compared month by month.
_COMPARED = ("raw:", "features:")


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """Features that were joined before.

    Attributes:
        rows: Entity keys, ``event_timestamp`` and features of examples that would be answered the same today; None
            where there are none.
        said: Why, for the log.
    """

    rows: pl.DataFrame | None
    said: str


def earlier_features(
    home: Home, project: Project, model: Model, recipe: Recipe, features: Mapping[str, Manifest]
) -> Earlier:
    """The features of the station's last dataset that still hold.

    Args:
        home: Where.
        project, model: The declarations.
        recipe: Of the dataset that is to be made. Code, software, declaration and Feast's objects must be those of the
            last one.
        features: The feature tables that are to be read now.
    """
    refs = Refs(home)
    try:
        last = refs.find(recipe.station)
        if last is None:
            return Earlier(rows=None, said="there is no dataset before")
        if differing := _differing(last.manifest.recipe, recipe):
            return Earlier(rows=None, said=f"the dataset before had other {', '.join(differing)}")
        inputs = last.manifest.recipe.inputs
        tables = {name: refs.store.open("features", inputs[f"features:{name}"]).manifest for name in features}
        until = unchanged_until(_partitions(tables), _partitions(features))
        if until is None:
            return Earlier(rows=None, said="a feature table differs as a whole")
        rows = _rows(project, model, last, until)
    except (MissingArtifactError, CorruptArtifactError) as error:
        return Earlier(rows=None, said=f"the dataset before cannot be read: {error.found}")
    said = "every feature table is the same" if until == ALWAYS else f"feature tables are the same until {until}"
    return Earlier(rows=rows, said=said)


def unchanged_until(old: Mapping[str, Mapping[str, str]], new: Mapping[str, Mapping[str, str]]) -> datetime | None:
    """The moment before which every row is answered the same by two versions of feature tables.

    A row at T sees rows whose event time is at or before T, so partitions up to its month. Both are compared by
    content.

    Args:
        old, new: Digest of each partition (``2013-06``, or ``all`` for a table in one piece) by table.

    Returns:
        The first instant of the first month that differs in any table, ``ALWAYS`` if none does, None if a table differs
        that is not in months.
    """
    if set(old) != set(new):
        return None
    differing = {
        partition
        for name, partitions in new.items()
        for partition in {*partitions, *old[name]}
        if partitions.get(partition) != old[name].get(partition)
    }
    if _WHOLE in differing:
        return None
    return datetime.strptime(min(differing), "%Y-%m").replace(tzinfo=UTC) if differing else ALWAYS


def _differing(old: Recipe, new: Recipe) -> list[str]:
    old, new = (
        replace(r, inputs={k: v for k, v in r.inputs.items() if not k.startswith(_COMPARED)}) for r in (old, new)
    )
    fields = ("functions", "code", "config", "software", "inputs")
    return [field for field in fields if getattr(old, field) != getattr(new, field)]


def _partitions(tables: Mapping[str, Manifest]) -> dict[str, Mapping[str, str]]:
    return {name: manifest.delta.partitions for name, manifest in tables.items()}


def _rows(project: Project, model: Model, dataset: Artifact, until: datetime) -> pl.DataFrame:
    columns = [*project.entity_keys(model), "event_timestamp", *project.feature_names(model)]
    files = [f"{part}.parquet" for part in (*PARTS, "context")]
    parts = [pl.scan_parquet(dataset.file(name)).select(columns) for name in files if name in dataset.manifest.files]
    return pl.concat(parts).filter(pl.col("event_timestamp") < until).collect()
