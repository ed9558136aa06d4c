"""The newest rows of a materialized home in an online store of our own kind, whatever its own is."""

import polars as pl

from mlops_platform.monitoring.skew.online import TemporaryDoor
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Project


def store_of(home: Home, project: Project) -> TemporaryDoor:
    """A door to a store that holds the newest row of each key of every feature table."""
    door = TemporaryDoor(home, project, path=home.path / "beside.db")
    for table in project.feature_tables:
        ref = Refs(home).read(f"{project.name}/features/{table.name}").manifest.delta
        rows = DeltaDoor(home.root / ref.path).scan(ref.version).collect()
        newest = rows.sort("event_timestamp", "known_timestamp").unique(list(table.keys), keep="last")
        names = [column.name for column in table.columns]
        kept = newest.select(*table.keys, "event_timestamp", "known_timestamp", *names)
        door.packed.write(door.view(table), kept.filter(pl.all_horizontal(pl.col(table.keys).is_not_null())))
    return door
