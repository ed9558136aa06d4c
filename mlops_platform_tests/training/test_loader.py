"""The loader's promises, for any number of rows, batches and epochs."""

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from mlops_platform.training.program.loader import ShuffledBatches

ROWS, BATCH, SEED = st.integers(1, 200), st.integers(1, 64), st.integers(0, 2**31)


@pytest.fixture(scope="module", autouse=True)
def torch_is_loaded() -> None:
    """Imported once, so that no single example pays for it."""
    import torch  # noqa: F401


def _loader(rows: int, batch: int, seed: int) -> "ShuffledBatches":
    import torch

    from mlops_platform.training.program.loader import ShuffledBatches

    index = torch.arange(rows)
    return ShuffledBatches((index, index * 2), batch_size=batch, seed=seed)


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


def test_a_state_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="resume with the same dataset"):
        _loader(10, 4, 0).load_state_dict(_loader(11, 4, 0).state_dict())
