"""The page that explains an answer: the walk as a picture, then each step of it for whoever was called at night.

It needs nothing from elsewhere and runs no program in the browser.
"""

import json
from datetime import timedelta
from typing import Any

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import Manifest, short
from mlops_platform.provenance.feature_rows import MISSING, PRESENT, FeatureRow
from mlops_platform.provenance.html import Markup, fold, link, table, tag
from mlops_platform.provenance.page_style import STYLE
from mlops_platform.provenance.runs import dagster_link
from mlops_platform.provenance.source_rows import SourceRows
from mlops_platform.provenance.walk import ONLINE, Why
from mlops_platform.provenance.words import age, number, plural, ranges, revision, score, when

_MOST_RANGES = 12
_PARTS = ("train", "validation", "holdout")
_REMOVED = "removed since"


def page(found: Why) -> str:
    """The walk behind an answer as a whole HTML page."""
    asked = found.prediction["prediction_id"]
    return _document(
        f"Why {asked}", _head(found), _picture(found), _question(found), _features(found), _version(found),
        _runs(found), _missing(found),
        tag("p", "The same for programs: ", tag("a", "JSON", href=f"{asked}/why"), class_="soft"),
    )  # fmt: skip


def error_page(error: PlatformError) -> str:
    """What was required, what was found and what to do, as a page."""
    told = (("Required", error.required), ("Found", error.found), ("To do", error.remedy))
    rows: list[Any] = [(tag("b", name), text) for name, text in told]
    return _document("No explanation", tag("h1", "This answer cannot be explained"), table(("", ""), rows))


def _document(title: str, *children: Markup | None) -> str:
    head = tag(
        "head", tag("meta", charset="utf-8"), tag("meta", name="viewport", content="width=device-width"),
        tag("title", title), Markup(f"<style>{STYLE}</style>"),
    )  # fmt: skip
    return "<!doctype html>" + tag("html", head, tag("body", *children), lang="en").text


def _head(found: Why) -> Markup:
    row = found.prediction
    example = row.get("example_id")
    seen = {"champion": None, "canary": "warn", "shadow": "warn"}
    words = {"shadow": "shadow: nobody was shown this answer", "canary": "canary: callers got this answer"}
    badge = tag("span", words.get(found.role, found.role), class_=f"badge {seen.get(found.role) or 'good'}")
    about = f"{row['model']} version {row['version']}"
    return tag(
        "div", tag("p", "Why did the model say that?", class_="soft"),
        tag("div", tag("span", score(row["score"]), class_="big"),
            tag("div", tag("h1", link(about, found.links["version"])),
                tag("p", f"for {example}" if example else "for an example without a name"),
                tag("p", badge, tag("span", "live" if found.mode == ONLINE else "batch", class_="badge soft"))),
            tag("div", tag("p", "asked as of ", tag("b", when(row["event_timestamp"]))),
                tag("p", "answered ", tag("b", when(row["answered_at"]))),
                tag("p", tag("span", row["prediction_id"], class_="id"), class_="soft")), class_="head"),
        class_="card",
    )  # fmt: skip


def _picture(found: Why) -> Markup:
    """Two lanes that meet in the answer: what the model was told, and how the model came to answer."""
    return tag(
        "section", tag("h2", "The walk"), tag("p", "What the model was told", class_="soft"),
        tag("div", *_told_lane(found), class_="lane"),
        tag("p", "Which model answered, and why that one", class_="soft"),
        tag("div", *_model_lane(found), class_="lane who"),
    )  # fmt: skip


def _step(anchor: str, title: str, *lines: str, end: bool = False) -> Markup:
    inner = tag("a", tag("b", title), *(tag("small", line) for line in lines), href=f"#{anchor}")
    return tag("div", inner, class_="step end" if end else "step")


def _told_lane(found: Why) -> list[Markup]:
    sources = [row.source for row in found.features if row.source is not None]
    every = [*sources, *([found.example] if found.example else [])]
    counted = len({(file["digest"], place) for source in every for file in source.files for place in file["rows"]})
    files = {file["digest"] for source in every for file in source.files}
    tables = sorted({source.table for source in every})
    equal = [row.recomputed_equal for row in found.features if row.recomputed_equal is not None]
    said = "computed again: all equal" if equal and all(equal) else (
        f"{equal.count(False)} differ when computed again" if equal else "none could be computed again")  # fmt: skip
    absent = sum(row.status == MISSING for row in found.features)
    views = (f"{plural(len(found.features), 'view')} read", *([f"{absent} without a row"] if absent else []), said)
    question = (
        "asked by a caller" if found.mode == ONLINE else f"from {found.example.table}" if found.example else _REMOVED
    )
    return [
        _step("features", plural(len(files), "source file"), "as they landed, by digest"),
        _step("features", plural(counted, "raw row"), ", ".join(tables)),
        _step("features", plural(sum(row.status != MISSING for row in found.features), "feature row"), *views),
        _step("question", "the question", question, plural(len(found.features_read), "value") + " given to the model"),
        _step("question", score(found.prediction["score"]), "the answer", end=True),
    ]


