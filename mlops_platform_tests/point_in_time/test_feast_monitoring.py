"""Monitoring metrics: what they say, beside Feast's DuckDB store, and how they are kept."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast import FileSource, RepoConfig
from feast.data_format import DeltaFormat, ParquetFormat
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore
from feast.monitoring.monitoring_service import MonitoringService

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform.point_in_time.feast_store import PolarsOfflineStore

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FEATURES = [("n", "numeric"), ("x", "numeric"), ("same", "numeric"), ("none", "numeric"), ("kind", "categorical"),
            ("flag", "categorical")]  # fmt: skip
Make = Callable[..., Any]


@pytest.fixture
def rows() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "event": [T + number * DAY for number in range(8)],
            "n": [1, 5, 5, None, 9, -3, 2, 2],
            "x": [0.1, 0.7, 0.3, 2.5, None, 1e6, -4.0, 0.0],
            "same": [4.0] * 7 + [None],
            "none": pl.Series([None] * 8, dtype=pl.Float64),
            "kind": ["a", "b", "b", "c", None, "b", "a", "d"],
            "flag": [True, None, True, False, True, True, None, False],
            "odd": [1.0, float("nan"), float("inf"), 3.0, 2.0, None, 5.0, 4.0],
        }
    )


@pytest.fixture
def config(tmp_path: Path, rows: pl.DataFrame) -> RepoConfig:
    rows.write_parquet(tmp_path / "rows.parquet")
    rows.write_delta(tmp_path / "rows")
    store = "mlops_platform.point_in_time.feast_store.PolarsOfflineStore"
    return RepoConfig(
        project="p", provider="local", registry=str(tmp_path / "registry.db"), repo_path=tmp_path,
        offline_store={"type": store}, entity_key_serialization_version=3,
    )  # fmt: skip


def duckdb_of(config: RepoConfig) -> RepoConfig:
    return RepoConfig(
        project="p", provider="local", registry=config.registry.path, repo_path=config.repo_path,
        offline_store={"type": "duckdb"}, entity_key_serialization_version=3,
    )  # fmt: skip


def source_of(path: str) -> FileSource:
    kind = ParquetFormat() if path.endswith(".parquet") else DeltaFormat()
    return FileSource(name="rows", path=path, timestamp_field="event", file_format=kind, field_mapping={"x": "mapped"})


def comparable(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Metrics by feature; of equally frequent values, which DuckDB gives in no order, the set."""
    for metric in metrics:
        if metric["histogram"] and "values" in metric["histogram"]:
            metric["histogram"]["values"].sort(key=lambda entry: (-entry["count"], entry["value"]))
    return {
        metric["feature_name"]: {
            name: pytest.approx(value) if isinstance(value, float) else value for name, value in metric.items()
        }
        for metric in metrics
    }


@pytest.mark.parametrize("span", [(None, None), (T + DAY, T + 5 * DAY), (T, T), (None, T + 4 * DAY)])
def test_metrics_are_those_of_feast(config: RepoConfig, span: tuple[Any, Any]) -> None:
    source = source_of("rows.parquet")
    ours = PolarsOfflineStore.compute_monitoring_metrics(config, source, FEATURES, "event", *span, 7, 10)
    theirs = DuckDBOfflineStore.compute_monitoring_metrics(duckdb_of(config), source, FEATURES, "event", *span, 7, 10)
    assert [metric["feature_name"] for metric in ours] == [name for name, _ in FEATURES]
    expected = comparable(theirs)
    for name, metric in comparable(ours).items():
        if metric["histogram"] is None and metric["feature_type"] == "categorical":
            assert metric["row_count"] == metric["null_count"] == 1  # where DuckDB's says that there were no rows
        else:
            assert metric == expected[name]


def test_range_has_both_ends_and_top_values_an_order(config: RepoConfig) -> None:
    span = (T.replace(tzinfo=None), T + 3 * DAY)
    (kind,) = PolarsOfflineStore.compute_monitoring_metrics(
        config, source_of("rows"), [("kind", "categorical")], "event", *span, top_n=2
    )
    values = [{"value": "b", "count": 2}, {"value": "a", "count": 1}]
    assert kind["histogram"] == {"values": values, "other_count": 1, "unique_count": 3}
    assert kind["row_count"] == 4


