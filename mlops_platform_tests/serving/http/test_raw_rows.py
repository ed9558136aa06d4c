"""Questions by raw rows through the flights project's own function: an example for each row, at its row's place."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest

from mlops_platform.projects.flights.project import PROJECT
from mlops_platform.serving.http.asking import Asked
from mlops_platform.serving.http.columns import row_columns
from mlops_platform.serving.http.decoding import rows_frame
from mlops_platform.serving.http.errors import Refused
from mlops_platform.serving.http.logs import Lines
from mlops_platform.spec import Model, Project
from mlops_platform_tests.lineage.pumps.project import MODEL as PUMPS_MODEL
from mlops_platform_tests.lineage.pumps.project import PROJECT as PUMPS

FLIGHT: dict[str, Any] = {
    "year": 2013, "month": 8, "day": 31, "sched_dep_time": 2001, "sched_arr_time": 2254, "carrier": "B6",
    "flight": 1083, "tailnum": "N537JB", "origin": "JFK", "dest": "MCO", "distance": 944, "hour": 20, "minute": 1,
    "time_hour": "2013-09-01T00:00:00Z",
}  # fmt: skip
HERE = "mlops_platform_tests.serving.http.test_raw_rows"


def asked(project: Project = PROJECT, model: Model = PROJECT.models[0], rows: Any = ()) -> pl.DataFrame:
    """The examples of a question by these rows."""
    live: Any = None
    frame = rows_frame(row_columns(project, model), list(rows), "rows", 10_000)
    return Asked(project=project, model=model, live=live).question("rows", frame).examples


def flights(count: int) -> list[dict[str, Any]]:
    """Different flights, the later ones leaving earlier."""
    return [{**FLIGHT, "flight": number, "minute": (7 * (count - number)) % 60} for number in range(count)]


def changed(function: str) -> tuple[Project, Model]:
    """The pumps with another function of what is to be predicted, one of this file."""
    model = replace(PUMPS_MODEL, examples=replace(PUMPS_MODEL.examples, upcoming=f"{HERE}:{function}"))
    return replace(PUMPS, models=(model,)), model


def readings(count: int) -> list[dict[str, Any]]:
    """Rows of the pumps' plan."""
    return [{"pump": f"P{number}", "at": "2024-05-09T06:00:00Z"} for number in range(count)]


def planned(rows: pl.LazyFrame) -> pl.LazyFrame:
    """As the pumps' own."""
    return rows.select("pump", inspection_id=pl.col("pump"), event_timestamp="at", weekday=pl.lit(4, dtype=pl.Int64))


