"""What must hold of a dataset."""

from collections.abc import Iterable, Iterator
from datetime import datetime

import dagster as dg

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.station import Stations
from mlops_platform.spec import Model, Project

RAREST_CLASS = 0.01
HIGHEST_NULL_RATE = 0.5


def dataset_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    """No leak, no lost row, no overlap of parts (blocking); label balance and null rates."""
    key = dg.AssetKey([project.name, model.name, "dataset"])
    specs = [
        dg.AssetCheckSpec("rows_are_conserved", asset=key, blocking=True,
                          description="every example is in a part, or counted as unlabelled, purged or embargoed"),
        dg.AssetCheckSpec("parts_do_not_overlap", asset=key, blocking=True,
                          description="every label of a part was known before the next part began"),
        dg.AssetCheckSpec("nothing_leaks", asset=key, blocking=True,
                          description="changing all that became known after T changes no row at or before T"),
        dg.AssetCheckSpec("label_balance", asset=key, blocking=True,
                          description=f"the rarer class has at least {RAREST_CLASS:.0%} of every part"),
        dg.AssetCheckSpec("null_rates", asset=key,
                          description=f"no numeric input has more than {HIGHEST_NULL_RATE:.0%} nulls"),
    ]  # fmt: skip

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__{model.name}__dataset_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        artifact = stations.input(f"{project.name}/{model.name}/dataset")
        yield from _counts(key, artifact)
        yield _leak(project, model, key, artifact, stations)

    return checks


def _counts(key: dg.AssetKey, artifact: Artifact) -> Iterator[dg.AssetCheckResult]:
    import polars as pl

    content = artifact.manifest.content
    counted = content["rows"] + sum(content["unlabelled"].values()) + content["purged"] + content["embargoed"]
    yield dg.AssetCheckResult(
        check_name="rows_are_conserved", asset_key=key, passed=counted == content["examples"],
        metadata={"examples": content["examples"], "counted": counted, **content["unlabelled"]},
    )  # fmt: skip
    latest = {
        name: pl.scan_parquet(artifact.file(f"{name}.parquet"))
        .select(pl.col("label_known_timestamp").max())
        .collect()
        .item()
        for name in ("train", "validation")
    }
    starts = {"train": content["boundaries"]["validation_start"], "validation": content["holdout_start"]}
    fine = all(latest[name] < datetime.fromisoformat(starts[name]) for name in latest)
    yield dg.AssetCheckResult(
        check_name="parts_do_not_overlap", asset_key=key, passed=fine,
        metadata={name: f"last label known {at.isoformat()}, next from {starts[name]}" for name, at in latest.items()},
    )  # fmt: skip
    shares = {name: part["positive_share"] for name, part in content["parts"].items()}
    yield dg.AssetCheckResult(
        check_name="label_balance", asset_key=key,
        passed=all(RAREST_CLASS <= share <= 1 - RAREST_CLASS for share in shares.values()),
        metadata={f"positive_share_{name}": share for name, share in shares.items()},
    )  # fmt: skip
    worst = sorted(content["null_rates"].items(), key=lambda item: -item[1])
    yield dg.AssetCheckResult(
        check_name="null_rates", asset_key=key, passed=worst[0][1] <= HIGHEST_NULL_RATE,
        severity=dg.AssetCheckSeverity.WARN, metadata={f"null_rate_{name}": rate for name, rate in worst[:10]},
    )  # fmt: skip


def _leak(
    project: Project, model: Model, key: dg.AssetKey, artifact: Artifact, stations: Stations
) -> dg.AssetCheckResult:
    from mlops_platform.datasets.leak import remembered_report

    tables = [project.feature_table(name) for name in project.feature_columns(model)]
    raw = {table.source: stations.input(f"{project.name}/raw/{table.source}").manifest for table in tables}
    report = remembered_report(stations.home, project, model, artifact, raw)
    return dg.AssetCheckResult(
        check_name="nothing_leaks",
        asset_key=key,
        passed=not report["leaking"] and report["changed_facts"] > 0,
        metadata={
            "time_tried": report["at"],
            "rows_compared": report["rows"],
            "facts_changed": report["changed_facts"],
            "leaking_columns": dg.MetadataValue.json(report["leaking"]),
            "leaking_rows": dg.MetadataValue.json(report["examples"]),
            "columns_not_changed": dg.MetadataValue.json(report["unperturbed"]),
        },
    )
