"""Whatever dies at whatever moment, each answer that was sent is in the prediction log once."""

import os
import pydoc
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.errors import PlatformError
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.records import Entry, counted, encode, whole_records
from mlops_platform.resources.prediction_log.segments import pending, segments
from mlops_platform.resources.prediction_log.shipping import Shipped, ship
from mlops_platform.serving.journal import UnloggedError
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.serving.answering import answer, asked, log_of, question

ROOT = Path(__file__).parents[2]
STEPS = {
    "before the commit": "mlops_platform.resources.delta.DeltaDoor.append",
    "after the commit": "mlops_platform.resources.delta.DeltaDoor.sync",
    "before the removal": "mlops_platform.resources.prediction_log.shipping._removed",
    "half removed": "pathlib.Path.unlink",
    "before making small files one": "mlops_platform.resources.prediction_log.shipping._compact",
}

SPARED = {"before the removal": 1, "half removed": 1}
"""Calls of a step that are not yet the one to die in."""


def start(home: Home, what: str) -> subprocess.Popen[str]:
    """A process that answers, or one that ships, for ever."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlops_platform_tests.serving.answering", str(home.path), what],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "POLARS_MAX_THREADS": "1"},
    )  # fmt: skip


def killed(process: subprocess.Popen[str], after: float) -> list[str]:
    """Kills a process some time after its first answer; the whole lines that it said."""
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(after)
    process.kill()
    rest = process.stdout.read()
    process.wait()
    return (first + rest).rpartition("\n")[0].splitlines()


def logged(home: Home) -> list[str]:
    log = DeltaDoor(home.prediction_log("pumps", "pump_repair"))
    return sorted(log.scan().collect()["prediction_id"]) if log.exists else []


def require_each_once(home: Home, sent: list[str]) -> None:
    """All that was sent is in the log once, with at most one request beside it that was logged and not sent."""
    ship(home, PROJECT, MODEL)
    found = logged(home)
    assert len(set(found)) == len(found), "an answer was logged twice"
    assert set(sent) <= set(found), "an answer that was sent was lost"
    assert pending(home, PROJECT, MODEL).is_empty()


def kill_workers(home: Home, seed: int, durability: str, rounds: int) -> None:
    chance = random.Random(seed)
    sent: list[str] = []
    shipper = start(home, "SHIP")
    try:
        for _ in range(rounds):
            lines = killed(start(home, durability), chance.random() * 0.3)
            sent += [each for line in lines for each in line.split()]
            if chance.random() < 0.5:
                killed(shipper, chance.random() * 0.1)
                shipper = start(home, "SHIP")
    finally:
        shipper.kill()
        shipper.communicate()
    require_each_once(home, sent)
    assert len(logged(home)) <= len(sent) + 3 * rounds and sent


@pytest.mark.parametrize("durability", ["flushed", "synced"])
def test_killed_workers_and_shippers_lose_and_double_nothing(home: Home, durability: str) -> None:
    kill_workers(home, 7, durability, rounds=2)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("durability", ["flushed", "synced"])
def test_fifty_kills(home: Home, seed: int, durability: str) -> None:
    kill_workers(home, seed, durability, rounds=4)


class Killed(BaseException):
    """Stands in for a kill at one line: nothing catches it, and nothing after it runs."""


@pytest.mark.parametrize("step", STEPS)
def test_a_shipper_that_dies_at_any_step_is_followed_by_one_that_ends_its_work(
    home: Home, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(home, largest=9_000)
    sent = [each for number in range(6) for each in asked(log, 3, first=number)]
    log.close()
    assert len(segments(home.journals("pumps", "pump_repair"))) > 1
    calls = 0

    def die(*_: object, **__: object) -> object:
        nonlocal calls
        calls += 1
        if calls > SPARED.get(step, 0):
            raise Killed
        return real(*_, **__)

    real = pydoc.locate(STEPS[step])
    assert callable(real)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(STEPS[step], die)
        ship(home, PROJECT, MODEL)
    assert set(sent) <= {*logged(home), *pending(home, PROJECT, MODEL)["prediction_id"]}
    require_each_once(home, sent)
    assert len(logged(home)) == len(sent) and ship(home, PROJECT, MODEL) == Shipped()


def test_shippers_side_by_side_ship_each_answer_once(home: Home) -> None:
    log = log_of(home, largest=9_000)
    with ThreadPoolExecutor(3) as pool:
        looks = [pool.submit(lambda: [ship(home, PROJECT, MODEL).answers for _ in range(5)]) for _ in range(2)]
        sent = [each for number in range(30) for each in asked(log, 3, first=number)]
        log.close()
        for look in looks:
            look.result()
    require_each_once(home, sent)
    assert len(logged(home)) == len(sent)


def journal_bytes() -> tuple[bytes, list[int]]:
    """A segment of five records, and where each ends."""
    data, ends = b"", []
    for rows in range(1, 6):
        part = pl.DataFrame({"prediction_id": [f"o-{rows}-{row}" for row in range(rows)]})
        at = datetime.now(UTC)
        data += encode([Entry(version="1", checkpoint="c", role="champion", answered_at=at, parts={"answers": part})])
        ends.append(len(data))
    return data, ends


DATA, ENDS = journal_bytes()


@given(st.integers(0, len(DATA)), st.integers(0, 40))
def test_whatever_is_cut_off_a_journal_what_was_whole_before_is_read(end: int, zeros: int) -> None:
    left = DATA[:end] + bytes(zeros)
    found = whole_records(left)
    # A record ends in zeros: those that follow the cut may be what was cut.
    whole = [each for each in ENDS if left[:each] == DATA[:each]]
    assert [counted(payload)[0] for payload in found.payloads] == list(range(1, len(whole) + 1))
    assert found.rest == end + zeros - (whole[-1] if whole else 0)


@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
@settings(max_examples=200)
def test_a_changed_byte_is_never_read_as_an_answer(place: int, change: int) -> None:
    changed = bytearray(DATA)
    changed[place] ^= change
    found = whole_records(bytes(changed))
    before = [each for each in ENDS if each <= place]
    assert [bytes(p) for p in found.payloads] == [bytes(p) for p in whole_records(DATA).payloads[: len(before)]]
    assert found.rest > 0


def test_a_length_that_was_changed_is_no_torn_record_and_what_follows_is_kept() -> None:
    changed = bytearray(DATA)
    changed[ENDS[1] + 2] ^= 0xFF
    found = whole_records(bytes(changed))
    assert (len(found.payloads), found.torn) == (2, False)
    last = bytearray(DATA)
    last[ENDS[3] + 2] ^= 0xFF
    assert whole_records(bytes(last)).torn, "nothing whole follows: as if it had not been written to its end"


def test_a_forked_process_logs_nothing_to_the_journal_of_its_parent(home: Home) -> None:
    log = log_of(home)
    sent = asked(log, 2)
    child = os.fork()
    if child == 0:
        try:
            asked(log, 2)
            os._exit(0)
        except UnloggedError:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    sent += asked(log, 2)
    log.close()
    require_each_once(home, sent)
    assert len(logged(home)) == len(sent)


def test_answers_that_another_declaration_gave_wait_and_are_told(home: Home) -> None:
    log = log_of(home)
    wide = replace(answer(np.arange(1)), scores=np.ones((1, 3), dtype=np.float32))
    log.log(question(1), [wide])
    log.close()
    with pytest.raises(PlatformError, match="declaration changed while answers waited"):
        ship(home, PROJECT, MODEL)
    assert len(segments(home.journals("pumps", "pump_repair"))) == 1


def test_a_torn_last_record_is_cut_off_and_told_and_a_damaged_segment_is_kept(home: Home) -> None:
    folder, sent, names = home.journals("pumps", "pump_repair"), [], []
    for end in (b"", b"damagedbyt"):
        log = log_of(home)
        sent += asked(log, 2)
        asked(log, 2)
        log.close()
        (path,) = [each.path for each in segments(folder) if each.path.name not in names]
        path.write_bytes(path.read_bytes()[:-10] + end)
        names.append(path.name)
    torn, damaged = names
    found = ship(home, PROJECT, MODEL)
    assert found.answers == 4 and list(found.cut) == [torn] and found.damaged == (damaged,)
    assert logged(home) == sorted(sent) and (folder / "damaged" / damaged).is_file()
    assert ship(home, PROJECT, MODEL) == Shipped()


@pytest.fixture
def full_disk() -> Iterator[Callable[[int], None]]:
    """Lets no file grow beyond so many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("durability", ["flushed", "synced"])
