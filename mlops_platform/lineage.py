"""How a declaration becomes stations, in flow order.

    raw tables -> feature tables -> dataset -> checkpoint -> evaluation -> gate
                     |                                          |           |
                     +-> registry, online store          registered model -> champion -> predictions

``build_definitions(project)`` is the whole contract of reuse.
"""

from collections.abc import Iterator

import dagster as dg

from mlops_platform.datasets.assets import dataset_asset
from mlops_platform.datasets.checks import dataset_checks
from mlops_platform.evaluation.assets import evaluation_asset, gate_asset
from mlops_platform.evaluation.checks import evaluation_checks
from mlops_platform.features.assets import feast_registry_asset, feature_table_asset, online_asset
from mlops_platform.features.checks import feature_table_checks, online_checks, registry_checks
from mlops_platform.registry.assets import champion_asset, registered_model_asset, rollback_job
from mlops_platform.registry.checks import model_registry_checks
from mlops_platform.registry.events import promotion_tellers
from mlops_platform.resources.compute import ComputeResource
from mlops_platform.resources.mlflow import MlflowResource
from mlops_platform.resources.notifications import notifications_sensor
from mlops_platform.resources.reaper import PROJECT as TAG_OF_PROJECT
from mlops_platform.resources.reaper import reaper_sensor
from mlops_platform.resources.station import Stations
from mlops_platform.serving.assets import predictions_asset
from mlops_platform.serving.checks import predictions_checks
from mlops_platform.sources.assets import raw_table_asset
from mlops_platform.sources.checks import raw_table_checks
from mlops_platform.sources.events import quarantine_tellers
from mlops_platform.sources.sensors import landing_sensor
from mlops_platform.spec import Model, Project
from mlops_platform.training.assets import checkpoint_asset
from mlops_platform.training.checks import checkpoint_checks

TELLERS = (quarantine_tellers, promotion_tellers)
"""The records of the rooms of which notifications tell."""


def build_definitions(project: Project) -> dg.Definitions:
    """The lineage graph of a project: its assets, checks, jobs and resources.

    Args:
        project: The declaration.

    Returns:
        Definitions for a Dagster code location.
    """
    assets = [*table_assets(project), *(asset for model in project.models for asset in model_assets(project, model))]
    checks = [*table_checks(project), *(check for model in project.models for check in model_checks(project, model))]
    mlflow = MlflowResource()
    everything = f"{project.name}_everything"
    job = dg.define_asset_job(
        everything,
        description="The whole graph, from landing to predictions.",
        tags={TAG_OF_PROJECT: project.name},
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=[job, rollback_job(project)],
        sensors=[
            landing_sensor(project, everything),
            reaper_sensor(project, everything, mlflow),
            notifications_sensor(project, TELLERS),
        ],
        resources={"stations": Stations(mlflow=mlflow), "mlflow": mlflow, "compute": ComputeResource()},
        executor=dg.in_process_executor,
    )


def table_assets(project: Project) -> Iterator[dg.AssetsDefinition]:
    """Raw tables, feature tables, Feast's registry and online store."""
    yield from (raw_table_asset(project, table) for table in project.raw_tables)
    yield from (feature_table_asset(project, table) for table in project.feature_tables)
    yield feast_registry_asset(project)
    yield online_asset(project)


def model_assets(project: Project, model: Model) -> Iterator[dg.AssetsDefinition]:
    """One model's stations."""
    yield dataset_asset(project, model)
    yield checkpoint_asset(project, model)
    yield evaluation_asset(project, model)
    yield gate_asset(project, model)
    yield registered_model_asset(project, model)
    yield champion_asset(project, model)
    yield predictions_asset(project, model)


def table_checks(project: Project) -> Iterator[dg.AssetChecksDefinition]:
    """What must hold of tables."""
    yield from (raw_table_checks(project, table) for table in project.raw_tables)
    yield from (feature_table_checks(project, table) for table in project.feature_tables)
    yield registry_checks(project)
    yield online_checks(project)


def model_checks(project: Project, model: Model) -> Iterator[dg.AssetChecksDefinition]:
    """What must hold of one model's stations."""
    yield dataset_checks(project, model)
    yield checkpoint_checks(project, model)
    yield from _many(evaluation_checks(project, model))
    yield from model_registry_checks(project, model)
    yield predictions_checks(project, model)


def _many(checks: dg.AssetChecksDefinition | list[dg.AssetChecksDefinition]) -> list[dg.AssetChecksDefinition]:
    return checks if isinstance(checks, list) else [checks]
