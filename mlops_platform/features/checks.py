"""What must hold of a feature table."""

from collections.abc import Iterable

import dagster as dg

from mlops_platform.resources.station import Stations
from mlops_platform.spec import FeatureTable, Project


def feature_table_checks(project: Project, table: FeatureTable) -> dg.AssetChecksDefinition:
    """Both times present and in order, one row a key and time (blocking); null rates."""
    key = dg.AssetKey([project.name, "features", table.name])
    specs = [
        dg.AssetCheckSpec("times_are_sound", asset=key, blocking=True,
                          description="both timestamps are present and nothing is known before it is true"),
        dg.AssetCheckSpec("rows_are_unique", asset=key, blocking=True,
                          description="one row for each key, event timestamp and known timestamp"),
        dg.AssetCheckSpec("null_rates", asset=key,
                          description=f"no column has more than {table.highest_null_rate:.0%} nulls"),
    ]  # fmt: skip

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__features__{table.name}_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        import polars as pl

        from mlops_platform.resources.delta import DeltaDoor

        ref = stations.input(f"{project.name}/features/{table.name}").manifest.delta
        rows = DeltaDoor(stations.home.root / ref.path).scan(ref.version)
        identity = [*table.keys, "event_timestamp", "known_timestamp"]
        event, known = pl.col("event_timestamp"), pl.col("known_timestamp")
        names = [column.name for column in table.columns]
        found = rows.select(
            pl.len().alias("rows"), unsound=(event.is_null() | known.is_null() | (known < event)).sum(),
            repeated=pl.len() - pl.struct(identity).n_unique(),
            **{f"null_{name}": pl.col(name).is_null().mean() for name in names},
        ).collect().row(0, named=True)  # fmt: skip
        yield dg.AssetCheckResult(check_name="times_are_sound", asset_key=key, passed=found["unsound"] == 0,
                                  metadata={"rows": found["rows"], "unsound_rows": found["unsound"]})  # fmt: skip
        yield dg.AssetCheckResult(check_name="rows_are_unique", asset_key=key, passed=found["repeated"] == 0,
                                  metadata={"rows": found["rows"], "repeated_rows": found["repeated"]})  # fmt: skip
        rates = {name: found[f"null_{name}"] or 0.0 for name in names}
        yield dg.AssetCheckResult(
            check_name="null_rates", asset_key=key, passed=max(rates.values()) <= table.highest_null_rate,
            severity=dg.AssetCheckSeverity.WARN, metadata={f"null_rate_{name}": rate for name, rate in rates.items()},
        )  # fmt: skip

    return checks


def registry_checks(project: Project) -> dg.AssetChecksDefinition:
    """What Feast has registered is what was declared (blocking)."""
    key = dg.AssetKey([project.name, "feast", "registry"])
    spec = dg.AssetCheckSpec(
        "views_are_registered",
        asset=key,
        blocking=True,
        description="every declared view and service is in the registry",
    )

    @dg.multi_asset_check(specs=[spec], name=f"{project.name}__feast__registry_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        registry = stations.input(f"{project.name}/feast/registry").manifest
        present = (stations.home.feast / "registry.db").is_file()
        found = {name.partition(":")[2] for name in registry.content["objects"]} if present else set()
        wanted = {table.name for table in project.feature_tables} | {m.feature_service for m in project.models}
        yield dg.AssetCheckResult(
            check_name=spec.name,
            asset_key=key,
            passed=wanted <= found,
            metadata={"registered": sorted(found), "missing": sorted(wanted - found)},
        )

    return checks


def online_checks(project: Project) -> dg.AssetChecksDefinition:
    """The online store answers with the newest offline rows."""
    key = dg.AssetKey([project.name, "feast", "online"])
    spec = dg.AssetCheckSpec(
        "online_equals_offline", asset=key, description="for keys of each view, both stores give the same values"
    )

    @dg.multi_asset_check(specs=[spec], name=f"{project.name}__feast__online_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        # Compared when the rows were brought online: importing Feast takes seconds.
        content = stations.input(f"{project.name}/feast/online").manifest.content
        different = content["different"]
        yield dg.AssetCheckResult(
            check_name=spec.name,
            asset_key=key,
            passed=not different,
            metadata={"views": len(content["newest"]), "different": dg.MetadataValue.json(different)},
        )

    return checks
