"""How a declaration becomes stations, in flow order.

    raw tables -> feature tables -> dataset -> checkpoint -> evaluation -> gate
                     |                             |            |           |
                     |                             +-> skew     |           |
                     |                                   |      |           |
                     +-> registry, online store          |   registered model -> champion -> predictions -> monitoring
                                                         +----------------------+                               |
                                                                     retrain decision, on which a sensor acts

``build_definitions(project)`` is the whole contract of reuse. What moves by itself: files that land ask for a data run
(all but training), whatever else changes is followed as the stations' conditions say, and a retrain decision that says
yes asks for the model's training run. Where a model declares rollouts, a challenger that passed the gate meets live
traffic beside the champion; a station judges it as labels arrive, and another writes what follows into the history.
"""

from collections.abc import Iterable, Iterator

import dagster as dg

from mlops_platform.datasets.assets import dataset_asset
from mlops_platform.datasets.checks import dataset_checks
from mlops_platform.evaluation.assets import evaluation_asset, gate_asset
from mlops_platform.evaluation.checks import evaluation_checks
from mlops_platform.features.assets import feast_registry_asset, feature_table_asset, online_asset
from mlops_platform.features.checks import feature_table_checks, online_checks, registry_checks
from mlops_platform.monitoring.assets import monitoring_asset
from mlops_platform.monitoring.checks import monitoring_checks
from mlops_platform.monitoring.rollout.assets import rollout_asset
from mlops_platform.monitoring.rollout.events import judge_tellers
from mlops_platform.monitoring.rollout.sensors import rollout_sensor
from mlops_platform.monitoring.skew.assets import live_skew_asset, skew_asset
from mlops_platform.monitoring.skew.checks import live_skew_checks, skew_checks
from mlops_platform.monitoring.skew.events import skew_tellers
from mlops_platform.registry.assets import champion_asset, registered_model_asset, rollback_job
from mlops_platform.registry.checks import model_registry_checks
from mlops_platform.registry.events import promotion_tellers
from mlops_platform.registry.rollout.assets import rollout_decision_asset
from mlops_platform.registry.sensors import champion_sensor
from mlops_platform.resources.automation import PROJECT, TABLES, TRAINS, Job, Launch, automation_sensor
from mlops_platform.resources.compute import ComputeResource
from mlops_platform.resources.mlflow import MlflowResource
from mlops_platform.resources.notifications import notifications_sensor
from mlops_platform.resources.reaper import reaper_sensor
from mlops_platform.resources.station import Stations
from mlops_platform.retraining.assets import retrain_decision_asset
from mlops_platform.retraining.checks import retraining_checks
from mlops_platform.retraining.sensors import retraining_sensor
from mlops_platform.serving.assets import predictions_asset
from mlops_platform.serving.checks import predictions_checks
from mlops_platform.serving.events import refusal_tellers
from mlops_platform.sources.assets import raw_table_asset
from mlops_platform.sources.checks import raw_table_checks
from mlops_platform.sources.events import quarantine_tellers
from mlops_platform.sources.sensors import landing_sensor
from mlops_platform.spec import Model, Project
from mlops_platform.training.assets import checkpoint_asset
from mlops_platform.training.checks import checkpoint_checks
from mlops_platform.training.tuning.assets import tuning_asset
from mlops_platform.training.tuning.checks import tuning_checks

TELLERS = (quarantine_tellers, promotion_tellers, judge_tellers, refusal_tellers, skew_tellers)
"""The records of the rooms of which notifications tell."""


def build_definitions(project: Project) -> dg.Definitions:
    """The lineage graph of a project: its assets, checks, jobs and resources.

    Args:
        project: The declaration.

    Returns:
        Definitions for a Dagster code location.
    """
    checks = [*table_checks(project), *(check for model in project.models for check in model_checks(project, model))]
    mlflow = MlflowResource()
    data, training = data_job(project), {model.name: training_job(project, model) for model in project.models}
    jobs = [everything_job(project), data.job, *(launch.job for launch in training.values())]
    return dg.Definitions(
        assets=_assets(project),
        asset_checks=checks,
        jobs=[*jobs, rollback_job(project)],
        sensors=[
            landing_sensor(project, data),
            automation_sensor(project),
            retraining_sensor(project, data, training),
            champion_sensor(project, training),
            *([rollout_sensor(project, data)] if any(m.serving.rollout for m in project.models) else []),
            reaper_sensor(project, jobs, mlflow),
            notifications_sensor(project, TELLERS),
        ],
        resources={"stations": Stations(mlflow=mlflow), "mlflow": mlflow, "compute": ComputeResource()},
        executor=dg.in_process_executor,
    )


