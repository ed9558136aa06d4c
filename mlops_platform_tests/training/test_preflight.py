"""Each fault of a network is found by the check that is there for it, and looking changes nothing."""

import copy
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from mlops_platform.errors import TrainingError
from mlops_platform.spec import Task
from mlops_platform.training.soundness import read_soundness, require_sound, soundness_json
from mlops_platform_tests.training.test_forecast import TASK
from mlops_platform_tests.training.tiny import NETWORKS

if TYPE_CHECKING:
    from mlops_platform.training.program.preflight import Subject

UNSOUND = "mlops_platform_tests.training.unsound"


def subject(reference: str, task: Task | None = None) -> "Subject":
    import torch

    from mlops_platform.training.program.asking import made_up
    from mlops_platform.training.program.network import Normaliser, build
    from mlops_platform.training.program.objective import program_of
    from mlops_platform.training.program.preflight import ROWS, Subject

    torch.manual_seed(0)
    cardinalities, parameters = (4, 30), task.arguments if task else {}

    def make() -> "torch.nn.Module":
        return build(reference, parameters, numeric=3, cardinalities=cardinalities)

    network = make()
    program = program_of(task, Normaliser(torch.zeros(3), torch.ones(3)), network, 300 + 20 * torch.randn(40, 2))
    rows = made_up(program, reference, cardinalities, ROWS)
    return Subject(make=make, network=network, rows=rows, cardinalities=cardinalities, learning_rate=0.02)


def failed(reference: str, task: Task | None = None) -> dict[str, str]:
    """What is found by each check that fails."""
    from mlops_platform.training.program.preflight import ALL, examine

    found = examine(subject(reference, task), ALL)
    assert all(finding.remedy for finding in found if not finding.passed)
    return {finding.name: finding.found for finding in found if not finding.passed}


@pytest.mark.parametrize(
    "reference", [f"{NETWORKS}:{name}" for name in ("Tiny", "Shared", "Crossed", "Centred")] + [f"{UNSOUND}:Frozen"]
)
def test_sound_networks_pass_every_check(reference: str) -> None:
    assert failed(reference) == {}


@pytest.mark.parametrize(
    ("name", "check", "said"),
    [
        ("Squeezes", "answers_have_the_shape", "shape ()"),
        ("Crashes", "answers_have_the_shape", "mat1 and mat2 shapes cannot be multiplied"),
        ("Crashes", "answers_have_the_shape", "(networks.py, line "),
        ("Tuples", "answers_have_the_shape", "a tuple"),
        ("Rounds", "answers_have_the_shape", "a Tensor of torch.int64"),
        ("Detached", "gradients_reach_every_parameter",
         "no gradient for: embeddings.0.weight; embeddings.1.weight; spare.bias; spare.weight"),
        ("Untrained", "gradients_reach_every_parameter", "there is none that is trained"),
        ("Roots", "numbers_are_finite", "the gradient of layers.4.weight"),
        ("Batchwise", "a_row_stands_alone", "asked alone they are"),
        ("Forgets", "weights_hold_everything", "another instance with the same weights"),
        ("Counts", "weights_hold_everything", "another instance with the same weights"),
        ("Gambles", "chance_is_only_in_training", "the second time"),
        ("Overwrites", "inputs_stay_as_they_are", "argument 1 of forward was changed"),
        ("Bounded", "one_batch_can_be_learnt", "at learning rate 0.02"),
    ],
)  # fmt: skip
def test_a_fault_is_found_by_the_check_for_it(name: str, check: str, said: str) -> None:
    assert said in failed(f"{UNSOUND}:{name}")[check]


def test_a_forecasts_network_is_asked_for_every_step() -> None:
    import torch

    one = subject(f"{NETWORKS}:Steps", TASK)
    assert one.rows.label.shape == (16, 2) and torch.isfinite(one.rows.label).all()
    assert failed(f"{NETWORKS}:Steps", TASK) == {}
    assert "shape (16, 3)" in failed(f"{UNSOUND}:Longer", TASK)["answers_have_the_shape"]


@pytest.mark.parametrize("name", ["Gated", "Memory"])
def test_networks_of_sequences_are_asked_for_two_steps_of_each(name: str) -> None:
    assert failed(f"mlops_platform_tests.training.recurrences:{name}") == {}


def test_looking_changes_neither_the_network_nor_any_source_of_chance() -> None:
    import torch

    from mlops_platform.training.program.preflight import ALL, examine

    one = subject(f"{NETWORKS}:Tiny")
    rows, weights = one.rows.copy(), copy.deepcopy(one.network.state_dict())
    chance = torch.random.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    examine(one, ALL)
    assert torch.random.get_rng_state().equal(chance[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == chance[1:]
    assert one.network.training and all(weight.grad is None for weight in one.network.parameters())
    assert all(value.equal(weights[name]) for name, value in one.network.state_dict().items())
    assert all(now.equal(then) for now, then in zip(one.rows.inputs, rows.inputs, strict=True))


def test_weights_are_the_same_with_and_without_the_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_platform.training.program import fit
    from mlops_platform_tests.training.bad_input import trained, usual

    looked = trained(usual(tmp_path / "looked"))
    monkeypatch.setattr(fit, "first_look", lambda *arguments: [])
    bare = trained(usual(tmp_path / "bare"))
    for name in ("weights.safetensors", "program.onnx", "curves.json", "training.json"):
        assert (looked / name).read_bytes() == (bare / name).read_bytes()


def test_the_first_fault_refuses_the_module_by_name() -> None:
    from mlops_platform.training.program.preflight import CHEAP, examine

    found = examine(subject(f"{UNSOUND}:Detached"), CHEAP)
    with pytest.raises(
        TrainingError, match=r"unsound:Detached: a gradient for every parameter(.|\n)*spare\.weight"
    ) as e:
        require_sound(f"{UNSOUND}:Detached", found)
    assert e.value.check == "module_is_sound"
    require_sound("any", [replace(finding, passed=True) for finding in found])


def test_findings_survive_their_json() -> None:
    import json

    from mlops_platform.training.program.preflight import CHEAP, examine

    found = tuple(examine(subject(f"{UNSOUND}:Detached"), CHEAP))
    assert read_soundness(json.dumps(soundness_json(found)).encode()) == found


def test_a_look_does_not_seed_a_gpu_that_is_used_only_later(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from mlops_platform.training.program.preflight import ALL, examine

    seeds: list[int] = []
    looked_at = subject("mlops_platform_tests.training.networks:Even")
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    assert all(finding.passed for finding in examine(looked_at, ALL)) and seeds == []
