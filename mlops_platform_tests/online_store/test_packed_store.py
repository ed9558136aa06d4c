"""Rows go in packed and come out as they were; the newest wins; readers see whole rows."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.errors import PlatformError, StoreError
from mlops_platform.online_store import PackedStore, PackedView, Status
from mlops_platform.online_store.keys import key_bytes
from mlops_platform_tests.online_store.frames import frames

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TIME = pl.Datetime("us", "UTC")
STATE = PackedView(name="p_state", keys={"pump": "string"}, columns={"heat": "float32", "tag": "string"}, ttl=2 * HOUR)


def rows_of(**columns: list[Any]) -> pl.DataFrame:
    """Rows with both timestamps, known when they were true unless told."""
    columns.setdefault("known_timestamp", columns["event_timestamp"])
    types = {"event_timestamp": TIME, "known_timestamp": TIME, "heat": pl.Float32(), "pump": pl.String()}
    return pl.DataFrame(columns, schema_overrides=types)


def asked(*pumps: str | None) -> tuple[pl.DataFrame, pl.Series]:
    return pl.DataFrame({"pump": pumps}, {"pump": pl.String}), pl.Series([T] * len(pumps), dtype=TIME)


@pytest.fixture
def store(tmp_path: Path) -> PackedStore:
    return PackedStore(tmp_path / "feast" / "online.db")


@given(made=frames(), seed=st.integers(0, 99))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_frame_comes_back_as_it_was(
    made: tuple[PackedView, pl.DataFrame], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    view, frame = made
    store = PackedStore(tmp_path_factory.mktemp("any") / "online.db")
    store.write(view, frame)
    chance = random.Random(seed)
    order = [chance.randrange(frame.height) for _ in range(frame.height)]
    wanted = frame[order]
    got = store.read(view, wanted.select(*view.keys), wanted["event_timestamp"])
    assert got.values.equals(wanted.select(*view.columns), null_equal=True)
    assert got.values.schema == wanted.select(*view.columns).schema
    assert got.events.equals(wanted["event_timestamp"])
    assert got.knowns.equals(wanted["known_timestamp"])
    assert set(got.status.tolist()) <= {Status.PRESENT}
    store.close()


@given(
    moments=st.lists(st.tuples(st.integers(-3, 3), st.none() | st.integers(-3, 3)), min_size=1, max_size=8),
    batches=st.integers(1, 4),
)
@settings(max_examples=60, deadline=None)
def test_newest_row_wins_whatever_the_order(
    moments: list[tuple[int, int | None]], batches: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = PackedStore(tmp_path_factory.mktemp("any") / "online.db")
    rows = rows_of(
        pump=["P"] * len(moments), heat=list(map(float, range(len(moments)))), tag=[None] * len(moments),
        event_timestamp=[T + event * HOUR for event, _ in moments],
        known_timestamp=[None if known is None else T + known * HOUR for _, known in moments],
    ).with_columns(pl.col("tag").cast(pl.String))  # fmt: skip
    size = -(-rows.height // batches)
    for start in range(0, rows.height, size):
        store.write(STATE, rows[start : start + size])
    # Of equals, the one that was written last: a feature computed anew has the timestamps that it had.
    best = max(range(len(moments)), key=lambda i: (moments[i][0], -99 if moments[i][1] is None else moments[i][1], i))
    got = store.read(STATE, *asked("P"), ["heat"])
    ahead = moments[best][0] > 0
    stale = moments[best][0] < -2
    assert got.values["heat"].to_list() == ([None] if stale else [float(best)])
    assert got.status.tolist() == [Status.STALE if stale else Status.LATER if ahead else Status.PRESENT]
    store.close()


def test_status_tells_missing_stale_and_later(store: PackedStore) -> None:
    store.write(STATE, rows_of(pump=["edge", "old", "new"], heat=[1.0, 2.0, None], tag=["a", "b", ""],
                               event_timestamp=[T - 2 * HOUR, T - 2 * HOUR - timedelta(microseconds=1), T + HOUR],
                               known_timestamp=[T, T, None]))  # fmt: skip
    got = store.read(STATE, *asked("new", "none", "edge", "old", None, "edge"))
    assert [Status(s).name for s in got.status] == ["LATER", "MISSING", "PRESENT", "STALE", "MISSING", "PRESENT"]
    assert got.values.rows() == [(None, ""), (None, None), (1.0, "a"), (None, None), (None, None), (1.0, "a")]
    assert got.events.to_list()[:4] == [T + HOUR, None, T - 2 * HOUR, T - 2 * HOUR - timedelta(microseconds=1)]
    assert got.knowns.to_list() == [None, None, T, T, None, T]


def test_a_question_about_the_past_and_one_without_a_limit(store: PackedStore) -> None:
    for view in (STATE, PackedView(name="free", keys=STATE.keys, columns=STATE.columns)):
        store.write(view, rows_of(pump=["P"], heat=[1.0], tag=["a"], event_timestamp=[T]))
        keys = pl.DataFrame({"pump": ["P"] * 3})
        at = pl.Series([T - HOUR, T + 2 * HOUR, datetime(9999, 1, 1, tzinfo=UTC)], dtype=TIME)
        said = [Status(s).name for s in store.read(view, keys, at).status]
        assert said == ["LATER", "PRESENT", "STALE" if view.ttl else "PRESENT"]


def test_no_rows_and_no_keys(store: PackedStore) -> None:
    store.write(STATE, rows_of(pump=[], heat=[], tag=pl.Series([], dtype=pl.String), event_timestamp=[]))  # type: ignore[arg-type]
    got = store.read(STATE, *asked())
    assert got.values.shape == (0, 2)
    assert got.values.schema == {"heat": pl.Float32, "tag": pl.String}
    assert store.read(STATE, *asked("P")).values.rows() == [(None, None)]
    one = PackedView(name="one", keys={}, columns={"heat": "float32"})
    store.write(one, rows_of(heat=[4.0], event_timestamp=[T]))
    got = store.read(one, pl.DataFrame({"other": [1, 2]}), pl.Series([T, T], dtype=TIME))
    assert got.values["heat"].to_list() == [4.0, 4.0]


def test_keys_are_feasts(store: PackedStore) -> None:
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    keys = {"b": "int64", "a": "string", "d": "int32", "c": "bytes", "e": "timestamp"}
    frame = pl.DataFrame({"a": ["ü", "x"], "b": [-1, 2], "c": [b"", b"1"], "d": [7, -8], "e": [T, T + HOUR]})
    proto = {"a": "string_val", "b": "int64_val", "c": "bytes_val", "d": "int32_val", "e": "unix_timestamp_val"}
    for row, found in zip(frame.rows(named=True), key_bytes(keys, frame), strict=True):
        plain = row | {"e": int(row["e"].timestamp())}
        values = [Value(**{proto[name]: plain[name]}) for name in keys]
        assert found == serialize_entity_key(EntityKey(join_keys=list(keys), entity_values=values), 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"heat": [1.5], "event_timestamp": [None]}, "1 without"),
        ({"pump": [None]}, "1 keys with a null"),
        ({"tag": [3]}, "Int64"),
        ({"pump": [3]}, "Int64"),
    ],
)
def test_rows_that_would_not_come_back_are_refused(store: PackedStore, changed: dict[str, Any], said: str) -> None:
    good = rows_of(pump=["P"], heat=[1.0], tag=["a"], event_timestamp=[T])
    kept = {"event_timestamp": TIME, "pump": pl.String} if None in next(iter(changed.values())) else {}
    bad = good.with_columns(pl.Series(name, value, dtype=kept.get(name)) for name, value in changed.items())
    if "event_timestamp" in changed:
        bad = bad.with_columns(event_timestamp=pl.lit(None, dtype=TIME))
    store.write(STATE, good)
    with pytest.raises(PlatformError, match=said):
        store.write(STATE, bad)
    with pytest.raises(PlatformError, match="no such column"):
        store.write(STATE, good.drop("tag"))
    assert store.read(STATE, *asked("P")).values.rows() == [(1.0, "a")]


def test_numbers_that_do_not_fit_a_key_are_refused() -> None:
    with pytest.raises(PlatformError, match="Int64"):
        key_bytes({"k": "int32"}, pl.DataFrame({"k": [2**31]}))
    with pytest.raises(PlatformError, match="float64"):
        PackedView(name="v", keys={"k": "float64"}, columns={})


def test_rows_of_other_columns_are_an_error_and_never_misread(store: PackedStore) -> None:
    good = rows_of(pump=["P", "Q"], heat=[1.0, 2.0], tag=["a", "b"], event_timestamp=[T, T])
    store.write(STATE, good)
    typed = good.select("pump", "tag", "event_timestamp", "known_timestamp", warm="heat", heat=pl.lit(1))
    for columns in ({"heat": "int32", "tag": "string"}, {"warm": "float32", "tag": "string"}, {"tag": "string"}):
        other = PackedView(name=STATE.name, keys=STATE.keys, columns=columns)
        with pytest.raises(PlatformError, match="written with other columns"):
            store.read(other, *asked("P"))
        with pytest.raises(PlatformError, match="as Feast's registry was last applied"):
            store.write(other, typed)
    assert store.read(STATE, *asked("P")).values.rows() == [(1.0, "a")]


def test_new_columns_are_declared_then_written_and_old_rows_stay_until_then(store: PackedStore) -> None:
    store.write(STATE, rows_of(pump=["P", "Q"], heat=[1.0, 2.0], tag=["a", "b"], event_timestamp=[T, T]))
    wider = PackedView(name=STATE.name, keys=STATE.keys, columns={**STATE.columns, "more": "bool"})
    store.declare(wider)
    store.declare(wider)
    assert store.read(STATE, *asked("P")).values.rows() == [(1.0, "a")]
    new = rows_of(pump=["P"], heat=[3.0], tag=["c"], more=[True], event_timestamp=[T - HOUR])
    store.write(wider, new)
    assert store.read(wider, *asked("P", "Q")).values.rows() == [(3.0, "c", True), (None, None, None)]
    with pytest.raises(PlatformError, match="written with other columns"):
        store.read(STATE, *asked("P"))


def test_a_row_that_is_not_whole_is_an_error(store: PackedStore) -> None:
    store.write(STATE, rows_of(pump=["P"], heat=[1.0], tag=["abc"], event_timestamp=[T]))
    for cut in (1, 4, 30):
        with sqlite3.connect(store.path) as file:
            file.execute("UPDATE rows_p_state SET row = substr(row, 1, length(row) - ?)", (cut,))
        with pytest.raises(PlatformError, match=r"of another length|other columns"):
            store.read(STATE, *asked("P"))


def test_what_is_not_online_is_an_error(store: PackedStore) -> None:
    with pytest.raises(PlatformError, match="no such file"):
        store.read(STATE, *asked("P"))
    store.declare(PackedView(name="other", keys={}, columns={}))
    with pytest.raises(PlatformError, match="no such view"):
        store.read(STATE, *asked("P"))
    store.declare(STATE)
    assert store.count(STATE) == 0
    store.drop(STATE.name)
    with pytest.raises(PlatformError, match="no such view"):
        store.read(STATE, *asked("P"))


def test_a_store_that_was_deleted_and_made_again_is_opened_anew(store: PackedStore) -> None:
    for heat in (1.0, 2.0):
        PackedStore(store.path).write(STATE, rows_of(pump=["P"], heat=[heat], tag=["a"], event_timestamp=[T]))
        assert store.read(STATE, *asked("P")).values.rows() == [(heat, "a")]
        shutil.rmtree(store.path.parent)
    with pytest.raises(PlatformError, match="no such file"):
        store.read(STATE, *asked("P"))


def test_a_reader_beside_a_writer_sees_whole_rows_of_one_write(store: PackedStore) -> None:
    """Each write gives all rows one number: a reader that saw two in an answer saw half a write."""
    pumps = [f"P{i}" for i in range(300)]

    def written(number: int) -> pl.DataFrame:
        values = {"heat": [float(number)] * 300, "tag": [str(number) * (number % 7 + 1)] * 300}
        return rows_of(pump=pumps, event_timestamp=[T] * 300, **values)

    store.write(STATE, written(0))
    seen: set[float] = set()
    torn: list[object] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            got = store.read(STATE, *asked(*pumps)).values.unique()
            number = got["heat"][0]
            seen.add(number)
            if got.rows() != [(number, str(int(number)) * (int(number) % 7 + 1))]:
                torn.append(got)
        store.close()

    readers = [threading.Thread(target=look) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 60):
        store.write(STATE, written(number))
    stop.set()
    for reader in readers:
        reader.join()
    assert not torn
    assert len(seen) > 2


_WRITES_FOR_EVER = """
import sys
from pathlib import Path
from mlops_platform_tests.online_store.test_packed_store import STATE, T, rows_of
from mlops_platform.online_store import PackedStore
n = 60_000
rows = rows_of(pump=[f"P{i}" for i in range(n)], heat=[float(sys.argv[2])] * n, tag=["x"] * n, event_timestamp=[T] * n)
store = PackedStore(Path(sys.argv[1]))
print("begin", flush=True)
while True:
    store.write(STATE, rows)
    print("written", flush=True)
