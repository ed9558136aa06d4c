"""What landed is in the raw table exactly once, or in quarantine with its reason; nothing is lost."""

import os
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.errors import IngestError
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.sources.ingest import LedgerEntry, ingest, ledger
from mlops_platform.sources.landing import found_files, require_files
from mlops_platform.spec import Column, RawTable

_AT = datetime(2024, 3, 1, 6, tzinfo=UTC)
_NOW = datetime(2025, 1, 1, tzinfo=UTC)
_TABLE = RawTable(
    name="trips",
    columns=(
        Column(name="car", dtype="string", nullable=False),
        Column(name="at", dtype="timestamp", nullable=False),
        Column(name="distance", dtype="int64", minimum=0),
    ),
    key=("car", "at"),
    times="mlops_platform_tests.lineage.pumps.functions:reading_times",
)


class Place:
    """A landing folder and the two tables behind it."""

    def __init__(self, root: Path) -> None:
        self.landing = root / "landing"
        self.landing.mkdir(parents=True)
        self.raw, self.quarantine = DeltaDoor(root / "raw"), DeltaDoor(root / "quarantine")

    def land(self, name: str, frame: pl.DataFrame) -> Path:
        frame.write_parquet(self.landing / name)
        return self.landing / name

    def ingest(self) -> list[LedgerEntry]:
        times = lambda rows: rows.with_columns(  # noqa: E731
            event_timestamp=pl.col("at"), known_timestamp=pl.col("at") + timedelta(minutes=10)
        )
        done = ingest(_TABLE, times, found_files(self.landing), self.raw, self.quarantine, _NOW)
        self.require_nothing_lost()
        return done

    def rows(self) -> pl.DataFrame:
        return self.raw.scan().sort("car", "at", "known_timestamp").collect()

    def refused(self) -> pl.DataFrame:
        return self.quarantine.scan().sort("file", "row").collect()

    def require_nothing_lost(self) -> None:
        entries = ledger(self.raw)
        assert all(e.rows is None or e.rows == e.kept + e.quarantined for e in entries)
        assert self.rows().height == sum(e.kept for e in entries)
        assert self.refused().height == sum(e.quarantined for e in entries)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def trips(count: int = 3, *, first: int = 0, distance: int = 5) -> pl.DataFrame:
    """Good rows."""
    return pl.DataFrame(
        {"car": [f"c{n}" for n in range(first, first + count)], "at": [_AT] * count, "distance": [distance] * count},
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


def test_good_rows_arrive_with_both_times_and_their_origin(place: Place) -> None:
    file = place.land("a.parquet", trips())
    (entry,) = place.ingest()
    rows = place.rows()
    assert rows.select("car", "distance", "_row").rows() == [("c0", 5, 0), ("c1", 5, 1), ("c2", 5, 2)]
    assert set(rows["_file"]) == {entry.id} and entry.name == file.name
    assert (rows["known_timestamp"] - rows["event_timestamp"]).unique().to_list() == [timedelta(minutes=10)]


def test_the_same_content_is_ingested_once_whatever_its_name(place: Place) -> None:
    place.land("a.parquet", trips())
    place.ingest()
    version = place.raw.version
    shutil.copy(place.landing / "a.parquet", place.landing / "again.parquet")
    assert place.ingest() == [] and place.raw.version == version


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda p: p.write_bytes(p.read_bytes()[:-200]), "not a readable Parquet file"),
        (lambda p: p.write_bytes(b""), "not a readable Parquet file"),
        (lambda p: p.write_text("car,at\nc1,now\n"), "not a readable Parquet file"),
        (lambda p: trips().drop("distance").write_parquet(p), "missing columns distance"),
        (lambda p: trips().with_columns(extra=1).write_parquet(p), "unknown columns extra"),
        (lambda p: trips().with_columns(pl.col("at").dt.replace_time_zone(None)).write_parquet(p), "no time zone"),
        (
            lambda p: trips().with_columns(distance=pl.lit(True)).write_parquet(p),
            "distance must be int64, found Boolean",
        ),
        (lambda p: trips().with_columns(at=pl.lit(7)).write_parquet(p), "at must be timestamp"),
    ],
)
def test_an_unfit_file_is_quarantined_whole(place: Place, spoil, reason: str) -> None:
    place.land("good.parquet", trips())
    bad = place.land("bad.parquet", trips(first=10))
    spoil(bad)
    place.ingest()
    refused = place.refused()
    assert place.rows().height == 3
    assert refused["file"].to_list() == ["bad.parquet"] and refused["row"].to_list() == [None]
    assert reason in refused["reason"][0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (pl.lit(-4).alias("distance"), "distance is below its minimum"),
        (pl.lit(None, dtype=pl.String).alias("car"), "car is null"),
        (pl.lit(None, dtype=pl.Datetime("us", "UTC")).alias("at"), "at is null"),
        (pl.lit(datetime(2031, 1, 1, tzinfo=UTC)).alias("at"), "is known only in the future"),
        (pl.lit("far").alias("distance"), "distance is text, not int64"),
        (pl.lit("c0").alias("car"), "repeats the key of row 0 of this file"),
    ],
)
def test_a_bad_row_is_quarantined_with_reason_file_and_row(place: Place, change: pl.Expr, reason: str) -> None:
    frame = trips()
    if "distance" in change.meta.output_name() and "text" in reason:
        frame = frame.with_columns(pl.col("distance").cast(pl.String))
    spoiled = frame.with_row_index("n").with_columns(
        pl.when(pl.col("n") == 1)
        .then(change)
        .otherwise(pl.col(change.meta.output_name()))
        .alias(change.meta.output_name())
    )
    place.land("mixed.parquet", spoiled.drop("n"))
    place.ingest()
    refused = place.refused()
    assert refused.select("file", "row").rows() == [("mixed.parquet", 1)]
    assert reason in refused["reason"][0]
    assert place.rows()["car"].to_list() == ["c0", "c2"]


