"""A study goes on after any end as if nothing had been, and proposes the same again; no torch is needed for that."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_platform.errors import TrainingError
from mlops_platform.spec import Between, OneOf, Tuning, Whole
from mlops_platform.training.tuning.record import (
    Trial,
    best_json,
    facts,
    line,
    picture,
    read_trials,
    table,
    trials_json,
)
from mlops_platform.training.tuning.study import Study

TUNING = Tuning(
    space={"learning_rate": Between(1e-4, 1.0, log=True), "epochs": Whole(2, 4), "parameters.kind": OneOf(("a", "b"))},
    trials=12, startup_trials=3,
)  # fmt: skip
FIRST = [{"learning_rate": 0.01, "epochs": 3, "parameters.kind": "a"}]


def losses(values: dict[str, Any]) -> list[float]:
    """What a training of these values would tell: best near 0.03, a little better for ``b`` and for more epochs."""
    off = abs(math.log10(values["learning_rate"]) + 1.5) + 0.1 * (values["parameters.kind"] == "a")
    return [0.3 + 0.1 * off + 0.2 / (epoch + 1) for epoch in range(values["epochs"])]


def opened(folder: Path, tuning: Tuning = TUNING, **further: Any) -> Study:
    told = {"trials": tuning.trials, "epochs": 4, "first": FIRST, **further}
    return Study(folder / "studies" / "studies.db", "study", tuning, **told)


def one(study: Study) -> Trial | None:
    """Does the next trial."""
    trial = study.ask()
    if trial is None:
        return None
    for epoch, loss in enumerate(losses(trial.params)):
        if study.report(trial, epoch, loss):
            return study.tell(trial, "pruned", None)
    return study.tell(trial, "complete", None)


def whole(folder: Path) -> tuple[Trial, ...]:
    with opened(folder) as study:
        while one(study) is not None:
            pass
        return study.trials()


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_trials_that_are_asked_for_side_by_side_differ(tmp_path: Path, sampler: Any) -> None:
    tuning = replace(TUNING, sampler=sampler)
    with opened(tmp_path, tuning) as study:
        asked = [study.ask() for _ in range(5)]
        rates = {trial.params["learning_rate"] for trial in asked if trial is not None}
        assert len(asked) == len(rates) == 5


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Trial, ...]:
    return whole(tmp_path_factory.mktemp("undisturbed"))


def test_it_begins_with_the_declaration_prunes_and_finds_better(undisturbed: tuple[Trial, ...]) -> None:
    assert len(undisturbed) == 12 and undisturbed[0].parameters == FIRST[0]
    assert {trial.state for trial in undisturbed} == {"complete", "pruned"}
    assert all(len(trial.losses) < trial.parameters["epochs"] for trial in undisturbed if trial.state == "pruned")
    told = facts(undisturbed, FIRST[0])
    assert told["validation_loss"] < told["declared_validation_loss"] == undisturbed[0].value
    assert told["complete"] + told["pruned"] == told["trials"] == 12


def _dropped(study: Study) -> None:
    """A kill right after a trial was proposed, before its first epoch."""
    study.ask()


def _in_the_middle(study: Study) -> None:
    trial = study.ask()
    assert trial is not None
    study.report(trial, 0, losses(trial.params)[0])


def _before_its_values(study: Study) -> None:
    """A kill while a trial was being proposed: it runs, and has no values yet."""
    study._study.ask()


def _queued_twice(study: Study) -> None:
    """A kill between the two halves of taking a dead trial up again."""
    trial = study.ask()
    assert trial is not None
    study._study.enqueue_trial(dict(trial.params), user_attrs={"again_for": trial.number, "died_before": 1})


@pytest.mark.parametrize("end", [_dropped, _in_the_middle, _before_its_values, _queued_twice])
def test_a_study_that_was_cut_off_comes_to_the_same(
    tmp_path: Path, undisturbed: tuple[Trial, ...], end: Callable[[Study], None]
) -> None:
    for done in (0, 1, 4):
        with opened(tmp_path) as study:
            while len(study.trials()) < done:
                one(study)
            # Nothing is told afterwards: the process died here.
            end(study)
    assert whole(tmp_path) == undisturbed


def test_more_trials_go_on_and_fewer_take_the_first(tmp_path: Path, undisturbed: tuple[Trial, ...]) -> None:
    with opened(tmp_path, trials=5) as study:
        while one(study) is not None:
            pass
        assert study.trials() == undisturbed[:5] and not study.is_open
    assert whole(tmp_path) == undisturbed
    with opened(tmp_path, trials=5) as study:
        assert one(study) is None and study.trials() == undisturbed[:5]


def test_after_its_time_no_trial_begins(tmp_path: Path) -> None:
    with opened(tmp_path, until=0.0) as study:
        assert study.ask() is None and not study.is_open


def test_a_trial_that_always_dies_is_given_up(tmp_path: Path) -> None:
    with opened(tmp_path, trials=2) as study:
        tried = []
        for _ in range(3):
            trial = study.ask()
            assert trial is not None
            tried.append(trial.params)
            told = study.died(trial, "it was ended by SIGKILL", again=True)
        assert tried[0] == tried[1] == tried[2] == FIRST[0]
        assert told is not None and (told.state, told.why, told.number) == ("died", "it was ended by SIGKILL", 0)
        following = one(study)
        assert following is not None and following.number == 1 and following.parameters != FIRST[0]


def test_values_that_were_tried_are_not_tried_again(tmp_path: Path) -> None:
    with opened(tmp_path, first=[FIRST[0]]) as study:
        done = one(study)
        study._study.enqueue_trial(FIRST[0])
        trial = study.ask()
        assert trial is not None and done is not None
        known = study.known(trial)
        assert known == {"state": "complete", "why": "as trial 1"}
        assert study.tell(trial, known["state"], known["why"]).losses == done.losses
        other = study.ask()
        assert other is not None and study.known(other) is None


@pytest.mark.parametrize(("sampler", "pruner"), [("random", "none"), ("tpe", "hyperband")])
def test_other_samplers_and_pruners_go_on_alike(tmp_path: Path, sampler: Any, pruner: Any) -> None:
    from dataclasses import replace

    tuning = replace(TUNING, sampler=sampler, pruner=pruner, trials=4)
    for _ in range(4):
        with opened(tmp_path, tuning) as study:
            one(study)
            found = study.trials()
    assert len(found) == 4 and (pruner != "none" or {trial.state for trial in found} == {"complete"})


def test_none_complete_is_an_error_that_says_why() -> None:
    refused = Trial(number=0, state="refused", parameters={"learning_rate": 9.0}, why="it requires a finite loss")
    with pytest.raises(TrainingError, match="none of 1: it requires a finite loss"):
        best_json([refused])


def test_what_is_left_is_read_back_and_shown(undisturbed: tuple[Trial, ...]) -> None:
    from mlops_platform.manifest import canonical_json

    assert read_trials(canonical_json(trials_json(undisturbed))) == undisturbed
    rows = table(undisturbed).splitlines()
    best = best_json(undisturbed)
    assert len(rows) == 14 and rows[2].startswith(f"| {best['trial'] + 1} | complete | {best['validation_loss']:.5f} |")
    assert picture(undisturbed).startswith("![study](data:image/png;base64,iVBOR")
    said = line(undisturbed[0], of=12, best=undisturbed[0])
    assert said.startswith("trial 1 of 12") and "learning_rate 0.01, parameters.kind a" in said
