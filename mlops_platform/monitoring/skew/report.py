"""The skew report of a candidate, as canonical JSON with a picture beside it."""

import contextlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from mlops_platform.manifest import canonical_json
from mlops_platform.monitoring.skew.bounds import upper_bound
from mlops_platform.monitoring.skew.figures import PICTURE, REPORT, beyond_limit, scores_agree
from mlops_platform.monitoring.skew.findings import feature_findings, input_findings, score_findings, status_counts
from mlops_platform.monitoring.skew.online import PackedPath, TemporaryDoor
from mlops_platform.monitoring.skew.picture import draw
from mlops_platform.monitoring.skew.replay import OnlinePath, replay
from mlops_platform.monitoring.skew.sample import TIME, sample
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.home import Home
from mlops_platform.scoring import Scorer
from mlops_platform.spec import Model, Project

_SHARED_MEMORY = Path("/dev/shm")
"""Where a store that nobody keeps lies: each moment is a commit, for which no disk has to be waited."""
NO_STATE = "the program carries a state from row to row, which the replay does not build; its inputs are compared"


def write_report(folder: Path, *, home: Home, project: Project, model: Model, dataset: Artifact, checkpoint: Artifact,
                 tables: Mapping[str, pl.LazyFrame]) -> dict[str, Any]:  # fmt: skip
    """Replays holdout rows through the online path, and writes ``skew.json`` and ``skew.png``.

    Args:
        folder: Where to; the temporary online store lies in it meanwhile, where there is no shared memory.
        home: Whose.
        project, model: The declarations.
        dataset: The candidate's.
        checkpoint: The candidate.
        tables: The feature tables at the versions that the dataset's manifest cites.

    Returns:
        The report's content: how much was replayed, what differs, and what was not compared.
    """
    asked = model.skew
    examples, height = sample(dataset.file("holdout.parquet"), rows=asked.rows, moments=asked.moments)
    scorer = Scorer.load(checkpoint)
    with TemporaryDirectory(dir=_SHARED_MEMORY if _SHARED_MEMORY.is_dir() else folder) as beside:
        door = TemporaryDoor(home, project, path=Path(beside) / "online.db")
        with contextlib.closing(PackedPath(door, model, scorer)) as path:
            found = findings(path, project, model, examples, tables, scorer)
    report = {**found, "holdout_rows": height, "model": model.name, "dataset": dataset.manifest.digest,
              "checkpoint": checkpoint.manifest.digest}  # fmt: skip
    (folder / REPORT).write_bytes(canonical_json(report))
    draw(report, folder / PICTURE)
    return content_of(report)


def findings(path: OnlinePath, project: Project, model: Model, examples: pl.DataFrame,
             tables: Mapping[str, pl.LazyFrame], scorer: Scorer) -> dict[str, Any]:  # fmt: skip
    """What is found of some rows of a dataset when they are asked through an online path.

    Args:
        path: Over an empty store.
        project, model: The declarations.
        examples: The rows, by time.
        tables: The feature tables at the versions of the dataset.
        scorer: The candidate's.
    """
    told = replay(path, project, model, examples, tables)
    known = scorer.encode(examples)
    scores = None
    if told.scores is not None:
        scores = asdict(score_findings(model, examples, told, scorer.score_encoded(*known)))
    times = examples[TIME]
    return {
        "rows": examples.height, "moments": told.moments, "written": told.written,
        "since": times[0].isoformat(), "until": times[-1].isoformat(),
        # Of what is so rare that no row, or no moment, of the sample met it.
        "unseen_rate": upper_bound(0, examples.height), "unseen_rate_of_moments": upper_bound(0, told.moments),
        "features": feature_findings(project, model, examples, told),
        "inputs": input_findings(scorer.encoding, (told.numeric, told.categories), known, model.skew.tolerances),
        "statuses": status_counts(told),
        "scores": scores, "scores_not_compared": None if scores else NO_STATE,
        "max_mismatch": model.skew.max_mismatch, "max_difference": model.skew.max_difference,
    }  # fmt: skip


def content_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """What the manifest tells of a report."""
    features = {each["name"]: each["rate"] for each in report["features"] if each["mismatched"]}
    inputs = {each["name"]: each["mismatched"] / each["rows"] for each in report["inputs"] if each["mismatched"]}
    scores = report["scores"] or {}
    names = ("rows", "holdout_rows", "moments", "since", "until", "unseen_rate", "unseen_rate_of_moments", "dataset",
             "checkpoint", "scores_not_compared")  # fmt: skip
    return {
        **{name: report[name] for name in names},
        "agrees": not beyond_limit(report) and scores_agree(report),
        "features": len(report["features"]), "mismatched": features, "coded_otherwise": inputs,
        "scores": {name: scores[name] for name in ("compared", "ruled", "mismatched", "largest", "mean")
                   if name in scores},
    }  # fmt: skip
