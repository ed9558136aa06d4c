"""A retrieval job from end to end: every form of its result, validation, a limit of time, and export."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from feast.dataframe import DataFrameEngine
from feast.dqm.errors import ValidationFailed
from feast.dqm.profilers.profiler import Profile, Profiler, ValidationReport
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob
from feast.saved_dataset import ValidationReference

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform.point_in_time.feast_job import PolarsRetrievalJob
from mlops_platform.point_in_time.feast_tensors import to_tensors
from mlops_platform.point_in_time.feast_timeout import RetrievalTimeoutError

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
Make = Callable[..., Any]


def job_of(frame: pl.LazyFrame) -> PolarsRetrievalJob:
    return PolarsRetrievalJob(frame=frame, reads=[], repo_path=None)


def test_feast_frame(open_store: Make, stats: Make, ask: Make) -> None:
    frame = ask(open_store(stats()), features=["stats:trips"]).to_feast_df()
    assert (frame.engine, frame.data.num_rows) == (DataFrameEngine.ARROW, 5)
    assert frame.metadata == {"features": ["stats:trips"], "on_demand_feature_views": []}


def test_polars_and_arrow_agree_on_types_at_any_depth() -> None:
    moment, berlin = datetime(2024, 7, 1, 12), pl.Datetime("ms", "Europe/Berlin")
    rows = pl.DataFrame(
        {
            "nested": [{"at": moment, "all": [moment], "kind": "a"}],
            "many": [[moment, None]],
            "vector": [[1.0, 2.0]],
            "kinds": [["a", "b"]],
        },
        schema={
            "nested": pl.Struct({"at": berlin, "all": pl.List(pl.Datetime("ns")), "kind": pl.Categorical}),
            "many": pl.List(pl.Datetime("us")),
            "vector": pl.Array(pl.Float32, 2),
            "kinds": pl.List(pl.Enum(["a", "b"])),
        },
    )  # fmt: skip
    got = job_of(rows.lazy()).to_polars()
    utc = pl.Datetime("us", "UTC")
    assert dict(got.schema) == {
        "nested": pl.Struct({"at": utc, "all": pl.List(utc), "kind": pl.String}),
        "many": pl.List(utc), "vector": pl.List(pl.Float32), "kinds": pl.List(pl.String),
    }  # fmt: skip
    moment = moment.replace(tzinfo=UTC)
    assert got["many"].to_list() == [[moment, None]]
    assert got["nested"].to_list() == [{"at": moment, "all": [moment], "kind": "a"}]
    assert pl.DataFrame(pl.from_arrow(job_of(rows.lazy()).to_arrow())).equals(got)


def test_tensors_are_those_of_feast_in_the_types_stored(open_store: Make, stats: Make, ask: Make) -> None:
    retrieval = ask(open_store(stats()), features=["stats:trips", "stats:rate", "stats:name"])
    ours, feasts = retrieval.to_tensor(), RetrievalJob.to_tensor(retrieval)
    assert list(ours) == list(feasts)
    for name in ("driver_id", "trips", "rate"):
        assert torch.equal(torch.nan_to_num(ours[name].float(), -1), torch.nan_to_num(feasts[name].float(), -1))
    assert [ours[name].dtype for name in ("driver_id", "trips", "rate")] == [torch.int64, torch.float64, torch.float32]
    assert ours["name"][0] == "c"
    assert ours["event_timestamp"][0] == T
    filled = retrieval.to_tensor(default_value=-1)
    assert (filled["trips"].tolist(), filled["trips"].dtype) == ([-1, 1, -1, 1, 2], torch.int64)
    assert filled["name"][2] == -1
    with pytest.raises(ValueError, match="found 'numpy'"):
        retrieval.to_tensor(kind="numpy")


def test_tensors_of_every_type() -> None:
    rows = pl.DataFrame(
        {
            "u8": pl.Series([1, 2], dtype=pl.UInt8), "u32": pl.Series([1, 2], dtype=pl.UInt32), "flag": [True, None],
            "nan": [float("nan"), 1.0], "none": [None, None], "money": [Decimal("1.5"), None], "list": [[1], None],
        }
    )  # fmt: skip
    got = to_tensors(rows, False)
    assert {name: str(found.dtype) for name, found in got.items() if name != "list"} == {
        "u8": "torch.uint8", "u32": "torch.int64", "flag": "torch.bool", "nan": "torch.float64",
        "none": "torch.float64", "money": "torch.float64",
    }  # fmt: skip
    assert (got["flag"].tolist(), got["nan"].tolist(), got["money"].tolist()) == ([True, False], [0.0, 1.0], [1.5, 0.0])
    assert got["list"] == [[1], False]
    assert to_tensors(rows, 2)["flag"].tolist() == [1, 2]
    with pytest.raises(PointInTimeError, match=r"'flag' is Boolean and has missing values.*found 'x'"):
        to_tensors(rows, "x")


def slow() -> pl.LazyFrame:
    rows = pl.LazyFrame({"a": range(3_000_000)}).select(pl.col("a").hash().alias("a"))
    for _ in range(5):
        rows = rows.sort("a").with_columns(pl.col("a").hash(), b=pl.col("a").rank())
    return rows


def test_timeout_stops_the_query_and_says_so() -> None:
    with pytest.raises(RetrievalTimeoutError, match=r"longer than the 0\.05 seconds allowed") as caught:
        job_of(slow()).to_arrow(timeout=0.05)  # type: ignore[arg-type]
    assert isinstance(caught.value, TimeoutError)
    assert isinstance(caught.value, PointInTimeError)


def test_timeout_that_is_kept(open_store: Make, stats: Make, ask: Make) -> None:
    retrieval = ask(open_store(stats()))
    assert retrieval.to_polars(timeout=60).equals(retrieval.to_polars())
    assert retrieval.to_df(timeout=60).shape == (5, 4)
    with pytest.raises(PointInTimeError, match="above zero, or None; found 0"):
        retrieval.to_arrow(timeout=0)
    with pytest.raises(PointInTimeError, match=r"reading failed: .*conversion"):
        job_of(pl.LazyFrame({"a": ["x"]}).cast(pl.Int64)).to_arrow(timeout=60)


class Rows(Profile, ValidationReport):
    """A profile that asks for a number of rows, and the report on it."""

    def __init__(self, expected: int) -> None:
        self.expected, self.found = expected, expected

    def validate(self, dataset: pd.DataFrame) -> ValidationReport:
        self.found = len(dataset)
        return self

    @property
    def is_success(self) -> bool:
        return self.found == self.expected

    @property
    def errors(self) -> list[Any]:
        return []


class CountsRows(Profiler):
    def analyze_dataset(self, dataset: pd.DataFrame) -> Profile:
        return Rows(len(dataset))


def test_validation_against_a_saved_dataset(open_store: Make, stats: Make, ask: Make) -> None:
    store = open_store(stats())
    asked = pl.DataFrame({"driver_id": [1], "event_timestamp": [T]})
    with pytest.warns(RuntimeWarning, match="experimental"):
        saved = store.create_saved_dataset(ask(store), "five", SavedDatasetFileStorage("data/five.parquet"))
        reference = ValidationReference.from_saved_dataset("ref", saved, CountsRows())
        assert ask(store).to_polars(validation_reference=reference).height == 5
        assert len(ask(store).to_df(validation_reference=reference)) == 5
        with pytest.raises(ValidationFailed):
            ask(store, asked).to_polars(validation_reference=reference)


def test_export_to_the_staging_location(
    open_store: Make, stats: Make, ask: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(stats(), staging_location="staging")
    assert ask(store).supports_remote_storage_export()
    monkeypatch.setattr("mlops_platform.point_in_time.feast_persist._BYTES_A_FILE", 60)
    paths = ask(store).to_remote_storage()
    assert len(paths) > 1
    assert {Path(path).parent.parent for path in paths} == {tmp_path / "staging"}
    assert [value for path in paths for value in pq.read_table(path)["driver_id"].to_pylist()] == [2, 1, 9, 1, 1]
    again = ask(store).to_remote_storage()
    assert not set(again) & set(paths)
    nobody = pl.DataFrame({"driver_id": [1], "event_timestamp": [T]}).clear()
    assert ask(store, nobody).to_remote_storage() == []


def test_a_folder_takes_the_place_of_a_file_and_back(open_store: Make, stats: Make, ask: Make, tmp_path: Path) -> None:
    store = open_store(stats())
    for target, before in (("out", Path.touch), ("out.parquet", Path.mkdir)):
        before(tmp_path / target)
        ask(store).persist(SavedDatasetFileStorage(target), allow_overwrite=True)
        assert pl.read_parquet(tmp_path / target).height == 5
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_what_a_job_cannot_do_says_so(open_store: Make, stats: Make, ask: Make) -> None:
    retrieval = ask(open_store(stats()))
    assert not retrieval.supports_remote_storage_export()
    with pytest.raises(PointInTimeError, match="required is a staging_location"):
        retrieval.to_remote_storage()
    with pytest.raises(NotImplementedError, match=r"runs no SQL: explain\(\)"):
        retrieval.to_sql()
