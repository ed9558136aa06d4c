"""What the benchmarks of retrieval stand on: files as described, scripts that are right, limits that hold."""

import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from benchmarks.retrieval.cells import CELLS, Cell, named
from benchmarks.retrieval.check import check
from benchmarks.retrieval.child import summary
from benchmarks.retrieval.data import CREATED, KEY, TIME, TTL, entity_path, feature_names, make, view_path
from benchmarks.retrieval.limits import Memory, run
from benchmarks.retrieval.measure import Figure, difference
from benchmarks.retrieval.scripts import answer, fitting
from benchmarks.retrieval.verdicts import Row, verdicts
from mlops_platform.point_in_time import ViewFrame, join_as_of, latest

SCALE = 0.002
SHAPES = ("10k-1m", "1m-1m-sorted", "100k-1m-deep", "issue-3003", "latest-1m")


def shape(name: str) -> Cell:
    cell = named(name)[0].scaled(SCALE if name != "issue-3003" else 0.01)
    return replace(cell, per_key=min(cell.per_key, 100), features=min(cell.features, 4))


def views(home: Path, cell: Cell, *, known: bool) -> list[ViewFrame]:
    return [
        ViewFrame(
            name=f"view_{view}", frame=pl.scan_parquet(view_path(home, cell, view)), keys={KEY: KEY},
            features={name: name for name in feature_names(cell, view)}, event_timestamp=TIME,
            known_timestamp=CREATED, known_time="respect" if known else "ignore",
            ttl=timedelta(microseconds=TTL) if cell.ttl else None,
        )
        for view in range(cell.views)
    ]  # fmt: skip


def figure(name: str, frame: pl.DataFrame) -> Figure:
    return Figure(program=name, answer=summary(frame.to_arrow()))


@pytest.mark.parametrize("name", SHAPES)
def test_every_script_answers_as_the_engine_does(tmp_path: Path, name: str) -> None:
    cell = shape(name)
    make(tmp_path, cell)
    scans = [pl.scan_parquet(view_path(tmp_path, cell, view)) for view in range(cell.views)]
    if cell.entities:
        entities = pl.read_parquet(entity_path(tmp_path, cell))
        ours = join_as_of(entities.lazy(), views(tmp_path, cell, known=False), event_timestamp=TIME).collect()
    else:
        entities = None
        ours = latest(scans[0], name=name, keys=[KEY], columns=[], event_timestamp=TIME).collect()
    right = figure("engine", ours)
    assert any(right.answer["nulls"]) == bool(cell.entities)
    for script in fitting(cell):
        assert difference(figure(script, answer(script, scans, entities, cell)), right) == "", script


@pytest.mark.parametrize("traits", [{}, {"by_key": True}, {"skewed": True}, {"skewed": True, "by_key": True}])
def test_files_are_sorted_as_they_say_and_the_check_knows_wrong_answers(
    tmp_path: Path, traits: dict[str, bool]
) -> None:
    cell = Cell(name="tiny", entities=500, rows=4_000, views=1, features=2, small=True, **traits)
    make(tmp_path, cell)
    rows = pl.read_parquet(view_path(tmp_path, cell, 0))
    order = [KEY, TIME] if cell.by_key else [TIME]
    assert rows.equals(rows.sort(order, maintain_order=True))
    share = (rows[KEY] == cell.keys // 2).mean()
    assert isinstance(share, float)
    assert 0.45 < share < 0.55 if cell.skewed else share < 0.01
    entities = pl.scan_parquet(entity_path(tmp_path, cell))
    for known in (True, False):
        join_as_of(entities, views(tmp_path, cell, known=known), event_timestamp=TIME).sink_parquet(tmp_path / "a")
        found = check(tmp_path, cell, tmp_path / "a")
        assert found["rows"] == 500
        assert found["checked"] > 100
        assert (found["wrong"] == 0) is known


def test_a_child_that_takes_too_much_is_stopped_and_says_why(tmp_path: Path) -> None:
    with Memory(0.2) as memory:
        for code, seconds, why in (
            ("x = b'1' * (400 << 20); print(len(x))", 60.0, ("over memory: 0.2 GiB", "failed: MemoryError")),
            ("import time; time.sleep(60)", 0.3, ("over time: 0.3 s",)),
            ("raise ValueError('no such thing')", 60.0, ("failed: ValueError: no such thing",)),
        ):
            done = run([sys.executable, "-c", code], cwd=tmp_path, memory=memory, seconds=seconds)
            assert done.stopped.startswith(why), done.stopped
        done = run([sys.executable, "-c", "print(1)"], cwd=tmp_path, memory=memory, seconds=60)
        assert (done.output, done.stopped) == ("1\n", "")
    assert list(tmp_path.iterdir()) == []


def test_verdicts_count_a_peer_stopped_for_its_time_and_say_what_was_not_measured() -> None:
    told = {"rows": 1, "nulls": [0], "sums": [1.0], "weighted": [1.0]}
    ours = Figure(program="ours", seconds=5, retrieval=1, retrieval_cpu=2, own=1, answer=told)
    late = Figure(program="duckdb", seconds=300, stopped="over time: 300 s")
    quick = Figure(program="duckdb", seconds=9, retrieval=5, own=5, answer=told)
    rows = [
        Row(cell=named("1m-1m")[0], figures={"ours": ours, "ours-ignore": ours, "duckdb": quick}),
        Row(cell=named("1m-1m-deep")[0], figures={"ours": ours, "ours-ignore": ours, "duckdb": late}),
    ]
    said = {verdict.claim: str(verdict) for verdict in verdicts(rows)}
    assert said["never slower than duckdb"] == "held, least 5.0 times (1m-1m)"
    assert said["10 times duckdb at 1M x 1M"] == "MISSED, least 5.0 times (1m-1m)"
    assert said["100 times duckdb at 1,000 rows a key"] == "held, least 296.0 times (1m-1m-deep)"
    assert said["newest rows no slower than duckdb"] == "not measured"
    assert rows[1].ratios()[0] == "> 296"


def test_cells_have_names_of_their_own() -> None:
    assert len({cell.name for cell in CELLS}) == len(CELLS) == len({str(cell) for cell in CELLS})
    assert all(Cell.loads(cell.dumps()) == cell for cell in CELLS)
    with pytest.raises(SystemExit, match="no cell named nothing; there are 10k-1m"):
        named("1m-1m,nothing")
