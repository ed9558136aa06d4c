"""A pulse tells where a training is and for how long nothing has moved, whatever the main thread does."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mlops_platform.training.program import pulse as room
from mlops_platform.training.program.pulse import Progress, Pulse
from mlops_platform.training.program.steps import Steps

AT = Progress(epoch=2, epochs=8, step=120, steps=460, done=580, rows=593_920, seconds=7.25, loss=torch.tensor(0.3412))


def beats(pulse: Pulse, monkeypatch: pytest.MonkeyPatch, then: Any = lambda: None) -> tuple[list[dict], list[str]]:
    """What is sent and said while a block hangs for a moment, and after ``then``."""
    monkeypatch.setenv("MLOPS_HEARTBEAT_SECONDS", "0.02")
    monkeypatch.setattr(room, "_LINE_SECONDS", 0.05)
    sent: list[dict[str, Any]] = []
    said: list[str] = []
    with pulse.beating(sent.append, said.append):
        then()
        time.sleep(0.4)
    assert len(sent) > 3
    count = len(sent)
    time.sleep(0.06)
    assert len(sent) == count, "it ends with its block"
    return sent, said


def test_a_hanging_step_is_told_from_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    pulse = Pulse()
    sent, said = beats(pulse, monkeypatch, lambda: pulse.step(AT))
    assert {beat["event"] for beat in sent} == {"heartbeat"}
    assert sent[-1]["reached"] == "epoch 2 of 8, step 120 of 460"
    assert sent[-1]["still_seconds"] > 0.2 > sent[0]["still_seconds"]
    # 3,100 steps are left, each of 7.25 / 580 seconds.
    assert said[0] == "epoch 2 of 8, step 120 of 460: 81,920 rows/s, loss 0.34120, 39 s left"


def test_before_the_first_step_the_phase_is_told_and_no_line_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    sent, said = beats(Pulse(), monkeypatch)
    assert sent[-1]["reached"] == "its start" and said == []


def test_a_phase_that_begins_while_a_beat_is_put_together_ends_no_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    class Between(Pulse):
        """Whenever its place was read, the next phase begins at once."""

        @property
        def _now(self) -> Progress | None:
            now, self._left = getattr(self, "_left", None), None
            return now

        @_now.setter
        def _now(self, progress: Progress | None) -> None:
            self._left = progress

    pulse = Between()
    pulse.step(AT)
    assert pulse.reached == "epoch 2 of 8, step 120 of 460"
    _, said = beats(pulse, monkeypatch, lambda: [(pulse.step(AT), time.sleep(0.03)) for _ in range(10)])
    assert len(said) > 1


def test_lightning_steps_move_the_pulse() -> None:
    pulse, trainer = Pulse(), SimpleNamespace(max_epochs=3, num_training_batches=5, world_size=2, current_epoch=1)
    steps, module, batch = Steps(pulse), torch.nn.Linear(1, 1), (torch.zeros(7, 1), torch.zeros(7))
    steps.on_train_epoch_start(trainer, module)  # type: ignore[arg-type]
    for index in range(2):
        steps.on_train_batch_end(trainer, module, {"loss": torch.tensor(1.0)}, batch, index)  # type: ignore[arg-type]
    assert pulse.reached == "epoch 2 of 3, step 2 of 5"
    assert pulse._now is not None and (pulse._now.done, pulse._now.rows) == (2, 28)
    steps.on_validation_start(trainer, module)  # type: ignore[arg-type]
    assert pulse.reached == "the validation of epoch 2"


@pytest.mark.parametrize(("seconds", "said"), [(40, "40 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_times_are_told_as_people_do(seconds: float, said: str) -> None:
    assert room._time(seconds) == said