"""


def test_a_write_killed_at_any_moment_leaves_whole_rows_of_a_write(store: PackedStore) -> None:
    store.write(STATE, rows_of(pump=[f"P{i}" for i in range(60_000)], heat=[0.0] * 60_000, tag=["x"] * 60_000,
                               event_timestamp=[T] * 60_000))  # fmt: skip
    keys = asked(*(f"P{i}" for i in range(0, 60_000, 7)))
    for after in (0.03, 0.15):
        child = subprocess.Popen([sys.executable, "-c", _WRITES_FOR_EVER, str(store.path), str(after)],
                                 stdout=subprocess.PIPE, text=True)  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline() == "begin\n"
        time.sleep(after)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        got = store.read(STATE, *keys).values.unique()
        assert got.height == 1
        assert round(got["heat"][0], 3) in (0.0, 0.03, 0.15)
    assert store.count(STATE) == 60_000


def test_several_processes_write_one_new_store_at_once(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from mlops_platform_tests.online_store.test_packed_store import STATE, T, rows_of\n"
        "from mlops_platform.online_store import PackedStore\n"
        "store = PackedStore(Path(sys.argv[1]))\n"
        "for i in range(20):\n"
        "    store.write(STATE, rows_of(pump=[f'{sys.argv[2]}-{i}'], heat=[1.0], tag=['a'], event_timestamp=[T]))\n"
    )
    path = tmp_path / "new" / "online.db"
    children = [subprocess.Popen([sys.executable, "-c", program, str(path), str(n)]) for n in range(3)]
    assert [child.wait() for child in children] == [0, 0, 0]
    assert PackedStore(path).count(STATE) == 60


def test_a_fork_reads_on_a_connection_of_its_own(store: PackedStore) -> None:
    store.write(STATE, rows_of(pump=["P"], heat=[1.0], tag=["a"], event_timestamp=[T]))
    before = store._file.connection()
    # What the child of a fork finds: a connection that another process opened.
    store._file._local.mine = (-1, 0, 0)
    assert store._file.connection() is not before
    assert before.execute("SELECT count(*) FROM views").fetchone() == (1,), "closed by the child"
    assert store.read(STATE, *asked("P")).values.rows() == [(1.0, "a")]


def test_rows_of_a_store_that_was_deleted_do_not_come_back(store: PackedStore) -> None:
    """A living reader keeps SQLite's log of the last writes beside the file; only the file is deleted."""
    store.write(STATE, rows_of(pump=["OLD"], heat=[1.0], tag=["a"], event_timestamp=[T]))
    store.path.unlink()
    assert store.path.with_name("online.db-wal").stat().st_size
    PackedStore(store.path).write(STATE, rows_of(pump=["NEW"], heat=[2.0], tag=["b"], event_timestamp=[T]))
    assert store.read(STATE, *asked("OLD", "NEW")).status.tolist() == [Status.MISSING, Status.PRESENT]


def test_a_store_that_is_replaced_often_leaves_no_files_open(store: PackedStore) -> None:
    opened = set()
    for _ in range(5):
        writer = PackedStore(store.path)
        writer.write(STATE, rows_of(pump=["P"], heat=[1.0], tag=["a"], event_timestamp=[T]))
        store.read(STATE, *asked("P"))
        writer.close()
        opened.add(len(os.listdir("/proc/self/fd")))
        shutil.rmtree(store.path.parent)
    assert len(opened) == 1


def test_a_store_that_cannot_be_read_says_so(store: PackedStore) -> None:
    store.path.parent.mkdir()
    store.path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match="not a database"):
        store.read(STATE, *asked("P"))
