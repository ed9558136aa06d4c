"""The tiniest real study: a space of the tiny shop's network, and what runs it through Dagster."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import OneOf, Tuning, Whole
from mlops_platform.training.tuning.assets import tuning_asset
from mlops_platform.training.tuning.checks import tuning_checks
from mlops_platform_tests.training.tiny import Shop, network, shop

HOPELESS = 1e-8
TUNING = Tuning(
    space={"learning_rate": OneOf((0.02, HOPELESS)), "parameters.hidden": Whole(2, 8)}, trials=6, startup_trials=2
)
STATION = "shop/sells/tuning"


def tuning_shop(folder: Path, tuning: Tuning = TUNING, name: str = "Tiny", **recipe: Any) -> Shop:
    """A shop whose model declares a tuning."""
    made = shop(folder, network(name, **recipe))
    return declared(made, tuning=tuning)


def declared(made: Shop, *, tuned: str | None = None, **changed: Any) -> Shop:
    """The same home under another declaration of its model."""
    (model,) = made.project.models
    model = replace(model, **changed)
    model = replace(model, network=replace(model.network, tuned=tuned))
    return replace(made, project=replace(made.project, models=(model,)))


def tune(made: Shop, **asked: float) -> dg.ExecuteInProcessResult:
    """Materializes the tuning station and its checks."""
    (model,) = made.project.models
    assert model.tuning is not None
    return dg.materialize(
        [tuning_asset(made.project, model, model.tuning), tuning_checks(made.project, model)],
        resources=made.resources, raise_on_error=False,
        run_config={"ops": {"shop__sells__tuning": {"config": asked}}} if asked else None,
    )  # fmt: skip


def tuning_of(made: Shop) -> Artifact:
    """What the station stands for."""
    return Refs(made.home).read(STATION)
