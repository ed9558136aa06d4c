"""What a reference may name: versions of a view, on-demand views with request data, mapped columns, services."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import polars as pl
import pytest
from feast import FeatureService, Field, FileSource, RequestSource
from feast.data_format import DeltaFormat
from feast.errors import FeatureNameCollisionError, RequestDataNotFoundInEntityDfException
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ENTITIES = pl.DataFrame({"driver_id": [2, 1], "event_timestamp": [T, T]})
Make = Callable[..., Any]


def test_versions_of_a_view(open_store: Make, stats: Make, stats_rows: pl.DataFrame, tmp_path: Any, ask: Make) -> None:
    """A version is a snapshot of the definition: here version 1 has one more feature and reads another table."""
    stats_rows.with_columns(trips=pl.lit(90)).write_delta(tmp_path / "data/newer")
    open_store(stats(), versioned=True)
    store = open_store(stats("data/newer", lost=True), versioned=True)
    answers = {
        ref: ask(store, ENTITIES, features=[f"{ref}:trips"]).to_polars()["trips"].to_list()
        for ref in ("stats", "stats@v0", "stats@v1", "stats@latest")
    }
    assert answers == {"stats": [90, 90], "stats@v0": [None, 1], "stats@v1": [90, 90], "stats@latest": [90, 90]}
    both = ask(store, ENTITIES, features=["stats@v0:trips", "stats@v1:trips"], full_feature_names=True)
    assert both.to_polars().columns[2:] == ["stats@v0__trips", "stats@v1__trips"]
    assert "stats@v0: delta 'data/stats'" in both.explain()
    assert both.to_polars_with_times()["stats@v0__event_timestamp"].to_list() == [T - HOUR, T - 2 * HOUR]
    with pytest.raises(FeatureNameCollisionError):
        ask(store, ENTITIES, features=["stats@v0:trips", "stats@v1:trips"])


def test_versions_that_are_not_enabled_say_so(open_store: Make, stats: Make, ask: Make) -> None:
    with pytest.raises(ValueError, match="enable_online_feature_view_versioning: true"):
        ask(open_store(stats()), ENTITIES, features=["stats@v0:trips"])


@pytest.mark.parametrize("mode", ["pandas", "python"])
@pytest.mark.parametrize("full", [False, True])
def test_on_demand_view_with_request_data(open_store: Make, stats: Make, ask: Make, mode: str, full: bool) -> None:
    asked = RequestSource(name="asked", schema=[Field(name="add", dtype=Int64)])

    @on_demand_feature_view(sources=[view := stats(), asked], schema=[Field(name="sum", dtype=Float64)], mode=mode)
    def summed(inputs: pd.DataFrame) -> pd.DataFrame:
        total = [float(rate + add) for rate, add in zip(inputs["rate"], inputs["add"], strict=True)]
        return pd.DataFrame({"sum": total}) if isinstance(inputs, pd.DataFrame) else {"sum": total}

    with pytest.warns(RuntimeWarning, match="experimental"):
        store = open_store(view, summed)
    given = {"features": ["stats:rate", "summed:sum"], "full_feature_names": full}
    got = ask(store, ENTITIES.with_columns(add=pl.Series([10, 20])), **given).to_polars()
    assert got["summed__sum" if full else "sum"].to_list() == [12.5, 20.5]
    with pytest.raises(RequestDataNotFoundInEntityDfException, match="add"):
        ask(store, ENTITIES, **given)


def test_every_column_of_the_source_has_another_name(
    open_store: Make, stats: Make, stats_rows: pl.DataFrame, tmp_path: Any, ask: Make
) -> None:
    renamed = {"driver_id": "drv", "event": "when", "known": "since", "trips": "n", "src_name": "label"}
    stats_rows.rename(renamed).write_delta(tmp_path / "data/mapped")
    view = stats()
    view.batch_source = FileSource(
        name="mapped", path="data/mapped", timestamp_field="event", created_timestamp_column="known",
        field_mapping={stored: {"src_name": "name"}.get(name, name) for name, stored in renamed.items()},
        file_format=DeltaFormat(),
    )  # fmt: skip
    job = ask(open_store(view), ENTITIES)
    assert job.to_polars().drop("event_timestamp").rows() == [(2, None, "c"), (1, 1, "a")]
    assert (job.reads[0].event_timestamp, job.reads[0].known_timestamp) == ("when", "since")


def test_service_of_several_views_and_an_on_demand_one(open_store: Make, stats: Make, ask: Make) -> None:
    view, other = stats(), stats(name="other")

    @on_demand_feature_view(sources=[view], schema=[Field(name="twice", dtype=Float64)], mode="python")
    def doubled(inputs: dict[str, Any]) -> dict[str, Any]:
        return {"twice": [2.0 * rate for rate in inputs["rate"]]}

    service = FeatureService(name="svc", features=[view[["trips"]], other[["rate"]], doubled])
    with pytest.warns(RuntimeWarning, match="experimental"):
        store = open_store(view, other, doubled, service)
    got = ask(store, ENTITIES, features=store.get_feature_service("svc"), full_feature_names=True).to_polars()
    assert got["doubled__twice"].to_list() == [5.0, 1.0]
    assert got.select("stats__trips", "other__rate").rows() == [(None, 2.5), (1, 0.5)]
