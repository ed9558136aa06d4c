"""Our store against Feast's Ray store, on a Ray of one processor: where they agree, and both answers where not."""

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from feast.data_format import DeltaFormat

from mlops_platform_tests.point_in_time.other_stores import (
    HOUR,
    OURS,
    T,
    answers,
    at,
    facts,
    moments,
    open_store,
    pull,
    questions,
    view_of,
)

pytestmark = [
    pytest.mark.long,
    # Feast's Ray store, on the Ray of today.
    pytest.mark.filterwarnings("ignore:`use_push_based_shuffle` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`use_polars` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`use_arrow_tensor_v2` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`columns=` on `read_parquet` is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Use 'expr' instead of 'fn' when possible:UserWarning"),
]
SECOND = 1 / 3600
Both = Callable[..., tuple[Any, Any]]


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """A Ray of one processor in this process's own folder, without dashboard, tokens or statistics."""
    folder = tempfile.mkdtemp(prefix="ray")  # pytest's own are too long for Ray's sockets
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_AUTH_MODE", "disabled")
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        import ray
        from feast.infra.ray_initializer import shutdown_ray

        ray.init(
            num_cpus=1, object_store_memory=80 * 2**20, include_dashboard=False, configure_logging=False,
            log_to_driver=False, logging_level=logging.ERROR, _temp_dir=folder,
        )  # fmt: skip
        yield
        shutdown_ray()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def both(ray: None, tmp_path: Path) -> Both:
    """Asks both stores the same over one view of these facts: our answer, then Ray's."""

    def ask(rows: pl.DataFrame, asked: Any, *, config: dict[str, Any] | None = None, **view: Any) -> tuple[Any, Any]:
        given = view_of(rows, tmp_path, **view)
        stores = open_store(tmp_path, OURS, given), on_ray(tmp_path, given, **(config or {}))
        ours, theirs = (answers(store, asked.copy()) for store in stores)
        return ours, theirs

    return ask


def on_ray(root: Path, *objects: Any, **config: Any) -> Any:
    return open_store(root, "ray", *objects, storage_path=str(root / "ray"), **config)


def test_we_agree_on_facts_that_are_timely_young_and_distinct(both: Both) -> None:
    rows = facts(
        {"event": at(-3), "x": 1}, {"event": at(-1), "x": 2}, {"k": 2, "event": at(-2), "x": 3},
        {"k": 2, "event": at(-1), "x": None}, {"k": 3, "event": at(1), "x": 4}, {"k": 3, "event": None, "known": T},
    )  # fmt: skip
    asked = questions(
        {"k": 2}, {"event_timestamp": at(-1)}, {"k": 9}, {"k": 3}, {"event_timestamp": at(-3)},
        {"k": 2, "event_timestamp": at(-2 + SECOND)}, {"k": 2, "event_timestamp": at(-2 - SECOND)},
    )  # fmt: skip
    ours, theirs = both(rows, asked)
    assert ours == theirs == {0: None, 1: 2, 2: None, 3: None, 4: 1, 5: 3, 6: None}


def test_known_time_ttl_and_ties_count_for_us_and_nothing_for_ray(both: Both) -> None:
    rows = facts(
        {"event": at(-2), "x": 1}, {"event": at(-1), "known": at(1), "x": 2},
        {"k": 2, "event": at(-9), "x": 3},
        {"k": 3, "event": at(-1), "known": T, "x": 4}, {"k": 3, "event": at(-1), "known": at(-1), "x": 5},
    )  # fmt: skip
    ours, theirs = both(rows, questions({}, {"k": 2}, {"k": 3}), ttl=2 * HOUR)
    assert ours == {0: 1, 1: None, 2: 4}
    assert theirs == {0: 2, 1: 3, 2: 5}  # a late fact, one of nine hours under a ttl of two, the last of the file


def test_times_are_microseconds_for_us_and_whole_seconds_for_ray(both: Both) -> None:
    """Ray joins a fact of 0.9 s to a question of 0.5 s, which is before it."""
    rows = facts({"event": at(0.9 * SECOND), "x": 1}, {"event": at(-1), "x": 0})
    assert both(rows, moments(0.5 * SECOND)) == ({0: 0}, {0: 1})


