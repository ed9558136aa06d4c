"""The leak check on its own: what each kind of leak looks like to it, and that the join itself has none."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.point_in_time import Facts, LeakReport, PointInTimeError, ViewFrame, check_leak, join_as_of
from mlops_platform.point_in_time.leak import PERTURBATIONS, differing

T = datetime(2024, 3, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
UTC_TIME = pl.Datetime("us", "UTC")

# Of four sales the last two are known after T; one of them, a correction, was true long before.
SALES = pl.DataFrame(
    {
        "shop": ["a", "b", "a", "a"],
        "at": [T - 3 * HOUR, T - 2 * HOUR, T - 3 * HOUR, T + HOUR],
        "known": [T - 3 * HOUR, T - 2 * HOUR, T + HOUR, T + HOUR],
        "sold": [1.0, 2.0, 5.0, 7.0],
    }
)
ASKED = pl.DataFrame({"shop": ["a", "b", "c", "a"], "time": [T - HOUR, T, T, T + 2 * HOUR]})
FACTS = Facts(frame=SALES.lazy(), event_timestamp="at", known_timestamp="known", keys=("shop",))

Frames = Mapping[str, pl.LazyFrame]


def check(build: Callable[[Frames, pl.DataFrame], pl.DataFrame], facts: Facts = FACTS, **options: Any) -> LeakReport:
    return check_leak({"sales": facts}, ASKED, build, at=T, event_timestamp="time", **options)


def view(frame: pl.LazyFrame, **options: Any) -> ViewFrame:
    given = {"keys": {"shop": "shop"}, "event_timestamp": "at", "known_timestamp": "known", **options}
    return ViewFrame(name="sales", frame=frame, features={"sold": "sold"}, **given)


def joined(frames: Frames, rows: pl.DataFrame) -> pl.DataFrame:
    return join_as_of(rows.lazy(), [view(frames["sales"])], event_timestamp="time").collect()


def test_a_sound_join_does_not_leak() -> None:
    report = check(joined)
    # Rows after T are not compared; two facts are changed, two removed, and four get a version more.
    assert (report.rows, report.changed_facts, report.leaking, report.unperturbed) == (3, 8, {}, {})


def by_event_time(frames: Frames, rows: pl.DataFrame) -> pl.DataFrame:
    return join_as_of(
        rows.lazy(), [view(frames["sales"], known_time="ignore")], event_timestamp="time"
    ).collect()  # fmt: skip


def counted(frames: Frames, rows: pl.DataFrame) -> pl.DataFrame:
    """How many sales a shop ever had: no value of a late fact matters, only that there is one."""
    counts = frames["sales"].group_by("shop").len().collect()
    return rows.join(counts, on="shop", how="left", maintain_order="left")


def filled(frames: Frames, rows: pl.DataFrame) -> pl.DataFrame:
    """What sold last, and where nothing did, the next sale."""
    last = joined(frames, rows)
    following = frames["sales"].sort("at").group_by("shop", maintain_order=True).agg(pl.col("sold").last()).collect()
    return last.update(rows.join(following, on="shop", how="left", maintain_order="left").select("sold"))


def scaled(frames: Frames, rows: pl.DataFrame) -> pl.DataFrame:
    """A statistic of the whole table, the usual way to leak without a join."""
    mean = frames["sales"].select(pl.col("sold").mean()).collect().item()
    return joined(frames, rows).with_columns(pl.col("sold") - mean)


@pytest.mark.parametrize(
    ("build", "column", "rows", "found_by"),
    [
        (by_event_time, "sold", 2, {"change", "correct", "remove"}),
        (counted, "len", 2, {"correct", "remove"}),
        (filled, "sold", 2, {"change", "correct", "remove"}),
        (scaled, "sold", 2, {"change", "correct", "remove"}),
    ],
)
def test_leaks_are_found(build: Any, column: str, rows: int, found_by: set[str]) -> None:
    report = check(build)
    assert set(report.leaking) == {column} and report.leaking[column] == rows
    example = report.examples[column]
    assert example.row["shop"] in ("a", "b", "c") and example.before != example.after
    assert {kind for kind in PERTURBATIONS if check(build, perturbations=[kind]).leaking} >= found_by


def test_a_count_leaks_though_no_value_does() -> None:
    assert check(counted, perturbations=["change"]).leaking == {}


def test_facts_without_known_time_are_known_when_they_are_true() -> None:
    facts = Facts(frame=SALES.drop("known").lazy(), event_timestamp="at", keys=("shop",))

    def build(frames: Frames, rows: pl.DataFrame) -> pl.DataFrame:
        return join_as_of(
            rows.lazy(), [view(frames["sales"], known_timestamp=None)], event_timestamp="time"
        ).collect()  # fmt: skip

    assert check(build, facts).leaking == {} and check(build, facts).changed_facts == 6
    assert set(check(counted, facts).leaking) == {"len"}


@pytest.mark.parametrize("as_text", [str, lambda moment: moment.strftime("%Y-%m-%d %H:%M")])
def test_times_as_text_and_dates(as_text: Callable[[datetime], str]) -> None:
    text = SALES.with_columns(pl.Series(c, [as_text(v) for v in SALES[c]]) for c in ("at", "known"))
    assert check(joined, replace(FACTS, frame=text.lazy())).leaking == {}
    days = SALES.with_columns(pl.col("at", "known").dt.date())
    assert check(joined, replace(FACTS, frame=days.lazy())).leaking == {}


def test_a_table_with_its_own_way_is_changed_by_it_alone() -> None:
    def louder(rows: pl.LazyFrame, at: datetime) -> pl.LazyFrame:
        return rows.with_columns(pl.col("sold") * 100)

    facts = replace(FACTS, perturb=louder)
    report = check(by_event_time, facts)
    assert report.changed_facts == 2 and report.leaking == {"sold": 1} and report.examples["sold"].after == 500
    with pytest.raises(PointInTimeError, match="must keep the columns"):
        check(joined, replace(FACTS, perturb=lambda rows, at: rows.drop("sold")))


def test_what_is_built_already_is_built_again_only_where_it_differs() -> None:
    calls = []

    def build(frames: Frames, rows: pl.DataFrame) -> pl.DataFrame:
        calls.append(rows.height)
        return joined(frames, rows)

    assert check(build, built=joined({"sales": SALES.lazy()}, ASKED)).leaking == {} and len(calls) == 3
    other = joined({"sales": SALES.lazy()}, ASKED).with_columns(pl.lit(0.0).alias("sold"))
    assert check(build, built=other).leaking == {} and len(calls) == 7
    with pytest.raises(PointInTimeError, match="a built row for each"):
        check(build, built=other.head(1))


def test_a_build_that_loses_rows_is_refused() -> None:
    with pytest.raises(PointInTimeError, match="one row for each of the 3 asked"):
        check(lambda frames, rows: rows.head(1))


def test_a_fact_that_cannot_change_is_named() -> None:
    facts = replace(FACTS, frame=SALES.with_columns(nothing=None).lazy())
    assert check(joined, facts).unperturbed == {"sales": ("nothing",)}


def test_rows_differ_by_bits() -> None:
    one = pl.DataFrame({"x": [0.0, float("nan"), None, 1.0], "y": [1, 2, 3, 4]})
    other = pl.DataFrame({"x": [-0.0, float("nan"), 0.0, 1.0], "z": [1, 2, 3, 4]})
    found = {name: mask.to_list() for name, mask in differing(one, other).items()}
    assert found == {"x": [True, False, True, False], "y": [True] * 4, "z": [True] * 4}
    assert all(differing(one, one.with_columns(pl.col("y").cast(pl.Int8)))["y"])


def moments() -> st.SearchStrategy[datetime | None]:
    steps = st.builds(lambda h, us: timedelta(hours=h, microseconds=us), st.integers(-3, 3), st.integers(-1, 1))
    return st.one_of(st.none(), steps.map(lambda step: T + step), steps.map(lambda step: T + step))


KEYS = st.sampled_from(["a", "b", None])
FLOATS = st.sampled_from([0.0, -0.0, 1.5, 1e300, float("nan"), float("inf"), None])


@st.composite
def views(draw: st.DrawFn, name: str) -> ViewFrame:
    known = draw(st.booleans())
    row = {"k": KEYS, "event": moments(), "x": FLOATS, "n": st.sampled_from([0, 127, -128, None])}
    rows = draw(st.lists(st.fixed_dictionaries(row | ({"known": moments()} if known else {})), max_size=14))
    schema = {"k": pl.String, "event": UTC_TIME, "x": pl.Float64, "n": pl.Int8} | ({"known": UTC_TIME} if known else {})
    return ViewFrame(
        name=name, frame=pl.DataFrame(rows, schema=schema).lazy(), keys=draw(st.sampled_from([{"k": "k"}, {}])),
        features={"x": f"{name}_x", "n": f"{name}_n"}, event_timestamp="event",
        known_timestamp="known" if known else None,
        ttl=draw(st.sampled_from([None, timedelta(hours=2)])),
    )  # fmt: skip


@given(
    first=views("v"), second=views("w"),
    asked=st.lists(st.fixed_dictionaries({"k": KEYS, "at": moments()}), max_size=10),
)  # fmt: skip
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_join_never_answers_with_what_was_not_known(
    first: ViewFrame, second: ViewFrame, asked: list[dict[str, Any]]
) -> None:
    """Whatever the views and the rows: other, further or no facts after T leave every answer until T as it is."""
    rows = pl.DataFrame(asked, schema={"k": pl.String, "at": UTC_TIME})
    given_views = {view.name: view for view in (first, second)}
    facts = {
        name: Facts(frame=v.frame, event_timestamp="event", known_timestamp=v.known_timestamp, keys=tuple(v.keys))
        for name, v in given_views.items()
    }

    def build(frames: Frames, rows: pl.DataFrame) -> pl.DataFrame:
        chosen = [replace(view, frame=frames[name]) for name, view in given_views.items()]
        return join_as_of(rows.lazy(), chosen, event_timestamp="at", with_times=True).collect()

    assert check_leak(facts, rows, build, at=T, event_timestamp="at").leaking == {}
