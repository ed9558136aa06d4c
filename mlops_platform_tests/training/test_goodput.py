"""Where a training's wall time went: the parts, over all attempts, sum to the whole; what died with one is counted."""

import time
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_platform.errors import KilledError
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.training.attempts import (
    LOST,
    MOST_WITHOUT_PROGRESS,
    PARTS,
    Attempt,
    notes,
    save_name,
    spent,
    until_finished,
)
from mlops_platform.training.costs import measured, metrics, table
from mlops_platform.training.job import Job
from mlops_platform_tests.training.tiny import network

ZERO = dict.fromkeys(PARTS, 0.0)
USAGE = {"cpu_seconds": 8.0, "threads": 2, "peak_memory_bytes": 10.0}


def attempt(number: int, **given: object) -> Attempt:
    return replace(Attempt(number=number, devices=1, seconds=ZERO), **given)


def test_what_followed_the_save_that_the_next_attempt_went_on_from_is_lost() -> None:
    died = attempt(1, step=30, seconds={**ZERO, "startup": 5.0, "data": 3.0, "step": 27.0, "checkpoint": 1.0})
    saved = {**ZERO, "startup": 5.0, "data": 2.0, "step": 18.0, "checkpoint": 0.6}
    alive = attempt(2, step=50, begun=20, resumed=1, kept=saved,
                    seconds={**ZERO, "startup": 4.0, "step": 27.0, "export": 2.0})  # fmt: skip
    sums = spent([died, alive])
    assert sums.seconds == {**ZERO, "startup": 9.0, "data": 2.0, "step": 45.0, "checkpoint": 1.0, "export": 2.0,
                            LOST: 10.0}  # fmt: skip
    assert (sums.attempts, sums.lost_steps, sums.device_seconds) == (2, 10, 69.0)


def test_an_attempt_that_nobody_went_on_from_is_lost_whole_but_for_its_start() -> None:
    first = attempt(1, step=40, seconds={**ZERO, "step": 40.0})
    died = attempt(
        2, step=35, begun=30, resumed=1, kept={**ZERO, "step": 30.0}, seconds={**ZERO, "step": 5.0, "startup": 2.0}
    )
    last = attempt(3, step=60, begun=30, resumed=1, kept={**ZERO, "step": 30.0}, seconds={**ZERO, "step": 30.0})
    sums = spent([first, died, last])
    assert sums.seconds == {**ZERO, "startup": 2.0, "step": 60.0, LOST: 15.0}
    assert sums.lost_steps == 15


@given(
    st.lists(st.tuples(st.lists(st.floats(0, 1e4), min_size=7, max_size=7), st.floats(0, 1), st.booleans()), min_size=1)
)
def test_the_parts_sum_to_the_wall_time_of_all_attempts(drawn: list[tuple[list[float], float, bool]]) -> None:
    attempts: list[Attempt] = []
    for number, (seconds, share, saved) in enumerate(drawn, 1):
        before = attempts[-1] if attempts and saved else None
        kept = {part: value * share for part, value in before.seconds.items()} if before else {}
        attempts.append(attempt(number, seconds=dict(zip(PARTS, seconds, strict=True)), kept=kept,
                                resumed=before.number if before else None))  # fmt: skip
    sums = spent(attempts)
    assert sum(sums.seconds.values()) == pytest.approx(sum(sum(seconds) for seconds, _, _ in drawn))
    assert min(sums.seconds.values()) >= 0 and 0 <= sums.goodput <= 1 + 1e-9


def test_a_price_gives_a_cost_and_no_price_none() -> None:
    note = attempt(1, devices=4, seconds={**ZERO, "step": 900.0}, usage=USAGE)
    finished = {"event": "finished", "rows_per_second": 1.0, "attempts": [vars(note)]}
    figures = measured(finished, 2.5)
    assert (figures["device_seconds"], figures["cost"]) == (3600.0, 2.5)
    assert figures["usage"]["cpu_share"] == pytest.approx(8 / 1800)
    assert "cost" not in measured(finished, None)
    assert metrics(figures)["goodput.step_seconds"] == 900.0
    assert "| training steps | 900.00 | 100.0% |" in table(figures)
    assert metrics({"rows_per_second": 1.0}) == {}


def test_a_device_tells_what_it_was_busy_and_used() -> None:
    usage = {**USAGE, "device_samples": 4.0, "device_busy": 3.0, "device_peak_bytes": 7.0, "energy_joules": 50.0}
    notes_ = [vars(attempt(n, usage=usage, seconds={**ZERO, "step": 1.0})) for n in (1, 2)]
    found = measured({"attempts": notes_}, None)["usage"]
    assert (found["device_share"], found["device_peak_bytes"], found["energy_joules"]) == (0.75, 7.0, 100.0)


def test_the_station_reports_where_its_time_went(checkpoint: Artifact, trained: dg.ExecuteInProcessResult) -> None:
    produced = checkpoint.manifest.produced
    parts = produced.measured["goodput"]
    assert set(parts) == {*PARTS, LOST} and parts[LOST] == 0.0
    whole = sum(parts.values())
    assert produced.measured["device_seconds"] == pytest.approx(whole)
    # The program's wall time is that of the station, but for starting and ending the process.
    assert 0.5 * produced.seconds < whole < produced.seconds
    (event,) = trained.asset_materializations_for_node("shop__sells__checkpoint")
    assert {"where_time_went", "goodput_share", "stall_share", "device_seconds", "cpu_share"} <= set(event.metadata)
    assert "cost" not in event.metadata
    shown = str(event.metadata["where_time_went"].value)
    assert shown.startswith("![where the time went](data:image/png;base64,iVBOR")
    assert "\n| wall time of all attempts |" in shown


def job(folder: Path) -> Job:
    (folder / "output").mkdir()
    return Job(train=folder, validation=folder, output=folder / "output", numeric=(), categories=(),
               network=network(), saves=folder)  # fmt: skip


def test_a_killed_training_is_started_again_while_that_brings_it_further(tmp_path: Path) -> None:
    steps, warned = iter([5, 9, 9, 9, 12]), []

    def run() -> str:
        step = next(steps, None)
        if step is None:
            return "done"
        (tmp_path / save_name(step, 0)).mkdir(exist_ok=True)
        (tmp_path / "output" / "half").touch()
        raise KilledError(required="", found="killed", remedy="")

    assert until_finished(run, job(tmp_path), warned.append) == "done"
    assert [text.rpartition(" ")[2] for text in warned] == ["5", "9", "9", "9", "12"]
    assert not list((tmp_path / "output").iterdir())


def test_a_training_that_gets_no_further_is_given_up(tmp_path: Path) -> None:
    runs: list[int] = []

    def run() -> None:
        runs.append(1)
        raise KilledError(required="", found="killed", remedy="")

    with pytest.raises(KilledError):
        until_finished(run, job(tmp_path), lambda text: None)
    assert len(runs) == MOST_WITHOUT_PROGRESS
    assert notes(tmp_path) == ()


def test_notes_go_on_after_one_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_platform.training.program import goodput

    monkeypatch.setattr(goodput, "_NOTE_SECONDS", 0.01)
    with goodput.Ledger(job(tmp_path)) as ledger:
        folder, away = tmp_path / "attempts", tmp_path / "away"
        folder.rename(away)
        folder.touch()
        time.sleep(0.2)
        folder.unlink()
        ledger.step = 5
        until = time.monotonic() + 20
        while not notes(tmp_path) and time.monotonic() < until:
            time.sleep(0.01)
        assert notes(tmp_path)[-1].step == 5
