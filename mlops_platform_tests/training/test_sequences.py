"""Sequences and their windows: every row once, in order, padded, resumable."""

from pathlib import Path

import polars as pl
import pytest

from mlops_platform.scoring import InputError
from mlops_platform_tests.training.queues import hours, job, network


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """Encoding, training sequences, validation sequences."""
    from mlops_platform.training.program.sequences import read_sequences

    return read_sequences(job(tmp_path_factory.mktemp("queues"), network()))


def test_sequences_run_up_to_their_split_and_only_its_labels_are_taught(read) -> None:  # type: ignore[no-untyped-def]
    _, train, validation = read
    assert train.lengths.tolist() == [100, 100, 40] and validation.lengths.tolist() == [148, 148, 88]
    assert len(train) == 240 and len(validation) == 120
    known = ~validation.label.isnan()
    assert known[:148].sum() == 40 and known[108:148].all()


def test_every_step_is_in_one_window_and_shorter_sequences_are_padded_without_a_label(read) -> None:  # type: ignore[no-untyped-def]
    from mlops_platform.training.program.sequences import Windows

    _, train, _ = read
    windows = list(Windows(train, window=16, parallel=2, seed=None))
    assert [window.fresh for window in windows] == [True, *[False] * 6, True, False, False]
    assert [tuple(window.label.shape) for window in windows[6:]] == [(2, 4), (1, 16), (1, 16), (1, 8)]
    assert sum(window.known for window in windows) == 240
    pairs = list(Windows(train, window=16, parallel=None, seed=None))
    assert [window.known for window in pairs] == [48, 48, 40, 32, 32, 32, 8]
    assert pairs[3].label[2].isnan().all()


def test_windows_go_on_where_a_state_was_taken(read) -> None:  # type: ignore[no-untyped-def]
    import torch

    from mlops_platform.training.program.sequences import Windows

    def windows() -> Windows:
        return Windows(read[1], window=16, parallel=1, seed=3)

    undisturbed = windows()
    told = [window.numeric for _ in range(2) for window in undisturbed]
    first, second = windows(), windows()
    taken = [window.numeric for _, window in zip(range(8), first, strict=False)]
    second.load_state_dict(first.state_dict())
    taken += [window.numeric for window in second] + [window.numeric for window in second]
    assert len(taken) == len(told)
    assert all(torch.equal(mine, its) for mine, its in zip(taken, told, strict=True))
    other = Windows(read[1], window=8, parallel=1, seed=3)
    with pytest.raises(ValueError, match="'window': 16"):
        other.load_state_dict(first.state_dict())


def test_two_rows_of_one_time_are_refused(tmp_path: Path) -> None:
    from mlops_platform.training.program.sequences import read_sequences

    twice = job(tmp_path, network())
    pl.concat([pl.read_parquet(twice.train), hours(5, {"a": 1}, 9)]).write_parquet(twice.train)
    with pytest.raises(InputError, match="one row for each till and event_timestamp"):
        read_sequences(twice)
