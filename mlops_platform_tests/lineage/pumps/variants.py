"""The pumps, trained for longer or shorter and under other gates: a ladder of ever better versions."""

from dataclasses import replace

from mlops_platform.spec import OneOf, Project, Rollout, Serving, Tuning
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT


def trained(epochs: int, **gate: object) -> Project:
    """The pumps, trained for so many epochs, with this gate."""
    changed = {"network": replace(MODEL.network, epochs=epochs), "gate": replace(MODEL.gate, **gate)}  # type: ignore[arg-type]
    return replace(PROJECT, models=(replace(MODEL, **changed),))  # type: ignore[arg-type]


POOR, BETTER = trained(2), trained(4)
"""Each next one beats the one before by the gate; so does ``trained(8)``."""


def tuned(which: str | None = None) -> Project:
    """``BETTER``, of a model that may be tuned to something better still; it points to a tuning, or to none."""
    (model,) = BETTER.models
    return replace(BETTER, models=(replace(model, network=replace(model.network, tuned=which), tuning=TUNING),))


TUNING = Tuning(space={"learning_rate": OneOf((0.03, 1e-6)), "epochs": OneOf((8, 12))}, trials=3)
TUNABLE = tuned()


def rolling(epochs: int, **rollout: object) -> Project:
    """The pumps, trained for so many epochs; what passes meets live traffic, and is judged on few rows of few days."""
    (model,) = trained(epochs).models
    judged = Rollout(**{"min_rows": 8, "min_days": 3, "margin": 0.05, **rollout})  # type: ignore[arg-type]
    return replace(PROJECT, models=(replace(model, serving=Serving(rollout=judged)),))
