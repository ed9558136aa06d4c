"""What must hold of a dataset."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import dagster as dg

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.station import Stations
from mlops_platform.spec import Forecast, Model, Project

RAREST_CLASS = 0.01
FEWEST_KNOWN = 0.1
HIGHEST_NULL_RATE = 0.5


def dataset_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    """No leak, no lost row, no overlap of parts (blocking); labels and null rates."""
    key = dg.AssetKey([project.name, model.name, "dataset"])
    specs = [
        dg.AssetCheckSpec("rows_are_conserved", asset=key, blocking=True,
                          description="every example is in a part, or counted as unlabelled, purged or embargoed"),
        dg.AssetCheckSpec("parts_do_not_overlap", asset=key, blocking=True,
                          description="every label of a part was known before the next part began"),
        dg.AssetCheckSpec("nothing_leaks", asset=key, blocking=True,
                          description="changing all that became known after T changes no row at or before T"),
        _label_spec(model, key),
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
    yield _labels(key, content["parts"])
    worst = sorted(content["null_rates"].items(), key=lambda item: -item[1])
    yield dg.AssetCheckResult(
        check_name="null_rates", asset_key=key, passed=worst[0][1] <= HIGHEST_NULL_RATE,
        severity=dg.AssetCheckSeverity.WARN, metadata={f"null_rate_{name}": rate for name, rate in worst[:10]},
    )  # fmt: skip


def _label_spec(model: Model, key: dg.AssetKey) -> dg.AssetCheckSpec:
    if isinstance(model.task, Forecast):
        told = f"at least {FEWEST_KNOWN:.0%} of the labels' steps are known in every part"
        return dg.AssetCheckSpec("labels_are_known", asset=key, blocking=True, description=told)
    return dg.AssetCheckSpec("label_balance", asset=key, blocking=True,
                             description=f"the rarer class has at least {RAREST_CLASS:.0%} of every part")  # fmt: skip


def _labels(key: dg.AssetKey, parts: Mapping[str, Mapping[str, float]]) -> dg.AssetCheckResult:
    """Of a forecast how much is known, else whether one class is too rare."""
    forecast = "known_share" in parts["train"]
    share = "known_share" if forecast else "positive_share"
    least, most = (FEWEST_KNOWN, 1.0) if forecast else (RAREST_CLASS, 1 - RAREST_CLASS)
    shares = {name: part[share] for name, part in parts.items()}
    return dg.AssetCheckResult(
        check_name="labels_are_known" if forecast else "label_balance", asset_key=key,
        passed=all(least <= value <= most for value in shares.values()),
        metadata={f"{share}_{name}": value for name, value in shares.items()},
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
