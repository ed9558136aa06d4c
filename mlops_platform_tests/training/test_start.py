"""Which checkpoint a training begins from: the champion where something changed, else the start it had."""

from collections.abc import Mapping
from typing import Any

import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import Manifest, Produced, Recipe
from mlops_platform.resources.history import FOUND, PROMOTE, REHEARSAL, ROLLBACK, Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.training.start import ROLE, known_until, start_input

STATION = "shop/sells/checkpoint"
JUNE, JULY, AUGUST = (f"2024-{month:02}-01T00:00:00+00:00" for month in (6, 7, 8))


@pytest.fixture
def refs(home: Home) -> Refs:
    return Refs(home)


@pytest.fixture
def history(home: Home) -> PromotionHistory:
    return PromotionHistory(home, "shop", "sells")


def recipe(dataset: Manifest, start: str | None = None, **config: int) -> Recipe:
    inputs = {"dataset": dataset.digest, **({ROLE: start} if start else {})}
    return Recipe(station=STATION, functions=(), code="", config=config, software={}, inputs=inputs)


def commit(refs: Refs, made_from: Recipe, **content: Any) -> Manifest:
    manifest = Manifest(
        kind=made_from.station.rpartition("/")[2], station=made_from.station, environment="dev", files={}, table=None,
        content=content, recipe=made_from,
        produced=Produced(at="", seconds=0, run_id="", correlation_id="", actor="test"),
    )  # fmt: skip
    sealed = refs.store.commit(refs.store.stage(), manifest)
    refs.write(sealed, made_from.key)
    return sealed


def dataset(refs: Refs, until: str, begins: str) -> Manifest:
    made_from = Recipe(station="shop/sells/dataset", functions=(), code="", config={"until": until}, software={},
                       inputs={})  # fmt: skip
    return commit(refs, made_from, trained_until=until, holdout_start=begins)


def live(history: PromotionHistory, checkpoint: str | None, action: str = PROMOTE) -> None:
    version = checkpoint and f"{len(history.moves()) + 1}"
    history.append(
        Move(at="2024-01-01T00:00:00+00:00", action=action, version=version, champion=version, previous=None,
             checkpoint=checkpoint, challenger=checkpoint, verdict=None, reason="", actor="test", run_id=None)
    )  # fmt: skip


def asked(refs: Refs, history: PromotionHistory, made_from: Recipe, data: Manifest) -> Mapping[str, str]:
    return start_input(refs, history, made_from, data)


def test_nothing_live_is_a_cold_start(refs: Refs, history: PromotionHistory) -> None:
    data = dataset(refs, JUNE, JULY)
    assert asked(refs, history, recipe(data), data) == {}
    live(history, None, FOUND)
    assert asked(refs, history, recipe(data), data) == {}


def test_a_promoted_checkpoint_is_not_its_own_start(refs: Refs, history: PromotionHistory) -> None:
    data = dataset(refs, JUNE, JULY)
    first = commit(refs, recipe(data), n=1)
    live(history, first.digest)
    assert asked(refs, history, recipe(data), data) == {}
    changed = recipe(data, epochs=2)
    assert asked(refs, history, changed, data) == {ROLE: first.digest}
    second = commit(refs, recipe(data, first.digest, epochs=2), n=2)
    live(history, second.digest)
    assert asked(refs, history, changed, data) == {ROLE: first.digest}
    assert asked(refs, history, recipe(data, epochs=3), data) == {ROLE: second.digest}


def test_a_rollback_changes_the_next_start_and_not_this_one(refs: Refs, history: PromotionHistory) -> None:
    data = dataset(refs, JUNE, JULY)
    first = commit(refs, recipe(data), n=1)
    second = commit(refs, recipe(data, first.digest, epochs=2), n=2)
    for checkpoint, action in ((first, PROMOTE), (second, PROMOTE), (first, ROLLBACK)):
        live(history, checkpoint.digest, action)
    assert asked(refs, history, recipe(data, epochs=2), data) == {ROLE: first.digest}
    assert asked(refs, history, recipe(data, epochs=3), data) == {ROLE: first.digest}


def test_what_is_live_in_a_rehearsal_is_no_start(refs: Refs, history: PromotionHistory) -> None:
    data = dataset(refs, JUNE, JULY)
    first, second = (commit(refs, recipe(data, epochs=n), n=n) for n in (1, 2))
    live(history, first.digest)
    live(history, second.digest, REHEARSAL)
    assert asked(refs, history, recipe(data, epochs=3), data) == {ROLE: first.digest}


def test_a_change_taken_back_is_a_change(refs: Refs, history: PromotionHistory) -> None:
    data = dataset(refs, JUNE, JULY)
    first = commit(refs, recipe(data), n=1)
    live(history, first.digest)
    commit(refs, recipe(data, first.digest, epochs=2), n=2)
    assert asked(refs, history, recipe(data), data) == {ROLE: first.digest}


def test_a_champion_that_saw_the_holdout_is_refused_however_far_back(refs: Refs, history: PromotionHistory) -> None:
    newer, older = dataset(refs, JULY, AUGUST), dataset(refs, JUNE, JULY)
    first = commit(refs, recipe(newer), n=1)
    second = commit(refs, recipe(older, first.digest), warm_start={"known_until": known_until(newer, first)})
    assert known_until(older, second) == JULY
    live(history, second.digest)
    assert asked(refs, history, recipe(older, epochs=2), older) == {ROLE: second.digest}
    early = dataset(refs, "2024-05-01T00:00:00+00:00", JUNE)
    with pytest.raises(PlatformError, match=f"learned from labels known until {JULY[:10]}"):
        asked(refs, history, recipe(early), early)