def test_values_that_are_not_finite(config: RepoConfig) -> None:
    (odd,) = PolarsOfflineStore.compute_monitoring_metrics(
        config, source_of("rows"), [("odd", "numeric")], "event", histogram_bins=4
    )
    assert (odd["row_count"], odd["null_count"], odd["mean"], odd["stddev"]) == (8, 1, None, None)
    assert (odd["min_val"], odd["p50"], odd["max_val"]) == (1.0, 3.0, 5.0)
    assert odd["histogram"]["counts"] == [1, 1, 1, 2]


def test_mapped_names_are_found_and_what_is_wrong_is_said(config: RepoConfig) -> None:
    def compute(*features: tuple[str, str]) -> Any:
        return PolarsOfflineStore.compute_monitoring_metrics(config, source_of("rows"), list(features), "event")

    assert compute(("mapped", "numeric"))[0]["max_val"] == 1e6
    with pytest.raises(PointInTimeError, match="source 'rows': no column 'lost'"):
        compute(("lost", "numeric"))
    with pytest.raises(PointInTimeError, match="'kind' is String; required is a column of numbers"):
        compute(("kind", "numeric"))
    with pytest.raises(PointInTimeError, match="required is 'numeric' or 'categorical'"):
        compute(("kind", "vague"))


def test_latest_event_time(config: RepoConfig, tmp_path: Path, rows: pl.DataFrame) -> None:
    latest = PolarsOfflineStore.get_monitoring_max_timestamp
    for path in ("rows", "rows.parquet"):
        assert latest(config, source_of(path), "event") == T + 7 * DAY
    assert latest(config, source_of("nothing_yet"), "event") is None
    rows.clear().write_parquet(tmp_path / "empty.parquet")
    assert latest(config, source_of("empty.parquet"), "event") is None
    with pytest.raises(PointInTimeError, match="no column 'when'"):
        latest(config, source_of("rows"), "when")


