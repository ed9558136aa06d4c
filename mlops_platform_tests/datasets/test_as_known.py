"""A late correction leaves a part the label that was known in time; what never was known in time is purged."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_platform.datasets.as_known import labels_in_time
from mlops_platform.datasets.split import Boundaries, divide
from mlops_platform.errors import PlatformError

_START = datetime(2024, 1, 1, tzinfo=UTC)
_SCHEMA = {"id": pl.String, "event_timestamp": pl.Datetime("us", "UTC"), "known_timestamp": pl.Datetime("us", "UTC"),
           "label": pl.Int8}  # fmt: skip


def day(number: int) -> datetime:
    return _START + timedelta(days=number)


AT = Boundaries(train_end=day(10), validation_start=day(11), validation_end=day(20), holdout_start=day(21),
                holdout_end=day(30))  # fmt: skip


def newest(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The newest version of each row."""
    found = rows.sort("known_timestamp").unique("id", keep="last", maintain_order=True)
    return found.rename({"known_timestamp": "label_known_timestamp"}).with_columns(unlabelled=pl.lit(None))


def raw(rows: list[tuple[str, int, int, int | None]]) -> pl.LazyFrame:
    """Versions: id, day of the event, day that it was known, label."""
    told = [(name, day(event), day(known), label) for name, event, known, label in rows]
    return pl.LazyFrame(told, schema=_SCHEMA, orient="row")


def in_time(rows: pl.LazyFrame) -> tuple[pl.DataFrame, int]:
    return labels_in_time(newest, rows, newest(rows).collect(), AT, "id")


versions = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 60), st.one_of(st.none(), st.integers(0, 1))), max_size=25
)


@given(drawn=versions)
def test_the_label_of_each_part_is_the_last_one_known_in_time(drawn: list) -> None:
    # Several days of one id would be several events: the day of an example follows from its id.
    rows = [(str(n), n * 3, n * 3 + wait + place / 100, label) for place, (n, wait, label) in enumerate(drawn)]
    found, earlier = in_time(raw(rows))
    parts_wanted = {}
    for name in {row[0] for row in rows}:
        mine = sorted((row for row in rows if row[0] == name), key=lambda row: row[2])
        event, limit = mine[0][1], 11 if mine[0][1] < 10 else 21 if 11 <= mine[0][1] < 20 else 10_000
        known = [row for row in mine if row[2] < limit]
        use = known[-1] if known and known[-1][3] is not None else mine[-1]
        parts_wanted[name] = (day(event), use[3], use is not mine[-1])
    told = {name: (event, label) for name, event, label in found.select("id", "event_timestamp", "label").rows()}
    assert told == {name: (event, label) for name, (event, label, _) in parts_wanted.items()}
    assert earlier == sum(was for *_, was in parts_wanted.values()) and found["event_timestamp"].is_sorted()


def test_a_label_withdrawn_too_late_is_learned_from_and_one_withdrawn_in_time_is_not() -> None:
    withdrawn = [("late", 1, 12, None), ("timely", 2, 9, None), ("later", 15, 40, None), ("judged", 25, 40, None)]
    found, earlier = in_time(raw([(name, event, event + 1, 1) for name, event, *_ in withdrawn] + withdrawn))
    told = {"late": 1, "timely": None, "later": 1, "judged": None}
    assert earlier == 2 and dict(found.select("id", "label").rows()) == told


def test_without_corrections_nothing_changes_and_what_comes_late_is_purged() -> None:
    rows = raw([("a", 1, 2, 1), ("b", 9, 12, 0), ("c", 15, 16, 1), ("d", 25, 40, 0)])
    found, earlier = in_time(rows)
    assert earlier == 0 and found["label"].to_list() == [1, 0, 1, 0]
    parts, left = divide(found, AT)
    assert left == {"purged": 1, "embargoed": 0} and parts["train"]["id"].to_list() == ["a"]


def test_two_examples_of_one_id_are_refused() -> None:
    rows = raw([("a", 1, 2, 1), ("a", 1, 9, 0)])
    twice = rows.rename({"known_timestamp": "label_known_timestamp"}).collect()
    with pytest.raises(PlatformError, match="one example for each id") as refused:
        labels_in_time(newest, rows, twice, AT, "id")
    assert "'a'" in refused.value.found
