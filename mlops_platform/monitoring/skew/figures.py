"""What a skew report shows to people; light to load, since a report that is taken is shown as well."""

import json
from collections.abc import Mapping
from typing import Any

from mlops_platform.resources.artifacts import Artifact

REPORT, PICTURE = "skew.json", "skew.png"
LIVE = "live_skew.json"


def read_report(artifact: Artifact) -> dict[str, Any]:
    """The report of a skew report's artifact."""
    report: dict[str, Any] = json.loads(artifact.file(REPORT).read_bytes())
    return report


def rates_of(report: Mapping[str, Any]) -> dict[str, float]:
    """Share of the replayed rows in which each feature differs, or another input of the program is coded otherwise."""
    every = [*report["inputs"], *report["features"]]
    return {each["name"]: each["mismatched"] / each["rows"] for each in every}


def beyond_limit(report: Mapping[str, Any]) -> dict[str, float]:
    """Those of ``rates_of`` above what the model allows, the highest first."""
    rates = sorted(rates_of(report).items(), key=lambda item: -item[1])
    return {name: rate for name, rate in rates if rate > report["max_mismatch"]}


def scores_agree(report: Mapping[str, Any]) -> bool:
    """Whether no more scores differ than the model allows, and any were compared where the program can be asked."""
    scores = report["scores"]
    if scores is None:
        return True
    return scores["compared"] > 0 and scores["mismatched"] / scores["compared"] <= report["max_mismatch"]


def feature_table(report: Mapping[str, Any]) -> str:
    """Markdown: a row for each feature, those that differ most first, then each other input that is coded otherwise."""
    inputs = {each["name"]: each for each in report["inputs"]}
    lines = ["| feature | rows | differ | at most | largest difference | as the program's input |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for each in sorted(report["features"], key=lambda each: -each["rate"]):
        coded = inputs.pop(each["name"], None)
        told = (each["name"], each["rows"], f"{each['rate']:.2%}", f"{each['upper']:.2%}", _number(each["largest"]),
                "not read" if coded is None else _share(coded))  # fmt: skip
        lines.append("| " + " | ".join(str(value) for value in told) + " |")
    others = [each for each in inputs.values() if each["mismatched"]]
    lines += [f"| {each['name']} | {each['rows']} | | | | {_share(each)} |" for each in others]
    return "\n".join(lines)


def read_live_report(artifact: Artifact) -> dict[str, Any]:
    """The report of a live skew report's artifact."""
    report: dict[str, Any] = json.loads(artifact.file(LIVE).read_bytes())
    return report


def live_said(content: Mapping[str, Any]) -> str:
    """A live report's content in one sentence."""
    found = ", ".join(f"{count} {kind}" for kind, count in content["classes"].items() if count) or "none"
    lag = (
        "" if content["longest_lag"] is None else f"; a newer row had been known for up to {content['longest_lag']:g} s"
    )
    return f"{content['rows']} of {content['answers']} live answers asked again; values told otherwise: {found}{lag}"


def live_table(report: Mapping[str, Any]) -> str:
    """Markdown: a row for each feature, those that differ most first, with how many differ by class."""
    kinds = list(report["features"][0]["classes"]) if report["features"] else []
    lines = [f"| feature | answers | differ | at most | {' | '.join(kinds)} | median lag, s | longest |",
             "|---" * (6 + len(kinds)) + "|"]  # fmt: skip
    for each in sorted(report["features"], key=lambda each: -each["rate"]):
        told = [each["name"], each["rows"], f"{each['rate']:.2%}", f"{each['upper']:.2%}", *each["classes"].values(),
                _number(each["median_lag"]), _number(each["longest_lag"])]  # fmt: skip
        lines.append("| " + " | ".join(str(value) for value in told) + " |")
    return "\n".join(lines)


def _share(coded: Mapping[str, Any]) -> str:
    return f"{coded['mismatched'] / coded['rows']:.2%} differ"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4g}"
