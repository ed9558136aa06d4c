"""What Feast's Spark store would answer, by its own SQL, run on duckdb instead of Spark: what differs from ours.

No Spark is run here: that a fact is asked for, joined or multiplied is said by the query, not by the engine under it.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import polars as pl
import pytest

from mlops_platform.point_in_time import ViewFrame, join_as_of
from mlops_platform_tests.point_in_time.other_stores import HOUR, T, at

SPARK = "feast.infra.offline_stores.contrib.spark_offline_store"
LATE = [(1, -2, -2, 1), (1, -1, 1, 2)]


def query() -> str:
    """The text of Feast's query; importing its module would need pyspark."""
    found = importlib.util.find_spec(SPARK)
    assert found is not None and found.submodule_search_locations
    source = Path(found.submodule_search_locations[0], "spark.py").read_text()
    text = re.search(r'MULTIPLE_FEATURE_VIEW_POINT_IN_TIME_JOIN = """(.*?)"""', source, flags=re.DOTALL)
    assert text is not None
    return text[1]


def frame(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    """Facts from (key, event, known, x), times in hours after T; a key may be a pair."""
    times = [{"event": at(event), "known": None if known is None else at(known), "x": x} for _, event, known, x in rows]
    schema: dict[str, Any] = {"event": pl.Datetime("us", "UTC"), "known": pl.Datetime("us", "UTC"), "x": pl.Int64}
    return pl.concat([keys([row[0] for row in rows]), pl.DataFrame(times, schema=schema)], how="horizontal")


def keys(values: list[Any]) -> pl.DataFrame:
    pairs = [value if isinstance(value, tuple) else (value, "") for value in values]
    return pl.DataFrame({"a": [str(a) for a, _ in pairs], "b": [b for _, b in pairs]})


def both(rows: list[tuple[Any, ...]], asked: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
    """What we answer to each key at T, and what the query does, in the order of the questions."""
    facts, ttl = frame(rows), options.pop("ttl", 0)
    entities = keys(asked).with_columns(pl.lit(T).alias("moment")).with_row_index("row")
    view = ViewFrame(
        name="v", frame=facts.lazy(), keys={"a": "a", "b": "b"}, features={"x": "x"}, event_timestamp="event",
        known_timestamp="known", ttl=ttl * HOUR,
    )  # fmt: skip
    ours = join_as_of(entities.lazy(), [view], event_timestamp="moment").collect()["x"].to_list()
    return ours, [x for _, x in sorted(on_duckdb(facts, entities, ttl * 3600, **options), key=str)]


def on_duckdb(facts: pl.DataFrame, entities: pl.DataFrame, ttl: int, **options: Any) -> list[tuple[int, Any]]:
    view = {
        "name": "v", "entities": ["a", "b"], "entity_selections": ["a as a", "b as b"], "features": ["x"], "ttl": ttl,
        "timestamp_field": "event", "created_timestamp_column": "known", "field_mapping": {}, "table_subquery": "facts",
        "max_event_timestamp": at(0).isoformat(), "min_event_timestamp": at(-ttl / 3600).isoformat(),
        "date_partition_column": "",
    }  # fmt: skip
    text = jinja2.Template(query()).render(
        featureviews=[view], left_table_query_string="asked", entity_df_event_timestamp_col="moment",
        full_feature_names=False, final_output_feature_names=["row", "x"], **options,
    )  # fmt: skip
    with duckdb.connect() as connection:
        for name, rows in (("facts", facts), ("asked", entities)):
            connection.register("given", rows.to_arrow())
            connection.execute(f"CREATE TABLE {name} AS SELECT * FROM given")
        *views, answer = text.split("---EOS---")
        for statement in views:
            connection.execute(statement)
        return connection.execute(answer).fetchall()


@pytest.mark.parametrize(
    ("rows", "asked", "options", "expected"),
    [
        ([(1, -1, -1, 2), (1, -2, -2, 1), (1, 1, 1, 3)], [1, 1, 2], {}, [2, 2, None]),
        ([(1, -2, -2, 1)], [1], {"ttl": 2}, [1]),
        ([(1, -2, -2, 1)], [1], {"ttl": 1}, [None]),
        ([(1, -1, 0, 2), (1, -1, -1, 1)], [1], {}, [2]),
        (LATE, [1], {"filter_by_created_timestamp": True}, [1]),
    ],
    ids=["newest, unmatched, twice", "as old as the ttl", "older", "tie", "late, filtered"],
)
def test_we_agree(rows: list[Any], asked: list[Any], options: dict[str, Any], expected: list[Any]) -> None:
    assert both(rows, asked, **options) == (expected, expected)


def test_a_late_fact_is_invisible_to_us_and_joined_by_the_query() -> None:
    assert both(LATE, [1]) == ([1], [2])


def test_a_fact_without_created_is_visible_to_us_and_never_joined_by_the_query() -> None:
    """Filtered or not: the query joins on created, and null equals nothing."""
    assert both([(1, -1, None, 1)], [1]) == ([1], [None])
    assert both([(1, -1, None, 2), (1, -2, -2, 1)], [1]) == ([2], [1])


def test_of_rows_that_tie_in_full_we_give_the_last_and_the_query_all() -> None:
    assert both([(1, -1, -1, 1), (1, -1, -1, 2)], [1]) == ([2], [1, 2])


def test_keys_that_read_alike_in_a_row_are_two_to_us_and_one_to_the_query() -> None:
    rows = [(("1", "11"), -1, -1, 1), (("11", "1"), -2, -2, 2)]
    assert both(rows, [("1", "11"), ("11", "1")]) == ([1, 2], [1, 1])