def _model_lane(found: Why) -> list[Markup]:
    trained = f"trained {when(found.checkpoint.produced.at)}" if found.checkpoint is not None else _REMOVED
    steps = [_dataset_step(found.dataset),
             _step("version", f"checkpoint {short(found.prediction['checkpoint'])}", trained)]  # fmt: skip
    if found.verdict is not None:
        conditions = found.verdict.content["conditions"]
        passed = sum(bool(each["passed"]) for each in conditions)
        steps.append(_step("version", "gate", f"{passed} of {len(conditions)} conditions met"))
    last = found.moves[-1] if found.moves else None
    told = (f"{last.action} {when(last.at)}", f"by {last.actor}") if last else ("no decision is recorded",)
    steps.append(_step("version", f"version {found.prediction['version']}", *told))
    return [*steps, _step("question", score(found.prediction["score"]), "the answer", end=True)]


def _dataset_step(dataset: Manifest | None) -> Markup:
    if dataset is None:
        return _step("version", "dataset", _REMOVED)
    rows = sum(dataset.content["parts"][name]["rows"] for name in _PARTS)
    until = f"labels until {when(dataset.content['trained_until'])}"
    return _step("version", f"dataset {short(dataset.digest)}", plural(rows, "row"), until)


def _question(found: Why) -> Markup:
    # What was computed of a time or a place says little to a reader; it is among the values below.
    rows: list[Any] = [(name, number(value)) for name, value in found.inputs.items() if not isinstance(value, float)]
    read: list[Any] = [(name, number(value)) for name, value in found.features_read.items()]
    return tag(
        "section", tag("h2", "The question", id="question"),
        tag("div", table(("asked", "value"), rows), *([_files(found.example)] if found.example else []),
            fold(f"All {len(read)} values that the model was given", table(("input", "value"), read)), class_="card"),
    )  # fmt: skip


def _features(found: Why) -> Markup:
    cards = (_feature(row, found) for row in found.features)
    return tag("section", tag("h2", "The feature rows", id="features"), tag("div", *cards, class_="grid"))


def _feature(row: FeatureRow, found: Why) -> Markup:
    keys = ", ".join(f"{name} {number(value)}" for name, value in row.keys.items())
    times: list[Markup] = []
    if row.event_timestamp is not None:
        old: timedelta = found.prediction["event_timestamp"] - row.event_timestamp
        told = f"true {when(row.event_timestamp)} ({age(old)} before the question), known {when(row.known_timestamp)}"
        times = [tag("p", told, class_="soft")]
    values: list[Any] = [(name, number(value), row.marks.get(name, "")) for name, value in row.values.items()]
    return tag(
        "div", tag("h3", row.view), tag("p", tag("span", keys, class_="id")), *times, tag("p", *_badges(row)),
        table(("feature", "value", "mark" if row.marks else ""), values), *([_files(row.source)] if row.source else []),
        class_="card",
    )  # fmt: skip


def _badges(row: FeatureRow) -> list[Markup]:
    shown = [(row.status, "good" if row.status == PRESENT else "warn")]
    if row.status != MISSING and row.version is None:
        shown.append(("row not found in the table any more", "bad"))
    if row.recomputed_equal is not None:
        shown.append(("recomputed: equal", "good") if row.recomputed_equal else ("recomputed: NOT equal", "bad"))
    if row.as_answered is not None and not row.as_answered:
        shown.append(("the table's row differs from what was answered", "bad"))
    return [tag("span", text, class_=f"badge {tone}") for text, tone in shown]


def _files(source: SourceRows) -> Markup:
    named = [
        tag("li", f"{file['name']} ", tag("span", short(file["digest"]), class_="id soft"),
            tag("br"), f"row {ranges(file['rows'], most=_MOST_RANGES)}")
        for file in source.files
    ]  # fmt: skip
    counted = f"{plural(source.count, 'raw row')} of {source.table} in {plural(len(named), 'file')}"
    return fold(f"{counted}, Delta version {source.version}", tag("ul", *named))


