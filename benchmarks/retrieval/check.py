"""Whether an answer that was persisted is right: its rows counted, and some hundred of them asked again, plainly."""

from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.retrieval.cells import Cell
from benchmarks.retrieval.data import CREATED, KEY, ROW, TIME, TTL, entity_path, feature_names, view_path

_SAMPLE = 300
_OFTEN, _NEWEST = 3, 100


def check(home: Path, cell: Cell, answer: Path) -> dict[str, Any]:
    """Rows of the answer, how many were asked again, and how many of these have another answer.

    Asked again are entity rows spread evenly; of a key that has half of all rows, only some, each by a scan of its own.
    """
    names = feature_names(cell, 0)
    every = max(1, cell.entities // _SAMPLE)
    asked = pl.scan_parquet(entity_path(home, cell)).gather_every(every).collect()
    view = pl.scan_parquet(view_path(home, cell, 0))
    hot = pl.col(KEY) == cell.keys // 2 if cell.skewed else pl.lit(False)
    often, asked = asked.filter(hot).head(_OFTEN), asked.filter(~hot)
    rows = view.filter(pl.col(KEY).is_in(asked[KEY].unique().implode())).collect(engine="streaming")
    parts = [
        _plainly(asked, rows, cell),
        *(_plainly(often[i], _until(view, often[i]), cell) for i in range(len(often))),
    ]
    right, asked = pl.concat([part.select(ROW, *names) for part in parts]), pl.concat([asked, often])
    given = pl.scan_parquet(answer).filter(pl.col(ROW).is_in(asked[ROW].implode())).select(ROW, *names).collect()
    same = right.join(given, on=[ROW, *names], how="semi", nulls_equal=True)
    count = pl.scan_parquet(answer).select(pl.len()).collect().item()
    return {"rows": count, "checked": asked.height, "wrong": asked.height - same.height}


def _until(view: pl.LazyFrame, asked: pl.DataFrame) -> pl.DataFrame:
    """The newest rows, by event, of one entity row's key that were true and known by its time."""
    key, time = asked.select(KEY, TIME).row(0)
    mine = view.filter((pl.col(KEY) == key) & (pl.col(TIME) <= time) & (pl.col(CREATED) <= time))
    return mine.top_k(_NEWEST, by=[TIME, CREATED]).collect(engine="streaming")


def _plainly(asked: pl.DataFrame, rows: pl.DataFrame, cell: Cell) -> pl.DataFrame:
    """Each entity row with each row of its key; true and known by then; the newest of these; young enough."""
    pairs = asked.join(rows.rename({TIME: "event"}), on=KEY)
    visible = pairs.filter((pl.col("event") <= pl.col(TIME)) & (pl.col(CREATED) <= pl.col(TIME)))
    newest = visible.sort("event", CREATED).unique(ROW, keep="last")
    if cell.ttl:
        newest = newest.filter(pl.col("event") >= pl.col(TIME) - pl.duration(microseconds=TTL))
    return asked.select(ROW).join(newest, on=ROW, how="left", maintain_order="left")
