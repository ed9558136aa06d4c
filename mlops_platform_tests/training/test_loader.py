"""The loader's promises, for any number of rows, batches and epochs."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.errors import TrainingError

if TYPE_CHECKING:
    from mlops_platform.training.program.loader import ShuffledBatches

ROWS, BATCH, SEED = st.integers(1, 200), st.integers(1, 64), st.integers(0, 2**31)


@pytest.fixture(scope="module", autouse=True)
def torch_is_loaded() -> None:
    """Imported once, so that no single example pays for it."""
    import torch  # noqa: F401


def _loader(rows: int, batch: int, seed: int, **how: int) -> "ShuffledBatches":
    import torch

    from mlops_platform.training.program.loader import ShuffledBatches

    index = torch.arange(rows)
    return ShuffledBatches((index, index * 2), batch_size=batch, seed=seed, **how)


def _epoch(loader: "ShuffledBatches") -> list[list[int]]:
    return [first.tolist() for first, _ in loader]


@settings(deadline=None, max_examples=60)
@given(ROWS, BATCH, SEED)
def test_an_epoch_gives_every_row_once_in_even_batches(rows: int, batch: int, seed: int) -> None:
    loader = _loader(rows, batch, seed)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert all((second == 2 * first).all() for first, second in batches)
    sizes = [len(first) for first, _ in batches]
    assert max(sizes) <= batch
    assert max(sizes) - min(sizes) <= 1
    assert sorted(row for first, _ in batches for row in first.tolist()) == list(range(rows))


@settings(deadline=None, max_examples=30)
@given(ROWS, BATCH, SEED)
def test_seed_and_epoch_decide_the_order(rows: int, batch: int, seed: int) -> None:
    one, two = _loader(rows, batch, seed), _loader(rows, batch, seed)
    orders = [_epoch(one) for _ in range(3)]
    assert orders == [_epoch(two) for _ in range(3)]
    if rows > 20:
        assert orders[0] != orders[1] != _epoch(_loader(rows, batch, seed + 1))


@settings(deadline=None, max_examples=60)
@given(ROWS, BATCH, SEED, st.integers(0, 400))
def test_a_resumed_loader_gives_exactly_what_is_left(rows: int, batch: int, seed: int, stop: int) -> None:
    def stream(loader: "ShuffledBatches") -> Iterator[list[int]]:
        while True:
            yield from (first.tolist() for first, _ in loader)

    whole = list(islice(stream(_loader(rows, batch, seed)), stop + 12))
    stopped = _loader(rows, batch, seed)
    assert list(islice(stream(stopped), stop)) == whole[:stop]
    resumed = _loader(rows, batch, seed)
    resumed.load_state_dict(stopped.state_dict())
    assert list(islice(stream(resumed), 12)) == whole[stop:]


@settings(deadline=None, max_examples=60)
@given(st.integers(8, 200), st.integers(8, 64), SEED, st.integers(1, 4))
def test_processes_share_the_batches_of_one(rows: int, batch: int, seed: int, world: int) -> None:
    whole = _loader(rows, batch, seed)
    ranks = [_loader(rows, batch, seed, rank=rank, world=world) for rank in range(world)]
    for _ in range(2):
        parts = list(zip(*map(_epoch, ranks), strict=True))
        together = _epoch(whole)
        assert [[row for part in shared for row in part] for shared in parts] == together
        assert all(max(map(len, shared)) - min(map(len, shared)) <= 1 for shared in parts)
        for number, shared in enumerate(parts):
            weighed = [rank.weight(number) / len(part) for rank, part in zip(ranks, shared, strict=True)]
            assert weighed == [pytest.approx(world / len(together[number]))] * world
    # A place is the same for any number of processes.
    assert all(rank.state_dict() == whole.state_dict() for rank in ranks)


@settings(deadline=None, max_examples=20)
@given(ROWS, BATCH, SEED, st.integers(0, 8))
def test_reading_ahead_changes_neither_rows_nor_place(rows: int, batch: int, seed: int, stop: int) -> None:
    one, other = _loader(rows, batch, seed), _loader(rows, batch, seed, ahead=True)
    for (first, _), (second, _) in islice(zip(one, other, strict=True), stop):
        assert first.tolist() == second.tolist()
        assert one.state_dict() == other.state_dict()
    assert _epoch(one) == _epoch(other)


def test_a_batch_for_fewer_rows_than_processes_is_refused() -> None:
    with pytest.raises(TrainingError, match="at least 3 rows"):
        _loader(10, 2, 0, world=3)


@settings(deadline=None, max_examples=60)
@given(st.integers(4, 200), st.integers(2, 64), st.integers(1, 4))
def test_stored_order_is_shared_in_equally_many_batches(rows: int, batch: int, world: int) -> None:
    import torch

    from mlops_platform.training.program.loader import OrderedBatches

    parts = [
        [
            chosen.tolist()
            for (chosen,) in OrderedBatches((torch.arange(rows),), batch_size=batch, rank=rank, world=world)
        ]
        for rank in range(world)
    ]
    assert [row for part in parts for chosen in part for row in chosen] == list(range(rows))
    assert len({len(part) for part in parts}) == 1
    assert all(0 < len(chosen) <= batch for part in parts for chosen in part)


def test_a_state_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="resume with the same dataset"):
        _loader(10, 4, 0).load_state_dict(_loader(11, 4, 0).state_dict())
