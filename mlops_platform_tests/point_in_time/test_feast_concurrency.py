"""Retrievals, applies and writes at the same time, from threads and from processes."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from feast import FeatureStore, FeatureView
from feast.data_format import DeltaFormat

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform.point_in_time.feast_store import PolarsOfflineStore
from mlops_platform_tests.point_in_time.other_stores import OURS, T, answers, at, facts, open_store, questions, view_of

KEYS = range(200)
ASKED = questions(*({"k": k} for k in KEYS))
SQL = "sqlite:///{}/registry.db"
SPAWN = multiprocessing.get_context("spawn")


def generation(number: int) -> pl.DataFrame:
    """A table whose every row says the same, in files of its own."""
    return facts(*({"k": k, "event": at(-1), "x": number} for k in KEYS))


def delta_view(root: Path, name: str = "v") -> FeatureView:
    return view_of(facts(), root, name=name, path=str(root / "delta"), file_format=DeltaFormat())


def rewrite(path: str, times: int) -> None:
    """Overwrite a Delta table again and again; run in a process of its own."""
    for number in range(1, times + 1):
        generation(number).write_delta(path, mode="overwrite")


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Two views over one Delta table at generation 0."""
    generation(0).write_delta(tmp_path / "delta")
    return open_store(tmp_path, OURS, delta_view(tmp_path), delta_view(tmp_path, "w"))


def test_a_job_reads_the_version_it_was_made_at_however_often_the_table_is_rewritten(
    store: FeatureStore, tmp_path: Path
) -> None:
    jobs = []
    for number in range(3):
        jobs.append(store.get_historical_features(ASKED, ["v:x"]))
        generation(number + 1).write_delta(tmp_path / "delta", mode="overwrite")
    assert [set(job.to_polars()["x"]) for job in jobs] == [{0}, {1}, {2}]
    assert [job.reads[0].version for job in jobs] == [0, 1, 2]
    assert set(jobs[0].to_polars()["x"]) == {0}


def test_a_job_whose_version_was_vacuumed_away_says_what_it_reads(store: FeatureStore, tmp_path: Path) -> None:
    job = store.get_historical_features(ASKED, ["v:x"])
    generation(1).write_delta(tmp_path / "delta", mode="overwrite")
    DeltaTable(tmp_path / "delta").vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(PointInTimeError, match=r"reading failed: (.|\n)*delta '.*delta' version 0"):
        job.to_polars()


def test_views_of_one_table_are_read_at_one_version_while_another_process_rewrites_it(
    store: FeatureStore, tmp_path: Path
) -> None:
    def look(_: int) -> tuple[set[Any], int | None]:
        job = store.get_historical_features(ASKED.copy(), ["v:x", "w:x"], full_feature_names=True)
        got = job.to_polars()
        return set(got["v__x"]) | set(got["w__x"]), job.reads[0].version

    with ProcessPoolExecutor(1, mp_context=SPAWN) as writers, ThreadPoolExecutor(3) as readers:
        writing = writers.submit(rewrite, str(tmp_path / "delta"), 40)
        seen = []
        while not writing.done():
            seen += list(readers.map(look, range(6)))
        writing.result()
    assert all(values == {version} for values, version in seen)
    assert len({version for _, version in seen}) > 1
    assert look(0) == ({40}, 40)


def test_one_job_run_by_many_threads_at_once(store: FeatureStore) -> None:
    job = store.get_historical_features(ASKED, ["v:x"])
    runs: list[Callable[[], Any]] = [job.to_polars, lambda: pl.from_arrow(job.to_arrow())] * 8
    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(lambda run: run(), runs))
    assert all(frame.equals(got[0]) for frame in got)


def test_retrievals_go_on_while_other_views_are_applied(tmp_path: Path) -> None:
    """Over Feast's SQL registry: its file registry is written in place, and whoever reads then may find it empty."""
    generation(0).write_delta(tmp_path / "delta")
    sql = SQL.format(tmp_path)
    store = open_store(tmp_path, OURS, delta_view(tmp_path), registry=sql)
    other = open_store(tmp_path, OURS, registry=sql)
    with ThreadPoolExecutor(4) as readers:
        asked = [readers.submit(answers, store, ASKED.copy()) for _ in range(40)]
        for number in range(10):
            other.apply(delta_view(tmp_path, f"more_{number}"))
        assert all(set(each.result().values()) == {0} for each in asked)
    assert len(open_store(tmp_path, OURS, registry=sql).list_feature_views()) == 11


def apply_and_ask(root: str, name: str) -> list[Any]:
    """In a process of its own: apply a view to the shared registry, then ask the shared one and its own."""
    store = open_store(Path(root), OURS, registry=SQL.format(root))
    own = delta_view(Path(root), name)
    found = []
    for _ in range(5):
        store.apply(own)
        for view in ("v", name):
            found.append(set(answers(store, ASKED.copy(), features=[f"{view}:x"]).values()))
    return found


def test_processes_apply_and_ask_at_once(tmp_path: Path) -> None:
    """Over Feast's SQL registry: of its file registry the last writer wins."""
    generation(0).write_delta(tmp_path / "delta")
    store = open_store(tmp_path, OURS, delta_view(tmp_path), registry=SQL.format(tmp_path))
    with ProcessPoolExecutor(2, mp_context=SPAWN) as processes:
        runs = [processes.submit(apply_and_ask, str(tmp_path), name) for name in ("first", "second")]
        assert [run.result() for run in runs] == [[{0}] * 10] * 2
    store.refresh_registry()
    assert sorted(view.name for view in store.list_feature_views()) == ["first", "second", "v"]


@pytest.mark.parametrize("shape", ["delta", "folder"])
def test_appends_of_many_threads_all_arrive(tmp_path: Path, shape: str) -> None:
    path = tmp_path / shape
    rows = generation(0)
    if shape == "delta":
        rows.write_delta(path)
    else:
        path.mkdir()
        rows.write_parquet(path / "0.parquet")
    view = view_of(facts(), tmp_path, path=str(path), file_format=DeltaFormat() if shape == "delta" else None)
    store = open_store(tmp_path, OURS, view)

    def append(number: int) -> None:
        late = rows[:1].with_columns(pl.lit(T).alias("event"), pl.lit(number).cast(pl.Int64).alias("x"))
        table: pa.Table = late.cast(rows.schema).to_arrow(compat_level=pl.CompatLevel.oldest())
        PolarsOfflineStore.offline_write_batch(store.config, view, table, None)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(append, range(1, 21)))
    read = pl.read_delta(str(path)) if shape == "delta" else pl.read_parquet(path / "*.parquet")
    assert read.filter(pl.col("event") == T)["x"].sort().to_list() == list(range(1, 21))
    assert answers(store, ASKED.copy())[0] in range(1, 21)
