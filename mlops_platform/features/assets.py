"""Feature tables, the Feast registry and the online store as Dagster assets."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import Field

from mlops_platform.manifest import TableRef
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import LAST, follows_data
from mlops_platform.resources.locks import exclusive
from mlops_platform.resources.station import Made, Stations, table_schema
from mlops_platform.spec import FeatureTable, Project

if TYPE_CHECKING:
    from mlops_platform.features.compute import Computed


class Rebuild(dg.Config):
    """Months of a feature table to compute again from the raw rows, though nothing behind them changed.

    Attributes:
        rebuild_from, rebuild_to: First and last month, YYYY-MM; both empty for none.
    """

    rebuild_from: str = Field("", description="first month to compute again, YYYY-MM ('all' for a table in one piece)")
    rebuild_to: str = Field("", description="last month to compute again, YYYY-MM")


def feature_table_asset(project: Project, table: FeatureTable) -> dg.AssetsDefinition:
    """One feature table, computed from one raw table."""

    @dg.asset(
        key=[project.name, "features", table.name],
        deps=[[project.name, "raw", table.source]],
        group_name="features",
        owners=[project.owner],
        kinds={"polars", "deltalake"},
        automation_condition=follows_data(),
        description=f"Feature table {table.name}: {table.description or 'computed from ' + table.source}.",
    )
    def feature_table(context: dg.AssetExecutionContext, config: Rebuild, stations: Stations) -> dg.MaterializeResult:
        from mlops_platform.features.compute import compute_table, partition_names
        from mlops_platform.features.rebuild import months_asked
        from mlops_platform.resources.delta import DeltaDoor
        from mlops_platform.resources.source_code import closure, resolve

        home = stations.home
        raw = stations.input(f"{project.name}/raw/{table.source}")
        door = DeltaDoor(home.feature_table(project.name, table.name))
        code = ("mlops_platform.features.compute:compute_table", table.compute)
        months = partition_names(table, raw.manifest.delta.partitions)
        again = months_asked(table, months, config.rebuild_from, config.rebuild_to)
        outcome: list[Computed] = []

        def work(_: Path) -> Made:
            rows = DeltaDoor(home.root / raw.manifest.delta.path).scan(raw.manifest.delta.version)
            with exclusive(home, f"{project.name}.{table.name}.features"):
                made = compute_table(
                    table, resolve(table.compute), rows, raw.manifest.delta.partitions, closure(*code).digest, door,
                    again=again,
                )  # fmt: skip
                # While nobody else may write: the next writer's version is not what these rows gave.
                ref = door.ref(home)
            outcome.append(made)
            _log(context, table, made)
            measured = {"computed": list(made.computed), "kept": list(made.kept), "rebuilt": list(made.rebuilt),
                        "differing": list(made.differing)}  # fmt: skip
            return Made(content={"rows": made.rows}, measured=measured, table=ref)

        return stations.make(
            context,
            kind="features",
            code=code,
            config={
                "columns": [repr(column) for column in table.columns],
                "keys": list(table.keys),
                "lookback": table.lookback,
                "partition": table.partition,
            },
            inputs={table.source: raw.manifest.digest},
            work=work,
            show=lambda artifact: {**_show(table, artifact), **_show_rebuilt(outcome)},
            redo=f"a rebuild of {again[0]} to {again[-1]} was asked for" if again else False,
        )

    return feature_table


def _log(context: dg.AssetExecutionContext, table: FeatureTable, made: "Computed") -> None:
    context.log.info(f"{table.name}: computed {list(made.computed)}, kept {list(made.kept)}")
    if made.differing:
        context.log.warning(
            f"{table.name}: {made.said}. The same rows, code and declaration gave other features: "
            f"{table.compute} has a source of randomness"
        )
    elif made.rebuilt:
        context.log.info(f"{table.name}: {made.said}")


def feast_registry_asset(project: Project) -> dg.AssetsDefinition:
    """The project's Feast repository, applied."""

    @dg.asset(
        key=[project.name, "feast", "registry"],
        group_name="features",
        owners=[project.owner],
        kinds={"feast"},
        description="Feast's registry: entities, feature views and services of the feature repository, applied.",
    )
    def registry(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        from mlops_platform.manifest import digest_bytes
        from mlops_platform.resources.feast import FeastDoor, table_facts

        door = FeastDoor(stations.home, project)
        repo = Path(project.feature_repo)
        sources = {p.name: digest_bytes(p.read_bytes()) for p in sorted([*repo.glob("*.py"), *repo.glob("*.yaml")])}
        return stations.make(
            context,
            kind="registry",
            code=("mlops_platform.resources.feast:FeastDoor",),
            config={"views": {table.name: table_facts(table) for table in project.feature_tables}},
            inputs=sources,
            work=lambda _: Made(content={"objects": door.apply()}),
            redo=not door.applied,
            outside=True,
            show=lambda artifact: {"objects": len(artifact.manifest.content["objects"])},
        )

    return registry


def online_asset(project: Project) -> dg.AssetsDefinition:
    """The newest row of every key of every feature table, in Feast's online store."""

    @dg.asset(
        key=[project.name, "feast", "online"],
        deps=[
            [project.name, "feast", "registry"],
            *([project.name, "features", table.name] for table in project.feature_tables),
        ],
        group_name="features",
        owners=[project.owner],
        kinds={"feast", "sqlite"},
        automation_condition=follows_data(),
        op_tags=LAST,
        description="Feast's online store: the newest feature row of every key.",
    )
    def online(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        from mlops_platform.features.online import bring_online
        from mlops_platform.resources.feast import FeastDoor
        from mlops_platform.resources.online import OnlineDoor

        door = OnlineDoor(stations.home, project)
        tables = {t.name: stations.input(f"{project.name}/features/{t.name}") for t in project.feature_tables}
        registry = stations.input(f"{project.name}/feast/registry")
        refs: dict[str, TableRef] = {name: found.manifest.delta for name, found in tables.items()}
        digests = {name: found.manifest.digest for name, found in tables.items()}
        return stations.make(
            context,
            kind="online",
            code=("mlops_platform.features.online:bring_online",),
            config={"views": sorted(tables), "store": door.identity},
            inputs={**digests, "registry": registry.manifest.digest},
            redo=not door.there,
            outside=True,
            work=lambda _: Made(content=bring_online(FeastDoor(stations.home, project), refs, digests)),
        )

    return online


def _show_rebuilt(outcome: list["Computed"]) -> dict[str, object]:
    """What a rebuild came to; an artifact of equal bytes keeps the manifest of its first making, which cannot say."""
    if not outcome or not outcome[0].rebuilt:
        return {}
    (made,) = outcome
    shown: dict[str, object] = {"rebuilt": made.said, "rebuilt_months": dg.MetadataValue.json(list(made.rebuilt))}
    return {**shown, "different_months": dg.MetadataValue.json(list(made.differing))} if made.differing else shown


def _show(table: FeatureTable, artifact: Artifact) -> dict[str, object]:
    key_columns = [(key, "string", "entity key") for key in table.keys]
    times = [("event_timestamp", "timestamp", "when it was true, UTC"),
             ("known_timestamp", "timestamp", "when we could know it, UTC")]  # fmt: skip
    features = [(column.name, column.dtype, "") for column in table.columns]
    measured = artifact.manifest.produced.measured
    return {
        "partitions": len(artifact.manifest.delta.partitions),
        "computed_last": dg.MetadataValue.json(list(measured["computed"])),
        **table_schema(key_columns + times + features),
    }