def _version(found: Why) -> Markup:
    return tag(
        "section", tag("h2", "The version that answered", id="version"),
        tag("div", _moves(found), _gate(found), _learned(found), class_="grid"),
        _recipe(found.checkpoint) if found.checkpoint is not None else None,
    )  # fmt: skip


def _moves(found: Why) -> Markup:
    told = [
        tag("li", tag("b", move.action), f" {when(move.at)} by {move.actor}"
            + (" (a person)" if move.person else ""), tag("br"), move.reason)
        for move in found.moves
    ]  # fmt: skip
    return tag(
        "div", tag("h3", "Decisions"), tag("ol", *told) if told else tag("p", "None is recorded."), class_="card"
    )


def _gate(found: Why) -> Markup:
    if found.verdict is None:
        return tag("div", tag("h3", "Gate"), tag("p", "No verdict is recorded."), class_="card")
    told = [
        tag("li", tag("b", "met" if each["passed"] else "NOT met", class_="good" if each["passed"] else "bad"),
            f" {each['name']}: {each['reason']}")
        for each in found.verdict.content["conditions"]
    ]  # fmt: skip
    metrics = found.evaluation.content["metrics"]["challenger"] if found.evaluation is not None else {}
    figures: list[Any] = [(name, number(value)) for name, value in metrics.items()]
    return tag("div", tag("h3", "Gate and evaluation"), table(("metric", "on the holdout"), figures),
               fold(f"{len(told)} conditions", tag("ul", *told)), class_="card")  # fmt: skip


def _learned(found: Why) -> Markup:
    if found.dataset is None:
        return tag("div", tag("h3", "Dataset"), tag("p", f"{_REMOVED.capitalize()}."), class_="card")
    parts = found.dataset.content["parts"]
    rows: list[Any] = [(name, f"{parts[name]['rows']:,}") for name in _PARTS]
    starts = [tag("p", f"warm start from checkpoint {short(start.digest)}") for start in found.starts]
    tuned = tag("p", f"values from tuning {short(found.tuning.digest)}") if found.tuning is not None else None
    inputs = tag("ul", *(tag("li", f"{role} ", tag("span", short(digest), class_="id soft"))
                         for role, digest in found.dataset.recipe.inputs.items()))  # fmt: skip
    until = tag("p", f"learned from labels known until {when(found.dataset.content['trained_until'])}")
    return tag("div", tag("h3", f"Dataset {short(found.dataset.digest)}"), table(("part", "rows"), rows), until,
               *starts, tuned, fold("Made from", inputs), class_="card")  # fmt: skip


def _recipe(checkpoint: Manifest) -> Markup:
    produced, recipe = checkpoint.produced, checkpoint.recipe
    software: list[Any] = [(name, version) for name, version in sorted(recipe.software.items())]
    config = json.dumps(dict(recipe.config), indent=1, sort_keys=True, ensure_ascii=False, default=str)
    return tag(
        "div", tag("h3", f"How checkpoint {short(checkpoint.digest)} was made"),
        tag("p", f"git {revision(produced.git_revision)}, code {short(recipe.code)}, "
            f"recipe {short(recipe.key)}, environment {checkpoint.environment}, by {produced.actor}"),
        fold("Configuration", tag("pre", config)), fold("Software", table(("distribution", "version"), software)),
        class_="card", style="margin-top:.8rem",
    )  # fmt: skip


def _runs(found: Why) -> Markup:
    rows: list[Any] = [
        (run.station, when(run.at), f"{run.seconds:,.1f} s", run.actor, link(f"Dagster {run.run_id[:8]}", run.dagster),
         link("MLflow", run.mlflow) if run.mlflow else "")
        for run in found.runs
    ]  # fmt: skip
    answered = found.prediction.get("run_id")
    by = tag("p", "Answered in ", link(f"Dagster run {answered[:8]}", dagster_link(answered))) if answered else None
    head = ("made", "when", "took", "asked by", "run", "tracked")
    return tag("section", tag("h2", "Runs", id="runs"), tag("div", by, table(head, rows), class_="card"))


def _missing(found: Why) -> Markup:
    return tag("section", tag("h2", "Not recorded"), tag("div", tag("ul", *(tag("li", each) for each in found.missing)),
                                                         class_="card"))  # fmt: skip
