"""Plans, parts and budgets, through Feast."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from deltalake import DeltaTable

from mlops_platform.point_in_time import PointInTimeError

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
ROWS = 30_000


@pytest.fixture
def asked() -> pl.DataFrame:
    return pl.select(driver_id=pl.int_range(ROWS) % 3, event_timestamp=pl.lit(T), number=pl.int_range(ROWS))


def test_explain_says_table_version_known_time_and_plan(open_store: Any, stats: Any, ask: Any) -> None:
    text = ask(open_store(stats())).explain()
    table, plan = text.splitlines()
    assert table == "stats: delta 'data/stats' version 0, true by 'event', known by 'known' (respect)"
    assert re.fullmatch(r"  one pass: 4 rows of \d+ bytes, 3 keys asked for", plan)


@pytest.mark.parametrize("kind", ["file.parquet", "folder", "delta"])
def test_persist_writes_an_answer_larger_than_memory_in_parts(
    tmp_path: Path, open_store: Any, stats: Any, ask: Callable[..., Any], asked: pl.DataFrame, kind: str
) -> None:
    from feast.data_format import DeltaFormat
    from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

    features = ["stats:trips", "stats:name", "stats:tags"]
    store = open_store(stats(), memory_budget=1)
    job = ask(store, asked, features=features)
    target = tmp_path / kind
    job.persist(SavedDatasetFileStorage(str(target), file_format=DeltaFormat() if kind == "delta" else None))
    stored = pl.read_delta(str(target)) if kind == "delta" else pl.read_parquet(target)
    if kind == "delta":  # it takes the parts in any order
        stored = stored.sort("number")
    assert stored.equals(job.to_polars())
    if kind == "delta":
        assert DeltaTable(target).version() == 0
    else:
        assert [path.name for path in target.parent.glob(".*")] == []


def test_export_in_parts_keeps_the_order(
    tmp_path: Path, open_store: Any, stats: Any, ask: Callable[..., Any], asked: pl.DataFrame
) -> None:
    store = open_store(stats(), memory_budget=1, staging_location=str(tmp_path / "staging"))
    job = ask(store, asked)
    files = job.to_remote_storage()
    assert len(files) == 3
    assert pl.concat([pl.read_parquet(file) for file in files]).equals(job.to_polars())


def test_a_budget_that_is_no_size_is_an_error(open_store: Any, stats: Any, ask: Callable[..., Any]) -> None:
    with pytest.raises(PointInTimeError, match="memory budget: required is a size such as 6GiB or 500MB"):
        ask(open_store(stats(), memory_budget="a lot"))


def test_parquet_written_anew_since_the_retrieval_was_made_is_an_error(
    tmp_path: Path, open_store: Any, stats: Any, ask: Callable[..., Any]
) -> None:
    store, file = open_store(stats("data/stats.parquet")), tmp_path / "data" / "stats.parquet"
    job = ask(store)
    rows = pl.read_parquet(file)
    draft = file.with_name("draft")
    pl.concat([rows, rows]).write_parquet(draft)
    draft.rename(file)
    for run in (job.to_polars, lambda: job.persist(_file(tmp_path / "saved.parquet"))):
        with pytest.raises(PointInTimeError, match="view 'stats': its rows were written anew since"):
            run()
    assert not (tmp_path / "saved.parquet").exists()
    assert ask(store).to_polars().height == 5


def _file(path: Path) -> Any:
    from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

    return SavedDatasetFileStorage(str(path))


@pytest.mark.parametrize("name", ["a[1].parquet", "a?.parquet", "f[1]"])
def test_a_path_is_no_pattern(
    tmp_path: Path, open_store: Any, stats: Any, ask: Callable[..., Any], stats_rows: pl.DataFrame, name: str
) -> None:
    """Beside what the name would match, were it one."""
    for each, trips in ((name, 7), (name.replace("[1]", "1").replace("?", "1"), 9)):
        path = tmp_path / "data" / each
        if path.suffix != ".parquet":
            path.mkdir()
            path = path / "rows.parquet"
        stats_rows.with_columns(trips=pl.lit(trips)).write_parquet(path)
    found = ask(open_store(stats(f"data/{name}", delta=False))).to_polars()
    assert set(found["trips"].drop_nulls()) == {7}


def test_an_answer_without_rows_has_one_chunk(open_store: Any, stats: Any, ask: Callable[..., Any]) -> None:
    none = pl.DataFrame(schema={"driver_id": pl.Int64, "event_timestamp": pl.Datetime("us", "UTC")})
    table = ask(open_store(stats()), none).to_arrow()
    assert {column.num_chunks for column in table.columns} == {1}


def test_a_ttl_and_a_budget_change_no_answer(open_store: Any, stats: Any, ask: Callable[..., Any]) -> None:
    whole = ask(open_store(stats(ttl=timedelta(hours=3)))).to_polars()
    assert ask(open_store(memory_budget="1KB")).to_polars().equals(whole)
