"""A challenger beside the champion: what callers get, what nobody gets, and when it meets nobody."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_platform.errors import PlatformError, SpecError
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.rollouts import GO_ON, LOSE, Promise, RolloutRecords, held_back
from mlops_platform.scoring import Scorer
from mlops_platform.serving.live import LiveModel
from mlops_platform.serving.question import Answer, Question
from mlops_platform.serving.routing import places
from mlops_platform.serving.shadow import QUESTIONS
from mlops_platform_tests.lineage.pumps.rollouts import begin
from mlops_platform_tests.lineage.pumps.variants import rolling
from mlops_platform_tests.serving.planted import by_values, checkpoint_of, holdout, nan_scores, registered

pytestmark = pytest.mark.long


class Logged:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.entries: list[tuple[Question, list[Answer]]] = []

    def __call__(self, question: Question, answers: list[Answer]) -> None:
        self.entries.append((question, answers))

    def of(self, role: str) -> list[Answer]:
        return [answer for _, answers in self.entries for answer in answers if answer.role == role]


@contextmanager
def serving(home: Home, log: Any = None, **declared: Any) -> Iterator[LiveModel]:
    project = rolling(4, **declared)
    live = LiveModel(home, project, project.models[0], log=log, every=None)
    live.refresh()
    try:
        yield live
    finally:
        live.close()


def rollout_of(live: LiveModel) -> dict[str, Any]:
    found: dict[str, Any] = live.standing()["rollout"]
    return found


def promised(home: Home, rollout: str, *, verdict: str = GO_ON, holds: timedelta = timedelta(hours=3)) -> None:
    now = datetime.now(UTC)
    RolloutRecords(home, "pumps", "pump_repair").give(
        Promise(rollout=rollout, verdict=verdict, reason="figures", finding="sha256:f", looks=1, at=now.isoformat(),
                until=(now + holds).isoformat())
    )  # fmt: skip


def test_without_a_rollout_only_the_champion_answers(moved_home: Home) -> None:
    log = Logged()
    with serving(moved_home, log) as live:
        (answer,) = live.answer(by_values(holdout(moved_home)))
        assert answer.role == "champion" and live.standing()["rollout"] is None
    assert len(log.entries) == 1


def test_a_shadow_scores_each_question_and_no_caller_sees_it(moved_home: Home) -> None:
    rollout, log, rows = begin(moved_home), Logged(), holdout(moved_home)
    with serving(moved_home, log) as live:
        given = [answer for _ in range(8) for answer in live.answer(by_values(rows))]
        assert {answer.role for answer in given} == {"champion"} and rollout_of(live)["meets_traffic"]
    shadows = log.of("shadow")
    assert [shadow.answered_at for shadow in shadows] == [answer.answered_at for answer in given]
    expected = Scorer.load(checkpoint_of(moved_home, "1")).score(rows)
    assert all(np.array_equal(shadow.scores, expected) and shadow.version == "1" for shadow in shadows)
    ids = [name for answer in [*given, *shadows] for name in answer.ids]
    assert len(set(ids)) == len(ids) == 80 and all(shadow.ids == sorted(shadow.ids) for shadow in shadows)
    counts = RolloutRecords(moved_home, "pumps", "pump_repair").counted(rollout)
    assert (counts.scored, counts.failed, counts.dropped) == (8, 0, 0)
    assert sum(counts.champion.values()) == sum(counts.challenger.values()) == 2 and counts.slowdown


def test_a_canary_answers_the_same_entities_in_every_worker_and_each_row_once(moved_home: Home) -> None:
    begin(moved_home)
    log, rows = Logged(), holdout(moved_home, 40)
    sides = []
    for _ in range(2):
        with serving(moved_home, log, kind="canary", share=halfway(moved_home, rows)) as live:
            answers = live.answer(by_values(rows))
            single = [live.answer(by_values(rows[place])) for place in range(8)]
        by_role = {answer.role: answer for answer in answers}
        assert set(by_role) == {"champion", "canary"} and by_role["canary"].version == "1"
        assert sorted(row for answer in answers for row in answer.rows) == list(range(40))
        canary = set(rows["pump"][by_role["canary"].rows].unique())
        assert not canary & set(rows["pump"][by_role["champion"].rows].unique())
        assert all((one.role == "canary") == (rows["pump"][place] in canary) for place, (one,) in enumerate(single))
        for version, role in (("2", "champion"), ("1", "canary")):
            scores = Scorer.load(checkpoint_of(moved_home, version)).score(rows[by_role[role].rows])
            assert np.array_equal(by_role[role].scores, scores)
        sides.append(canary)
    assert sides[0] == sides[1] and 0 < len(sides[0]) < 4
    # Beside each of the canary's answers, the champion's that nobody got.
    shadows, drawn = log.of("shadow"), log.of("canary")
    assert {shadow.version for shadow in shadows} == {"2"}
    assert [shadow.rows.tolist() for shadow in shadows] == [answer.rows.tolist() for answer in drawn]


def test_no_judge_no_canary(moved_home: Home) -> None:
    declared: dict[str, Any] = {"kind": "canary", "share": 0.99, "every": "1h"}
    rollout, rows = begin(moved_home, ago=timedelta(hours=4)), by_values(holdout(moved_home))

    def roles(live: LiveModel) -> set[str]:
        return {answer.role for answer in live.answer(rows)}

    with serving(moved_home, **declared) as live:
        assert roles(live) == {"champion"} and "no verdict since" in rollout_of(live)["held_back"]
        promised(moved_home, "sha256:of another")
        live.refresh()
        assert roles(live) == {"champion"}
        promised(moved_home, rollout)
        live.refresh()
        assert "canary" in roles(live) and rollout_of(live)["held_back"] is None
        promised(moved_home, rollout, holds=timedelta(seconds=0.3))
        live.refresh()
        assert "canary" in roles(live)
        time.sleep(0.35)
        # Also where nobody looked since.
        assert roles(live) == {"champion"} and not rollout_of(live)["meets_traffic"]
        live.refresh()
        assert "held until" in rollout_of(live)["held_back"]
        promised(moved_home, rollout, verdict=LOSE)
        live.refresh()
        assert roles(live) == {"champion"} and "roll back" in rollout_of(live)["held_back"]
        (RolloutRecords(moved_home, "pumps", "pump_repair").folder / "judge.json").write_text("{")
        live.refresh()
        assert roles(live) == {"champion"} and "judge writes it again" in rollout_of(live)["held_back"]


def test_a_challenger_that_fails_fails_no_request_and_is_counted(moved_home: Home) -> None:
    rollout, rows = begin(moved_home), holdout(moved_home, 40)
    with serving(moved_home, kind="canary", share=halfway(moved_home, rows)) as live:
        broken(live, "no such category")
        (answer,) = live.answer(by_values(rows))
        assert answer.role == "champion" and len(answer.ids) == 40
        assert rollout_of(live)["failed"] == 1 and "no such category" in rollout_of(live)["error"]
    with serving(moved_home) as live:
        broken(live, "no such category")
        (answer,) = live.answer(by_values(rows))
        assert answer.role == "champion"
    counts = RolloutRecords(moved_home, "pumps", "pump_repair").counted(rollout)
    assert (counts.failed, counts.scored) == (2, 0) and "no such category" in str(counts.error)


def test_a_shadow_that_is_slow_or_cannot_be_logged_makes_nobody_wait(moved_home: Home) -> None:
    rollout, rows, held = begin(moved_home), by_values(holdout(moved_home)), threading.Event()

    def log(question: Question, answers: list[Answer]) -> None:
        if answers[0].role == "shadow":
            raise PlatformError(required="a log", found="a full disk", remedy="room")

    with serving(moved_home, log) as live:
        slow(live, held)
        began = time.perf_counter()
        for _ in range(QUESTIONS + 10):
            live.answer(rows)
        # The challenger scores none of them before it is let go.
        assert time.perf_counter() - began < 20 and rollout_of(live)["dropped"] >= 9
        held.set()
    counts = RolloutRecords(moved_home, "pumps", "pump_repair").counted(rollout)
    assert (counts.scored, counts.failed, counts.dropped) == (0, 0, QUESTIONS + 10)


def test_what_cannot_be_written_down_ends_the_meeting_and_not_the_following(
    moved_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    rollout, rows = begin(moved_home), by_values(holdout(moved_home))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    project = rolling(4, kind="canary", share=0.99)
    live = LiveModel(moved_home, project, project.models[0], every=0.02)
    try:
        wait_for(lambda: live.ready and rollout_of(live)["meets_traffic"])
        with monkeypatch.context() as patch:
            patch.setattr(RolloutRecords, "count", full)
            live.answer(rows)
            wait_for(lambda: "No space left" in str(rollout_of(live)["held_back"]))
            assert live.ready and {answer.role for answer in live.answer(rows)} == {"champion"}
        wait_for(lambda: rollout_of(live)["meets_traffic"])
        assert "canary" in {answer.role for answer in live.answer(rows)}
    finally:
        live.close()
    assert RolloutRecords(moved_home, "pumps", "pump_repair").counted(rollout).scored == 2


def test_a_verdict_of_a_time_to_come_lets_nobody_meet_traffic(moved_home: Home) -> None:
    rollout = begin(moved_home)
    history = PromotionHistory(moved_home, "pumps", "pump_repair")
    begun, now = history.rollout(), datetime.now(UTC)
    asked = rolling(4, every="1h").models[0].serving.rollout
    assert begun is not None and asked is not None
    promised(moved_home, rollout)
    promise = RolloutRecords(moved_home, "pumps", "pump_repair").promise(rollout)
    assert held_back(asked, begun, promise, now - timedelta(minutes=50)) is None
    assert "clock" in str(held_back(asked, begun, promise, now - timedelta(minutes=70)))


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_challenger_that_does_not_verify_meets_nobody_and_says_why(moved_home: Home) -> None:
    version = registered(moved_home, nan_scores)
    rollout = begin(moved_home, version=version, checkpoint=checkpoint_of(moved_home, version).manifest.digest)
    with serving(moved_home, kind="canary", share=0.9) as live:
        assert {answer.role for answer in live.answer(by_values(holdout(moved_home)))} == {"champion"}
        assert "was refused" in rollout_of(live)["held_back"] and live.ready
        assert live.standing()["version"] == "2"
    assert "finite scores" in str(RolloutRecords(moved_home, "pumps", "pump_repair").counted(rollout).refused)


def test_it_ends_when_the_history_says_so(moved_home: Home) -> None:
    begin(moved_home)
    with serving(moved_home, kind="canary", share=0.99) as live:
        assert rollout_of(live)["meets_traffic"]
        history = PromotionHistory(moved_home, "pumps", "pump_repair")
        begun = history.rollout()
        assert begun is not None
        history.append(replace(begun, action="keep"))
        live.refresh()
        assert live.standing()["rollout"] is None
        assert {answer.role for answer in live.answer(by_values(holdout(moved_home)))} == {"champion"}


def test_a_sticky_key_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(SpecError, match="sticky"):
        rolling(4, kind="canary", sticky=("town",))


def halfway(home: Home, rows: pl.DataFrame) -> float:
    """A share by which some of the pumps are answered by the canary and some are not."""
    found = np.unique(places(rows.select("pump"), (), salt=checkpoint_of(home, "1").manifest.digest))
    return float(found[:2].mean())


def broken(live: LiveModel, error: str) -> None:
    """Makes the loaded challenger raise what no part of the platform raises."""

    class Broken:
        def score(self, frame: pl.DataFrame) -> np.ndarray:
            raise RuntimeError(error)

    _replace(live, Broken())


def slow(live: LiveModel, held: threading.Event) -> None:
    """Makes the loaded challenger wait."""

    class Slow:
        def score(self, frame: pl.DataFrame) -> np.ndarray:
            held.wait(30)
            return np.zeros(frame.height, dtype=np.float32)

    _replace(live, Slow())


def _replace(live: LiveModel, scorer: Any) -> None:
    challenger = live._challenger
    assert challenger is not None and challenger._meeting is not None
    loaded = replace(challenger._meeting.loaded, scorer=scorer)
    challenger._meeting = replace(challenger._meeting, loaded=loaded)
