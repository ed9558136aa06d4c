"""What must hold of a candidate before it may answer: it is told online what it learned from."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from mlops_platform.monitoring.skew.figures import beyond_limit, live_said, rates_of, read_report, scores_agree
from mlops_platform.resources.station import Stations
from mlops_platform.spec import Model, Project


def skew_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    """Features and predictions agree (blocking); a network of sequences has its inputs compared and no predictions."""
    key = dg.AssetKey([project.name, model.name, "skew"])
    asked = model.skew
    whole = f"in at most {asked.max_mismatch:.2%} of the replayed rows" if asked.max_mismatch else "in no replayed row"
    specs = [
        dg.AssetCheckSpec("features_agree", asset=key, blocking=True,
                          description=f"a feature read online differs from the dataset's {whole}")
    ]  # fmt: skip
    if model.network.sequence is None:
        told = f"scores by the online path are those of the dataset's rows, to {asked.max_difference:g}"
        specs.append(dg.AssetCheckSpec("predictions_agree", asset=key, blocking=True, description=told))

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__{model.name}__skew_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        report = read_report(stations.input(f"{project.name}/{model.name}/skew"))
        yield _features(key, report)
        if model.network.sequence is None:
            yield _predictions(key, report)

    return checks


def live_skew_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    """What a day's live answers were told is what was known at their time (they warn: the answers are out)."""
    key = dg.AssetKey([project.name, model.name, "live_skew"])
    limit = f"no feature differs in more than {model.skew.live_mismatch:.2%} of a day's live answers"
    specs = [
        dg.AssetCheckSpec("live_features_agree", asset=key, description=limit),
        dg.AssetCheckSpec("no_live_value_is_wrong", asset=key,
                          description="every value that a live answer was told was one of the row at some time"),
    ]  # fmt: skip

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__{model.name}__live_skew_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        content = stations.input(f"{project.name}/{model.name}/live_skew").manifest.content
        figures = {"rows": content["rows"], "answers": content["answers"], **content["classes"]}
        for name, found in (("live_features_agree", content["beyond"]), ("no_live_value_is_wrong", content["wrong"])):
            yield dg.AssetCheckResult(
                check_name=name, asset_key=key, passed=not found, severity=dg.AssetCheckSeverity.WARN,
                description=f"{', '.join(found)}: {live_said(content)}" if found else None,
                metadata={**figures, **{f"found_{feature}": value for feature, value in found.items()}},
            )  # fmt: skip

    return checks


def _features(key: dg.AssetKey, report: Mapping[str, Any]) -> dg.AssetCheckResult:
    beyond = beyond_limit(report)
    examples = {each["name"]: each["example"] for each in report["features"] if each["name"] in beyond}
    figures = {"rows": report["rows"], "moments": report["moments"], "compared": len(rates_of(report)),
               "unseen_rate": report["unseen_rate"]}  # fmt: skip
    if not beyond:
        return dg.AssetCheckResult(check_name="features_agree", asset_key=key, passed=True, metadata=figures)
    told = ", ".join(f"{name} in {rate:.1%} of {report['rows']} rows" for name, rate in list(beyond.items())[:5])
    return dg.AssetCheckResult(
        check_name="features_agree", asset_key=key, passed=False,
        description=f"told otherwise online than in the dataset: {told}",
        metadata={**figures, **{f"rate_{name}": rate for name, rate in beyond.items()},
                  "examples": dg.MetadataValue.json(examples)},
    )  # fmt: skip


def _predictions(key: dg.AssetKey, report: Mapping[str, Any]) -> dg.AssetCheckResult:
    scores = report["scores"]
    compared, mismatched = scores["compared"], scores["mismatched"]
    passed = scores_agree(report)
    told = f"{mismatched} of {compared} scores differ by more than {report['max_difference']:g}"
    if not compared:
        told = f"nothing to compare: a policy answers all {scores['ruled']} replayed rows otherwise than training did"
    figures = {name: scores[name] for name in ("compared", "ruled", "mismatched", "largest", "mean")}
    example = {"example": dg.MetadataValue.json(scores["example"])} if scores["example"] else {}
    return dg.AssetCheckResult(
        check_name="predictions_agree", asset_key=key, passed=passed, description=None if passed else told,
        metadata={**{name: value for name, value in figures.items() if value is not None}, **example},
    )  # fmt: skip