def everything_job(project: Project) -> Job:
    """The whole graph, training included, whatever the policies say: what a person asks for."""
    return dg.define_asset_job(
        f"{project.name}_everything",
        description="The whole graph, from landing to retrain decisions; trains whatever the policies say.",
        tags={PROJECT: project.name, TABLES: project.name},
    )


def data_job(project: Project) -> Launch:
    """What follows new data at once, in one run: all but training and what is about a newly trained model."""
    every = [key for asset in _assets(project) for key in asset.keys]
    trained = {key for model in project.models for key in _keys(project, model, [*TRAINED, ASKED, ONCE_A_DAY])}
    keys = [key for key in every if key not in trained]
    job = dg.define_asset_job(
        f"{project.name}_data",
        selection=dg.AssetSelection.assets(*keys),
        description="Raw tables and what follows them at once; whether to train is decided, and not done.",
        tags={PROJECT: project.name, TABLES: project.name},
    )
    return Launch(job, keys)


def training_job(project: Project, model: Model) -> Launch:
    """Trains a model on its newest dataset, judges it, and makes it champion if it is better."""
    decided = ["retrain_decision"] if model.retraining is not None else []
    judged = ROLLOUT if model.serving.rollout is not None else ()
    keys = _keys(project, model, [*TRAINED, *FOLLOWING, *judged, *decided])
    job = dg.define_asset_job(
        f"{project.name}_{model.name}_training",
        selection=dg.AssetSelection.assets(*keys),
        description=f"Trains {model.name} on its newest dataset, judges it and promotes it if it is better.",
        tags={PROJECT: project.name, TRAINS: f"{project.name}/{model.name}"},
    )
    return Launch(job, keys)


TRAINED = ("checkpoint", "evaluation", "gate", "skew", "registered_model", "champion")
"""Stations that are about a newly trained model."""
ASKED = "tuning"
"""The station that works only when a person asks for it, whatever a run contains."""
ONCE_A_DAY = "live_skew"
"""The station that looks back at a day, and follows no delivery."""
FOLLOWING = ("predictions", "monitoring")
"""Stations that a training run brings up to date for the model that is live after it."""
ROLLOUT = ("rollout", "rollout_decision")
"""Stations of a model that declares rollouts: the judge, and what follows from its finding."""


def _assets(project: Project) -> list[dg.AssetsDefinition]:
    return [*table_assets(project), *(asset for model in project.models for asset in model_assets(project, model))]


def _keys(project: Project, model: Model, stations: Iterable[str]) -> list[dg.AssetKey]:
    return [dg.AssetKey([project.name, model.name, station]) for station in stations]


def table_assets(project: Project) -> Iterator[dg.AssetsDefinition]:
    """Raw tables, feature tables, Feast's registry and online store."""
    yield from (raw_table_asset(project, table) for table in project.raw_tables)
    yield from (feature_table_asset(project, table) for table in project.feature_tables)
    yield feast_registry_asset(project)
    yield online_asset(project)


def model_assets(project: Project, model: Model) -> Iterator[dg.AssetsDefinition]:
    """One model's stations."""
    yield dataset_asset(project, model)
    if model.tuning is not None:
        yield tuning_asset(project, model, model.tuning)
    yield checkpoint_asset(project, model)
    yield evaluation_asset(project, model)
    yield gate_asset(project, model)
    yield skew_asset(project, model)
    yield registered_model_asset(project, model)
    yield champion_asset(project, model)
    yield predictions_asset(project, model)
    yield monitoring_asset(project, model)
    yield live_skew_asset(project, model)
    if model.serving.rollout is not None:
        yield rollout_asset(project, model, model.serving.rollout)
        yield rollout_decision_asset(project, model)
    if model.retraining is not None:
        yield retrain_decision_asset(project, model)


def table_checks(project: Project) -> Iterator[dg.AssetChecksDefinition]:
    """What must hold of tables."""
    yield from (raw_table_checks(project, table) for table in project.raw_tables)
    yield from (feature_table_checks(project, table) for table in project.feature_tables)
    yield registry_checks(project)
    yield online_checks(project)


def model_checks(project: Project, model: Model) -> Iterator[dg.AssetChecksDefinition]:
    """What must hold of one model's stations."""
    yield dataset_checks(project, model)
    if model.tuning is not None:
        yield tuning_checks(project, model)
    yield checkpoint_checks(project, model)
    yield from _many(evaluation_checks(project, model))
    yield skew_checks(project, model)
    yield from model_registry_checks(project, model)
    yield predictions_checks(project, model)
    yield monitoring_checks(project, model)
    yield live_skew_checks(project, model)
    if model.retraining is not None:
        yield retraining_checks(project, model)


def _many(checks: dg.AssetChecksDefinition | list[dg.AssetChecksDefinition]) -> list[dg.AssetChecksDefinition]:
    return checks if isinstance(checks, list) else [checks]