def backwards(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The same, last row first."""
    return planned(rows).reverse()


def without_p2(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The same without one pump."""
    return planned(rows.filter(pl.col("pump") != "P2"))


def twice(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Two examples of each row."""
    return pl.concat([planned(rows), planned(rows).with_columns(inspection_id=pl.col("pump") + "b")])


def of_the_first(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Ids that depend on what other rows come."""
    return planned(rows).with_columns(inspection_id=pl.int_range(pl.len()).cast(pl.String))


def misspelt(rows: pl.LazyFrame) -> pl.LazyFrame:
    """A mistake of the project's."""
    return planned(rows).with_columns(weekday=pl.col("weekdya"))


def of_digits(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Fails where a pump is no number."""
    return planned(rows).with_columns(weekday=pl.col("pump").str.slice(1).str.to_integer())


def untyped(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Another mistake of the project's."""
    return planned(rows).with_columns(weekday="4" + 4)  # type: ignore[operator]


def unfinished(rows: pl.LazyFrame) -> None:
    """Gives nothing."""
    planned(rows)


def of_local_time(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Times without a zone."""
    return planned(rows).with_columns(pl.col("event_timestamp").dt.replace_time_zone(None))


def of_lists(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Ids that are no ids."""
    return planned(rows).with_columns(inspection_id=pl.concat_list("pump"))


def of_a_table(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Looks pumps up in a table that does not have them all."""
    known = {f"P{number}": number for number in range(4)}
    return planned(rows).with_columns(
        weekday=pl.Series([known[pump] for pump in rows.collect()["pump"]], dtype=pl.Int64)
    )


def of_an_assertion(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Takes values for granted."""
    assert all(len(pump) < 5 for pump in rows.collect()["pump"]), rows.collect()
    return planned(rows)


def of_a_panic(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Meets what polars itself does not expect."""
    if rows.collect()["pump"].str.len_chars().max() == 9:
        raise pl.exceptions.PanicException("PX-SECRET")
    return planned(rows)


def test_a_flight_becomes_the_example_that_batch_makes_of_it() -> None:
    (example,) = asked(rows=[FLIGHT]).to_dicts()
    assert example["flight_id"] == "2013-09-01T00:01Z-B6-1083-JFK"
    assert example["event_timestamp"] == datetime(2013, 8, 31, 22, 1, tzinfo=UTC)
    assert (example["departure_minute"], example["distance"], example["tailnum"]) == (1201, 944, "N537JB")


@pytest.mark.parametrize("count", [1, 2, 3, 8, 37])
def test_each_flight_keeps_its_place_though_the_function_sorts(count: int) -> None:
    rows = flights(count)
    random.Random(count).shuffle(rows)
    found = asked(rows=rows)
    assert found["flight_number"].to_list() == [f"B6-{row['flight']}" for row in rows]
    alone = pl.concat([asked(rows=[row]) for row in rows[:3]])
    assert found.head(3).equals(alone)


def test_two_versions_of_one_flight_are_refused_by_their_places() -> None:
    rows = [*flights(3), {**flights(3)[1], "tailnum": None}]
    with pytest.raises(Refused, match=r"(?s)rows\[3\].*rows\[1\]") as refused:
        asked(rows=rows)
    assert refused.value.status == 422


def test_a_date_that_is_none_is_the_callers_mistake() -> None:
    with pytest.raises(Refused) as refused:
        asked(rows=[FLIGHT, {**FLIGHT, "flight": 2, "month": 2, "day": 31}])
    assert refused.value.status == 422


def test_rows_of_any_function_keep_their_places() -> None:
    assert asked(*changed("backwards"), readings(5))["pump"].to_list() == ["P0", "P1", "P2", "P3", "P4"]


@pytest.mark.parametrize(
    ("function", "words"),
    [("without_p2", r"rows\[2\]"), ("twice", "10 of 5"), ("of_the_first", "others where fewer rows come")],
)
def test_a_function_that_makes_other_than_one_example_of_each_row_is_refused(function: str, words: str) -> None:
    with pytest.raises(Refused, match=words) as refused:
        asked(*changed(function), readings(5))
    assert refused.value.status == 422


@pytest.mark.parametrize("function", ["misspelt", "untyped", "unfinished", "of_local_time", "of_lists"])
def test_a_function_that_never_works_is_told_as_such_and_not_to_be_asked_again(function: str) -> None:
    with pytest.raises(Refused) as failed:
        asked(*changed(function), readings(2))
    assert (failed.value.status, failed.value.headers) == (501, {})
    assert f":{function}" in failed.value.required and "pump_repair" in failed.value.required
    assert "entities" in failed.value.remedy


@pytest.mark.parametrize("function", ["of_digits", "of_a_table", "of_an_assertion", "of_a_panic"])
def test_whatever_a_function_raises_at_a_callers_value_is_a_refusal_without_that_value(function: str) -> None:
    assert asked(*changed(function), readings(2))["pump"].to_list() == ["P0", "P1"]
    with pytest.raises(Refused, match="makes questions for pump_repair") as refused:
        asked(*changed(function), [{"pump": "PX-SECRET", "at": "2024-05-09T06:00:00Z"}])
    assert refused.value.status == 422
    assert "SECRET" not in str(refused.value)


def test_a_function_that_fails_is_no_failure_of_the_service(
    serving: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    body = {"rows": [{"pump": "PX-SECRET", "at": "2024-05-09T06:00:00Z"}]}
    for function, status in (("of_a_table", 422), ("untyped", 501)):
        project, model = changed(function)
        client = serving(project=project).client
        answer = client.post(f"/v1/models/{model.name}/predict", json=body)
        assert answer.status_code == status and "retry-after" not in answer.headers
        assert sorted(answer.json()) == ["found", "remedy", "required"]
        assert f":{function}" in answer.text and model.name in answer.text and "SECRET" not in answer.text
    lines = [Lines().format(record) for record in caplog.records]
    assert any("of_a_table" in line and "KeyError" in line and "test_raw_rows.py" in line for line in lines)
    assert not any("SECRET" in line for line in lines)