def test_entity_rows_of_one_key_and_time_are_kept_by_us_and_dropped_by_ray(both: Both) -> None:
    assert both(facts({"event": T, "x": 1}), questions({}, {}, {"event_timestamp": at(1)})) == (
        {0: 1, 1: 1, 2: 1},
        {1: 1, 2: 1},
    )


def test_entity_rows_without_key_or_time_are_kept_by_us_and_dropped_by_ray(both: Both) -> None:
    asked = questions({}, {"k": None}, {"event_timestamp": None})
    assert both(facts({"event": T, "x": 1}), asked) == ({0: 1, 1: None, 2: None}, {0: 1})


def test_without_any_candidate_rows_are_unmatched_for_us_and_dropped_by_ray(ray: None, tmp_path: Path) -> None:
    view = view_of(facts({"k": None, "event": T, "x": 1}), tmp_path)
    assert answers(open_store(tmp_path, OURS, view), moments(0, 1)) == {0: None, 1: None}
    assert on_ray(tmp_path, view).get_historical_features(moments(0, 1), ["v:x"]).to_df().empty


def test_a_large_view_is_joined_by_us_and_comes_back_empty_from_ray(both: Both) -> None:
    """Beyond `broadcast_join_threshold_mb`, 100 by default, Ray joins batches that hold only one of the two sides."""
    rows = facts({"event": at(-5), "x": 1}, {"event": T, "x": 2})
    small = {"broadcast_join_threshold_mb": -1}  # 0 counts as none given
    assert both(rows, moments(-3, 0.5), config=small) == ({0: 1, 1: 2}, {0: None, 1: None})


def test_columns_and_their_units_are_as_stored_for_us_and_not_for_ray(ray: None, tmp_path: Path) -> None:
    view = view_of(facts({"event": T, "x": 1}), tmp_path)
    ours, theirs = (
        store.get_historical_features(moments(0), ["v:x"]).to_arrow().schema
        for store in (open_store(tmp_path, OURS, view), on_ray(tmp_path, view))
    )
    assert ours.names == ["k", "event_timestamp", "row", "x"]
    assert sorted(theirs.names) == ["event", "event_timestamp", "k", "row", "x"]
    assert str(ours.field("event_timestamp").type) == "timestamp[us, tz=UTC]"
    assert str(theirs.field("event_timestamp").type) == "timestamp[ns, tz=UTC]"


def test_a_delta_table_is_read_by_us_at_its_version_and_by_ray_as_all_its_files(both: Both, tmp_path: Path) -> None:
    old, new = facts({"event": at(-1), "x": 1}, {"event": T, "x": 2}), facts({"event": at(-1), "x": 3})
    for rows in (old, new):
        rows.write_delta(tmp_path / "delta", mode="overwrite")
    assert both(new, moments(0), path=str(tmp_path / "delta"), file_format=DeltaFormat()) == ({0: 3}, {0: 2})


def test_the_created_filter_is_refused_by_ray(ray: None, tmp_path: Path) -> None:
    store = on_ray(tmp_path, view_of(facts({"event": T, "x": 1}), tmp_path))
    with pytest.raises(NotImplementedError, match="filter_by_created_timestamp is not supported by RayOfflineStore"):
        store.get_historical_features(moments(0), ["v:x"], filter_by_created_timestamp=True)


def test_pull_latest(ray: None, tmp_path: Path) -> None:
    """By created we agree; of null keys Ray makes one key, and of integers beside them floats."""
    rows = facts(
        {"event": T, "x": 1}, {"event": T, "known": at(-1), "x": 2}, {"event": at(-1), "x": 3},
        {"k": None, "event": T, "x": 4}, {"k": None, "event": at(-1), "x": 5},
    )  # fmt: skip
    view = view_of(rows, tmp_path)
    ours, theirs = (pull(store, view, "latest") for store in (open_store(tmp_path, OURS, view), on_ray(tmp_path, view)))
    assert ours.select("k", "x").rows() == [(1, 1)]
    assert theirs.select("k", "x").sort("x").rows() == [(1.0, 1), (None, 4)]
    assert (ours.schema["k"], theirs.schema["k"]) == (pl.Int64, pl.Float64)