def feature(name: str, day: int, **more: Any) -> dict[str, Any]:
    return {
        "project_id": "p", "feature_view_name": "v", "feature_name": name, "metric_date": date(2024, 3, day),
        "granularity": "daily", "data_source_type": "batch", "computed_at": T, "max_event_timestamp": None,
        "is_baseline": True, "feature_type": "numeric", "row_count": 3, "null_count": 0, "null_rate": 0.0,
        "mean": float("nan"), "histogram": {"bins": [0.0, 1.0], "counts": [3], "bin_width": 1.0}, **more,
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore:The behavior of DataFrame concatenation:FutureWarning")  # in Feast's store
@pytest.mark.parametrize("store", [PolarsOfflineStore, DuckDBOfflineStore])
def test_metrics_are_kept_as_by_feast(config: RepoConfig, store: Any) -> None:
    config = config if store is PolarsOfflineStore else duckdb_of(config)

    def names(**options: Any) -> list[tuple[str, str]]:
        found = store.query_monitoring_metrics(config, "p", "feature", **options)
        return [(row["feature_name"], row["metric_date"]) for row in found]

    assert names() == []
    store.ensure_monitoring_tables(config)
    assert len(list((config.repo_path / "feast_monitoring").glob("*.parquet"))) == 4
    assert names() == []
    store.save_monitoring_metrics(config, "feature", [feature("b", 2), feature("a", 1), feature("a", 3)])
    store.save_monitoring_metrics(config, "feature", [feature("a", 1, row_count=9), feature("x", 2, project_id="q")])
    store.save_monitoring_metrics(config, "feature", [])
    assert names() == [("a", "2024-03-01"), ("b", "2024-03-02"), ("a", "2024-03-03")]
    assert names(start_date=date(2024, 3, 2), end_date=date(2024, 3, 3)) == names()[1:]
    assert names(filters={"feature_name": "b", "granularity": None}) == [("b", "2024-03-02")]
    first = store.query_monitoring_metrics(config, "p", "feature")[0]
    assert first["histogram"] == {"bins": [0.0, 1.0], "counts": [3], "bin_width": 1.0}
    assert (first["row_count"], first["mean"], first["is_baseline"], first["p50"]) == (9, None, True, None)
    assert (first["computed_at"], first["max_event_timestamp"]) == ("2024-03-01T12:00:00+00:00", None)
    assert len(store.query_monitoring_metrics(config, "", "feature")) == 4
    store.clear_monitoring_baseline(config, "p", feature_name="a", data_source_type="batch")
    found = store.query_monitoring_metrics(config, "p", "feature")
    assert [row["is_baseline"] for row in found] == [False, True, False]
    with pytest.raises(ValueError, match="Unknown monitoring metric_type"):
        store.query_monitoring_metrics(config, "p", "wrong")


@pytest.mark.filterwarnings("ignore:The behavior of DataFrame concatenation:FutureWarning")
def test_files_that_feast_wrote_are_read_and_what_was_read_can_be_saved(config: RepoConfig) -> None:
    DuckDBOfflineStore.ensure_monitoring_tables(duckdb_of(config))
    DuckDBOfflineStore.save_monitoring_metrics(duckdb_of(config), "feature", [feature("a", 1), feature("b", 2)])
    read = PolarsOfflineStore.query_monitoring_metrics(config, "p", "feature")
    assert [row["feature_name"] for row in read] == ["a", "b"]
    PolarsOfflineStore.save_monitoring_metrics(config, "feature", [{**read[0], "row_count": 4, "no_column": 1}])
    again = PolarsOfflineStore.query_monitoring_metrics(config, "p", "feature")
    assert again == [{**read[0], "row_count": 4}, read[1]]
    with pytest.raises(PointInTimeError, match="no column 'colour' to filter by"):
        PolarsOfflineStore.query_monitoring_metrics(config, "p", "feature", {"colour": "red"})


def test_a_save_that_fails_leaves_what_was_there(config: RepoConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    PolarsOfflineStore.save_monitoring_metrics(config, "feature", [feature("a", 1)])

    def fail(source: Any, target: Any) -> None:
        raise OSError("killed")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="killed"):
        PolarsOfflineStore.save_monitoring_metrics(config, "feature", [feature("b", 1)])
    found = PolarsOfflineStore.query_monitoring_metrics(config, "p", "feature")
    assert [row["feature_name"] for row in found] == ["a"]


def test_savers_wait_for_each_other(config: RepoConfig) -> None:
    def save(number: int) -> None:
        PolarsOfflineStore.save_monitoring_metrics(config, "feature", [feature(str(number), 1)])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(save, range(24)))
    assert len(PolarsOfflineStore.query_monitoring_metrics(config, "p", "feature")) == 24


def test_lists_are_measured_as_far_as_they_can_be(config: RepoConfig, tmp_path: Path) -> None:
    rows = pl.DataFrame({"event": [T] * 3, "tags": [["x"], ["y", None], ["x"]], "vector": [[1.0], None, [2.0]]})
    rows.write_parquet(tmp_path / "lists.parquet")
    features = [("tags", "categorical"), ("vector", "numeric")]
    tags, vector = PolarsOfflineStore.compute_monitoring_metrics(config, source_of("lists.parquet"), features, "event")
    assert tags["histogram"]["values"] == [{"value": "[x]", "count": 2}, {"value": "[y, NULL]", "count": 1}]
    assert (vector["row_count"], vector["null_count"], vector["mean"]) == (3, 1, None)


def test_monitoring_service_on_a_view(open_store: Make, stats: Make) -> None:
    """Feast's service from end to end, as a job."""
    service = MonitoringService(open_store(stats()))
    job = service.submit_job("p", "auto_compute", feature_view_name="stats", parameters={"why": "test"})
    assert service.execute_job(job)["computed_feature_views"] == 1
    assert (found := service.get_job(job)) is not None
    assert (found["status"], found["result_summary"]["status"]) == ("completed", "completed")
    daily = {row["feature_name"]: row for row in service.get_feature_metrics("p", granularity="daily")}
    assert set(daily) == {"trips", "name", "rate", "tags"}
    assert (daily["trips"]["row_count"], daily["trips"]["null_count"], daily["trips"]["max_val"]) == (4, 1, 4.0)
    (view,) = service.get_feature_view_metrics("p", granularity="daily")
    assert (view["total_row_count"], view["features_with_nulls"]) == (4, 2)
    assert {row["is_baseline"] for row in service.get_baseline("p", "stats")} == {True}
