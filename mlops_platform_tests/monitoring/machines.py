"""A little world for replays: machines with every kind of feature, corrections, silences and rows known late."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from onnx import TensorProto, helper

from mlops_platform.monitoring.skew.online import PackedPath, TemporaryDoor
from mlops_platform.monitoring.skew.report import findings
from mlops_platform.point_in_time import ViewFrame, join_as_of
from mlops_platform.resources.home import Home
from mlops_platform.scoring import Encoding, Scorer
from mlops_platform.spec import Column, FeatureTable, Model, Project, columns, duration
from mlops_platform_tests.lineage.pumps.project import MODEL as PUMP_REPAIR
from mlops_platform_tests.lineage.pumps.project import PROJECT as PUMPS

START, HOUR = datetime(2024, 3, 1, tzinfo=UTC), timedelta(hours=1)
TABLE = FeatureTable(
    name="pump_state", source="readings", compute=PUMPS.feature_tables[0].compute, keys=("pump",), ttl="1d",
    columns=(*columns("float64", "pressure"), *columns("float32", "vibration"), *columns("int64", "hour"),
             *columns("string", "mode"), Column(name="worn", dtype="bool")),
)  # fmt: skip
MODEL = replace(PUMP_REPAIR, context=(), categories=("pump", "pump_state__mode"), slices=())
PROJECT: Project = replace(PUMPS, feature_tables=(TABLE,), models=(MODEL,))
NAMES = PROJECT.feature_names(MODEL)
TIME = pl.Datetime("us", "UTC")


def readings(seed: int = 3, count: int = 400) -> pl.DataFrame:
    """Rows of the feature table: some silent for days, some corrected once or twice, some known late."""
    draw = np.random.default_rng(seed)
    hours = np.sort(draw.integers(0, 24 * 20, count))
    event = pl.Series([START + HOUR * int(hour) for hour in hours], dtype=TIME)
    late = pl.Series(draw.choice([0, 5, 600, 30_000], count) * 1_000_000).cast(pl.Duration("us"))
    rows = pl.DataFrame({
        "pump": draw.choice(["P0", "P1", "P2", "P3"], count, p=[0.4, 0.4, 0.17, 0.03]),
        "event_timestamp": event, "known_timestamp": event + late,
        "pressure": draw.normal(3, 1, count), "vibration": draw.normal(0, 1, count).astype(np.float32),
        "hour": event.dt.hour().cast(pl.Int64), "mode": draw.choice(["idle", "half", "full"], count),
        "worn": draw.random(count) < 0.3,
    }).with_columns(pl.when(pl.col("vibration") > -1).then("vibration"))  # fmt: skip
    rows = rows.unique(["pump", "event_timestamp"], keep="first", maintain_order=True)
    later = rows[::5].with_columns(
        known_timestamp=pl.col("known_timestamp") + 2 * HOUR, pressure=pl.col("pressure") + 1
    )
    return pl.concat([rows, later]).sample(fraction=1, shuffle=True, seed=seed)


def examples(table: pl.DataFrame, seed: int = 5, count: int = 300) -> pl.DataFrame:
    """Rows of a dataset: what the point-in-time join answers for them."""
    draw = np.random.default_rng(seed)
    at = [START + HOUR * int(hour) for hour in draw.integers(20, 24 * 20, count)]
    asked = pl.DataFrame({
        "inspection_id": [f"e{place}" for place in range(count)],
        "pump": draw.choice(["P0", "P1", "P2", "P3", "P4"], count),
        "event_timestamp": pl.Series(at, dtype=TIME),
    })  # fmt: skip
    view = ViewFrame(
        name=TABLE.name, frame=table.lazy(), keys={"pump": "pump"}, ttl=duration(str(TABLE.ttl)),
        features={column.name: f"{TABLE.name}__{column.name}" for column in TABLE.columns},
        event_timestamp="event_timestamp", known_timestamp="known_timestamp",
    )  # fmt: skip
    joined = join_as_of(asked.lazy(), [view], event_timestamp="event_timestamp").collect()
    return joined.sort("event_timestamp", maintain_order=True)


def scorer(rows: pl.DataFrame) -> Scorer:
    """A program whose score is the sum of all inputs, a null counting as minus one."""
    numeric = [name for name in NAMES if name not in MODEL.categories]
    encoding = Encoding.learn(rows, numeric, MODEL.categories, {})
    value = helper.make_tensor_value_info
    inputs = [
        value("numeric", TensorProto.FLOAT, ["n", len(numeric)]),
        value("categories", TensorProto.INT64, ["n", 2]),
    ]
    nodes = [
        helper.make_node("IsNaN", ["numeric"], ["gone"]),
        helper.make_node("Where", ["gone", "nothing", "numeric"], ["numbers"]),
        helper.make_node("Cast", ["categories"], ["codes"], to=TensorProto.FLOAT),
        helper.make_node("Concat", ["numbers", "codes"], ["all"], axis=1),
        helper.make_node("ReduceSum", ["all", "axes"], ["score"], keepdims=0),
    ]
    given = [
        helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
        helper.make_tensor("nothing", TensorProto.FLOAT, [], [-1]),
    ]
    graph = helper.make_graph(nodes, "sum", inputs, [value("score", TensorProto.FLOAT, ["n"])], given)
    program = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Scorer(encoding, program.SerializeToString())


def replayed(folder: Path, rows: pl.DataFrame, table: pl.DataFrame, *, path: type[PackedPath] = PackedPath,
             door: type[TemporaryDoor] = TemporaryDoor, model: Model = MODEL) -> dict[str, Any]:  # fmt: skip
    """What is found of rows when they are replayed over a path."""
    program = scorer(rows)
    found = path(door(Home(folder), PROJECT, path=folder / "online.db"), model, program)
    try:
        return findings(found, PROJECT, model, rows, {TABLE.name: table.lazy()}, program)
    finally:
        found.close()
