"""The finding of a rollout's judge: canonical JSON with all looks, and a picture of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from mlops_platform.manifest import canonical_json
from mlops_platform.monitoring.labelled import Ids
from mlops_platform.monitoring.rollout.judge import Before, before_of, judge, to_json
from mlops_platform.monitoring.rollout.pairs import pairs
from mlops_platform.monitoring.rollout.picture import draw
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.history import Move
from mlops_platform.resources.prediction_log.schema import log_schema
from mlops_platform.resources.rollouts import Counts
from mlops_platform.resources.source_code import resolve
from mlops_platform.spec import Model, Rollout

REPORT, PICTURE = "rollout.json", "rollout.png"


@dataclass(frozen=True, kw_only=True)
class Open:
    """The rollout that is judged.

    Attributes:
        digest, begun: The entry of the history by which it began.
        asked: The declaration.
        counts: What serving processes counted.
        overdue: Whether it has lasted for ``max_days``.
        before: The judge's finding before this one; None where there is none.
        logged_ids: As of ``labelled_answers``.
    """

    digest: str
    begun: Move
    asked: Rollout
    counts: Counts
    overdue: bool
    before: Artifact | None
    logged_ids: Ids | None = None


def write_finding(folder: Path, *, model: Model, rollout: Open, log: pl.LazyFrame | None,
                  raw: pl.LazyFrame) -> dict[str, Any]:  # fmt: skip
    """Judges a rollout, and writes ``rollout.json`` and, once labels were looked at, ``rollout.png``.

    Args:
        folder: Where to.
        model: The declaration.
        rollout: What is judged.
        log: The prediction log; None where nothing was ever answered.
        raw: Rows of the examples' raw table.

    Returns:
        The finding's content.
    """

    begun = rollout.begun
    examples = resolve(model.examples.labelled)(raw)
    found = pairs(
        pl.LazyFrame(schema=log_schema(model)) if log is None else log, examples, identity=model.examples.id,
        champion=str(begun.checkpoint), challenger=str(begun.challenger), since=datetime.fromisoformat(begun.at),
        logged_ids=rollout.logged_ids,
    )  # fmt: skip
    verdict = judge(found, rollout.counts, rollout.asked, metric=model.gate.metric, calendar=model.examples.calendar,
                    overdue=rollout.overdue, before=_before(rollout.before))  # fmt: skip
    report = {**to_json(verdict), "metric": model.gate.metric, "margin": rollout.asked.margin, "version": begun.version,
              "champion": begun.champion, "model": model.name}  # fmt: skip
    (folder / REPORT).write_bytes(canonical_json(report))
    if verdict.looks:
        draw(report, folder / PICTURE)
    newest = verdict.looks[-1] if verdict.looks else None
    return {
        "verdict": verdict.verdict, "reason": verdict.reason, "looks": len(verdict.looks), **verdict.figures,
        "gain": newest.gain if newest else None, "lower": newest.lower if newest else None,
        "upper": newest.upper if newest else None, "rollout": rollout.digest, "version": begun.version,
        "champion": begun.champion, "challenger": begun.challenger, "kind": rollout.asked.kind,
    }  # fmt: skip


def read_report(finding: Artifact) -> Mapping[str, Any]:
    """The report of a finding's artifact."""
    report: Mapping[str, Any] = json.loads(finding.file(REPORT).read_bytes())
    return report


def _before(finding: Artifact | None) -> Before:
    return Before() if finding is None else before_of(read_report(finding))