def test_a_correction_is_a_new_version_known_from_its_delivery(place: Place) -> None:
    place.land("a.parquet", trips())
    place.ingest()
    place.land("b.parquet", trips(1, distance=9))
    place.ingest()
    versions = place.rows().filter(pl.col("car") == "c0")
    assert versions["distance"].to_list() == [5, 9]
    assert versions["known_timestamp"].to_list() == [_AT + timedelta(minutes=10), _NOW]


def test_a_repeated_row_is_told_from_a_correction(place: Place) -> None:
    place.land("a.parquet", trips())
    place.ingest()
    place.land("b.parquet", pl.concat([trips(2), trips(1, first=7)]))
    (entry,) = place.ingest()
    assert (entry.kept, entry.quarantined) == (1, 2)
    assert set(place.refused()["reason"]) == {"repeats a row that is already ingested"}


def test_unfinished_and_hidden_files_wait(place: Place) -> None:
    place.land("a.parquet", trips())
    for name in (".b.parquet", "c.parquet.tmp", "d.parquet.part", "_e.parquet"):
        place.land(name, trips(first=50))
    assert [entry.name for entry in place.ingest()] == ["a.parquet"]


def test_an_empty_landing_says_what_to_do(place: Place) -> None:
    with pytest.raises(IngestError, match="mlops land"):
        require_files(place.landing, found_files(place.landing))


def test_a_file_of_no_rows_is_done_and_nothing_more(place: Place) -> None:
    place.land("empty.parquet", trips(0))
    (entry,) = place.ingest()
    assert (entry.rows, entry.kept) == (0, 0) and place.ingest() == []


def test_a_kill_between_the_two_commits_loses_and_doubles_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.land("a.parquet", pl.concat([trips(), trips(1)]))
    append = DeltaDoor.append

    def die_at_raw(self: DeltaDoor, *args, **kwargs):
        if self.path.name == "raw":
            raise KeyboardInterrupt
        return append(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(DeltaDoor, "append", die_at_raw)
        with pytest.raises(KeyboardInterrupt):
            place.ingest()
    place.ingest()
    assert (place.rows().height, place.refused().height) == (3, 1)


@pytest.mark.parametrize("seed", range(40))
def test_flipped_bits_end_in_quarantine_or_in_the_table(place: Place, seed: int) -> None:
    file = place.land("flipped.parquet", trips(50))
    data, chance = bytearray(file.read_bytes()), random.Random(seed)
    for _ in range(4):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    file.write_bytes(bytes(data))
    place.ingest()
    assert place.rows().height + place.refused().height >= 1


def test_two_corrections_at_once_keep_the_order_of_delivery(place: Place) -> None:
    place.land("a.parquet", trips(1))
    place.ingest()
    for second, (name, distance) in enumerate([("z-first.parquet", 7), ("a-second.parquet", 8)]):
        os.utime(place.land(name, trips(1, distance=distance)), (1_700_000_000 + second,) * 2)
    place.ingest()
    versions = place.rows()
    assert versions["distance"].to_list() == [5, 7, 8] and versions["known_timestamp"].is_unique().all()


def test_a_retry_after_a_kill_judges_anew(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.land("b.parquet", pl.concat([trips(), trips(1)]))
    with monkeypatch.context() as patch:
        patch.setattr(DeltaDoor, "append", _die)
        with pytest.raises(KeyboardInterrupt):
            place.ingest()
    os.utime(place.land("a.parquet", trips(2)), (1, 1))
    place.ingest()
    assert (place.rows().height, place.refused().height) == (3, 3)


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_the_table_digest_is_of_rows_not_of_files(tmp_path: Path) -> None:
    one, two = Place(tmp_path / "one"), Place(tmp_path / "two")
    one.land("all.parquet", trips(6))
    one.ingest()
    for part in (3, 0):
        two.land(f"part{part}.parquet", trips(3, first=part))
        two.ingest()
    assert one.raw.digests() == two.raw.digests()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(
        st.lists(
            st.tuples(st.sampled_from(["c0", "c1", None]), st.integers(0, 2), st.integers(-1, 3)),
            min_size=0,
            max_size=6,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_no_row_is_ever_lost(tmp_path_factory: pytest.TempPathFactory, files: list) -> None:
    place = Place(tmp_path_factory.mktemp("any"))
    for number, rows in enumerate(files):
        frame = pl.DataFrame(
            [(car, _AT + timedelta(hours=hour), distance) for car, hour, distance in rows],
            schema={"car": pl.String, "at": pl.Datetime("us", "UTC"), "distance": pl.Int64},
            orient="row",
        )
        place.land(f"f{number}.parquet", frame)
        place.ingest()
    distinct = {f.digest for f in found_files(place.landing)}
    assert {e.digest for e in ledger(place.raw)} == distinct
    known = place.rows().group_by("car", "at").agg(pl.col("known_timestamp").n_unique() <= pl.len())
    assert known["known_timestamp"].all()
