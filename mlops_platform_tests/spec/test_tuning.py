"""A tuning is refused where it cannot work, and leaves no trace in the recipe of a model that has none."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mlops_platform.errors import SpecError
from mlops_platform.spec import Between, Network, OneOf, Sequence, Tuning, Whole
from mlops_platform_tests.lineage.pumps.project import MODEL

BY_PUMP = Sequence(entity=("pump",))
DIGEST = "sha256:" + "a" * 64
RATE = {"learning_rate": Between(1e-4, 1e-1, log=True)}


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Between(1.0, 1.0), "Between.low"),
        (lambda: Between(0.0, 1.0, log=True), "Between.low"),
        (lambda: Between(0.0, float("inf")), "Between.high"),
        (lambda: Whole(1, 2.5), "Whole.high"),  # type: ignore[arg-type]
        (lambda: Whole(True, 3), "Whole.low"),
        (lambda: OneOf((1,)), "OneOf.values"),
        (lambda: OneOf((1, 1)), "OneOf.values"),
        (lambda: OneOf((None, 1)), "OneOf.values"),  # type: ignore[arg-type]
        (lambda: OneOf("ab"), "OneOf.values"),  # type: ignore[arg-type]
        (lambda: Tuning(space={}), "Tuning.space"),
        (lambda: Tuning(space={"seed": Whole(0, 9)}), "Tuning.space[seed]"),
        (lambda: Tuning(space={"width": Whole(1, 9)}), "Tuning.space[width]"),
        (lambda: Tuning(space={"parameters.": Whole(1, 9)}), "Tuning.space[parameters.]"),
        (lambda: Tuning(space={"epochs": Between(1, 9)}), "Tuning.space[epochs]"),
        (lambda: Tuning(space={"batch_size": OneOf((16.0, 32))}), "Tuning.space[batch_size]"),
        (lambda: Tuning(space={"learning_rate": OneOf(("a", "b"))}), "Tuning.space[learning_rate]"),
        (lambda: Tuning(space={"learning_rate": (0, 1)}), "Tuning.space[learning_rate]"),  # type: ignore[dict-item]
        (lambda: Tuning(space=RATE, trials=0), "Tuning.trials"),
        (lambda: Tuning(space=RATE, parallel=0), "Tuning.parallel"),
        (lambda: Tuning(space=RATE, sampler="grid"), "Tuning.sampler"),  # type: ignore[arg-type]
        (lambda: Tuning(space=RATE, pruner="best"), "Tuning.pruner"),  # type: ignore[arg-type]
        (lambda: replace(MODEL, tuning=Tuning(space={"epochs": Whole(0, 3)})), "Network.epochs"),
        (lambda: replace(MODEL, tuning=Tuning(space={"learning_rate": Between(-1, 1)})), "Network.learning_rate"),
        (lambda: replace(MODEL, tuning=Tuning(space={"parameters.depth": RATE["learning_rate"]})),
         "Tuning.space[parameters.depth]"),
        (lambda: replace(MODEL, network=replace(MODEL.network, tuned="latest")), "Model(pump_repair).network.tuned"),
        (lambda: Tuning(space={"batch_size": Whole(1, 9)}).require_fits(replace(MODEL.network, sequence=BY_PUMP)),
         "Tuning.space[batch_size]"),
        (lambda: replace(MODEL.network, tuned="best"), "Network.tuned"),
        (lambda: replace(MODEL.network, tuned=True), "Network.tuned"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_by_its_field(make: Callable[[], object], field: str) -> None:
    with pytest.raises(SpecError) as refused:
        make()
    assert refused.value.field == field


def test_a_network_takes_values_by_their_names() -> None:
    network = replace(MODEL.network, tuned=DIGEST)
    taken = network.with_values({"learning_rate": 0.5, "parameters.width": 4})
    assert (taken.learning_rate, taken.parameters, taken.tuned) == (0.5, {"width": 4}, None)
    assert (network.value("parameters.width"), network.value("parameters.other"), network.value("epochs")) == (
        16,
        None,
        40,
    )


def test_the_declared_values_of_a_space_are_those_it_holds() -> None:
    space = {"learning_rate": Between(0.01, 0.1), "epochs": OneOf((2, 4)), "parameters.width": Whole(2, 20)}
    tuning = Tuning(space=space)
    assert tuning.declared(MODEL.network) == {"learning_rate": 0.03, "parameters.width": 16}
    # What the declaration leaves to the module is the module's own default.
    bare = replace(MODEL.network, parameters={})
    assert tuning.declared(bare)["parameters.width"] == 8


def test_a_space_holds_what_is_of_its_kind() -> None:
    assert Between(0, 1).holds(1) and Between(0, 1).holds(0.5) and not Between(0, 1).holds(True)
    assert Whole(1, 3).holds(2) and not Whole(1, 3).holds(2.0)
    assert OneOf((True, "a")).holds(True) and not OneOf((True, "a")).holds(1)


def test_recipes_tell_of_a_tuning_only_by_its_values() -> None:
    plain, pointing = MODEL.network, replace(MODEL.network, tuned=DIGEST)
    assert plain.recipe() == pointing.recipe() and "tuned" not in plain.recipe()
    fast, slow = (Tuning(space=RATE, parallel=each, trials=each) for each in (4, 1))
    assert fast.recipe() == slow.recipe() != replace(slow, seed=1).recipe()


def test_a_module_of_open_keywords_takes_any_parameter() -> None:
    network = Network(module="mlops_platform_tests.training.networks:Slow")
    Tuning(space={"parameters.anything": Whole(1, 2)}).require_fits(network)