def test_on_a_full_disk_nothing_is_answered_and_then_all_goes_on(
    home: Home, durability: str, full_disk: Callable[[int], None]
) -> None:
    log = log_of(home, durability=durability)
    sent = asked(log, 2)
    (path,) = [each.path for each in segments(home.journals("pumps", "pump_repair"))]
    size = path.stat().st_size
    full_disk(size + 1_000)
    refused = answer(pl.Series([0, 1]).to_numpy())
    for _ in range(2):
        with pytest.raises(UnloggedError, match="ask again when the disk has room") as told:
            log.log(question(2), [refused])
    assert isinstance(told.value, PlatformError) and path.stat().st_size == size, "nothing of it remains"
    full_disk(resource.RLIM_INFINITY)
    sent += asked(log, 2)
    log.close()
    require_each_once(home, sent)
    assert logged(home) == sorted(sent)


def test_a_disk_that_does_not_sync_refuses_and_the_next_answer_has_a_new_segment(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(home, durability="synced")
    sent = asked(log)

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(UnloggedError, match="Input/output error"):
        patch.setattr(os, "fdatasync", fails)
        asked(log)
    sent += asked(log)
    assert len(segments(home.journals("pumps", "pump_repair"))) == 2
    log.close()
    require_each_once(home, sent)


def test_a_journal_is_no_journal_of_this_process_after_it_died(home: Home) -> None:
    process = start(home, "flushed")
    sent = [each for line in killed(process, 0.1) for each in line.split()]
    assert process.returncode == -signal.SIGKILL and set(sent) <= set(pending(home, PROJECT, MODEL)["prediction_id"])
    found = ship(home, PROJECT, MODEL)
    assert found.waiting == 0 and found.answers >= len(sent)
