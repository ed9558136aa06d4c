"""The champion network beats gradient boosting on July 2013 by at least 0.005 of ROC AUC, on the very same dataset.

Claim: trained only on labels known before the holdout, the network's ROC AUC on it is at least 0.005 above that of
``sklearn.ensemble.HistGradientBoostingClassifier(max_iter=300, learning_rate=0.06)``.
Peer: that classifier, fitted on the same train rows and the same columns, encoded by the checkpoint's own encoding
(numbers as they are, null as NaN, categories as integer codes), ``random_state=0``.
Measured: the platform's own pipeline lands and materializes up to the evaluation in an empty home (``--home`` takes one
that is materialized already, and only reads it); the network answers through ``Scorer``, the exported program. The
difference and its one-sided 95 % bound are those of the platform's paired bootstrap. For honesty, stronger and weaker
readings of the peer stand beside it: other seeds, categories declared as such, no early stopping, the validation rows
as well; so do the gate's logistic regression and the network with further seeds, from the same training program.
``--more`` repeats network and peer on June 2013, landed through June only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.costs import QUIET

os.environ |= QUIET

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.homes import ROOT, fresh, land, load, materialize
from benchmarks.tables import table
from mlops_platform.evaluation.baseline import fit_baseline
from mlops_platform.evaluation.bootstrap import Difference, paired_difference
from mlops_platform.projects.flights.project import PROJECT
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.home import Home
from mlops_platform.resources.launchers import PROGRAM
from mlops_platform.resources.refs import Refs
from mlops_platform.scoring import Scorer
from mlops_platform.scoring.metrics import roc_auc
from mlops_platform.training.job import TRAIN, VALIDATION, Device, Job

BAR = 0.005
MODEL = PROJECT.models[0]
STATION = f"{PROJECT.name}/{MODEL.name}"
SEEDS = (1, 2)
_MOST_CATEGORIES = 255
"""What the classifier can take as a category; one with more values stays an integer code."""


class Holdout:
    """One dataset with its checkpoint: rows as the network sees them, and what is compared on the holdout.

    Attributes:
        dataset, checkpoint: The artifacts.
        labels: Of the holdout, int8 [N].
        network: The checkpoint's scores of it, float32 [N].
    """

    def __init__(self, home: Home) -> None:
        self.dataset: Artifact = Refs(home).read(f"{STATION}/dataset")
        self.checkpoint: Artifact = Refs(home).read(f"{STATION}/checkpoint")
        if self.checkpoint.manifest.recipe.inputs["dataset"] != self.dataset.manifest.digest:
            raise SystemExit(f"the checkpoint in {home.path} learned from another dataset: materialize it again")
        self._scorer = Scorer.load(self.checkpoint, threads=2)
        self.labels = self.frame("holdout")["label"].to_numpy()
        self.network = self._scorer.score(self.frame("holdout"))

    def frame(self, part: str) -> pl.DataFrame:
        """The rows of a part."""
        return pl.read_parquet(self.dataset.file(f"{part}.parquet"))

    def inputs(self, part: str) -> np.ndarray:
        """The network's inputs as one float32 matrix [N, numeric + categories]; category codes are exact in it."""
        numeric, categories = self._scorer.encode(self.frame(part))
        return np.hstack([numeric, categories.astype(np.float32)])

    @property
    def categorical(self) -> list[int]:
        """Columns of ``inputs`` that are categories of few enough values."""
        encoding = self._scorer.encoding
        return [len(encoding.numeric) + place for place, size in enumerate(encoding.cardinalities)
                if size <= _MOST_CATEGORIES]  # fmt: skip

    def boosted(self, parts: tuple[str, ...] = ("train",), **options: object) -> np.ndarray:
        """Holdout probabilities [N] of the peer, fitted on parts."""
        rows = np.vstack([self.inputs(part) for part in parts])
        labels = np.concatenate([self.frame(part)["label"].to_numpy() for part in parts])
        model = HistGradientBoostingClassifier(max_iter=300, learning_rate=0.06, **{"random_state": 0, **options})
        return model.fit(rows, labels).predict_proba(self.inputs("holdout"))[:, 1]

    def regressed(self) -> np.ndarray:
        """Holdout probabilities [N] of the gate's own baseline."""
        model = fit_baseline(self.frame("train"), numeric=PROJECT.numeric_columns(MODEL), categories=MODEL.categories)
        return model.score(self.frame("holdout"))

    def trained(self, seed: int) -> np.ndarray:
        """Holdout probabilities [N] of the network trained with another seed, by the training program itself."""
        with tempfile.TemporaryDirectory(prefix="mlops-benchmark-") as folder:
            output = Path(folder) / "output"
            output.mkdir()
            job = Job(
                train=self.dataset.file(TRAIN), validation=self.dataset.file(VALIDATION), output=output,
                numeric=PROJECT.numeric_columns(MODEL), categories=MODEL.categories,
                network=replace(MODEL.network, seed=seed), device=Device(threads=MODEL.compute.threads),
            ).write(Path(folder) / "job.json")  # fmt: skip
            command = [sys.executable, "-m", PROGRAM, "--job", str(job)]
            subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
            return Scorer.load(_Written(output), threads=2).score(self.frame("holdout"))

    def above(self, peer: np.ndarray) -> Difference:
        """The network's lead over a peer, with its bootstrap bound."""
        return paired_difference(self.labels, self.network, peer, metric="roc_auc")


class _Written:
    """A checkpoint's files before any manifest: what the training program left in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def file(self, name: str) -> Path:
        """Path of a file."""
        return self._folder / name


def materialized(home: Home, through: str) -> Holdout:
    """Lands through a month, materializes up to the evaluation, and opens the result."""
    land(home, through)
    materialize(home, load(), f'+key:"{STATION}/evaluation"')
    return Holdout(home)


def compare(found: Holdout) -> Difference:
    """Prints network, peer and difference; the lines are the claim's."""
    content = found.dataset.manifest.content
    rows = content["parts"]["train"]["rows"]
    print(f"holdout {content['holdout_start'][:10]} on, {len(found.labels):,} rows; {rows:,} train rows, last label "
          f"known {content['trained_until'][:16]} UTC; {len(content['numeric'])} numbers and "
          f"{len(content['categories'])} categories; dataset {found.dataset.manifest.digest[7:19]}\n")  # fmt: skip
    peer = found.boosted()
    lead = found.above(peer)
    figures = [("champion network", _auc(found, found.network)), ("HistGradientBoosting", _auc(found, peer))]
    print(table(("on the holdout", "ROC AUC"), figures))
    print(f"\ndifference {lead.difference:+.4f}, above {lead.lower:+.4f} with {lead.confidence:.0%} confidence "
          f"(standard error {lead.standard_error:.4f})")  # fmt: skip
    return lead


def variants(found: Holdout) -> Iterator[tuple[str, np.ndarray]]:
    """What else is asked, for honesty."""
    for seed in SEEDS:
        yield f"HistGradientBoosting, random_state={seed}", found.boosted(random_state=seed)
    yield "HistGradientBoosting, categorical_features", found.boosted(categorical_features=found.categorical)
    yield "HistGradientBoosting, early_stopping=False", found.boosted(early_stopping=False)
    yield "HistGradientBoosting, train and validation rows", found.boosted(("train", "validation"))
    yield "logistic regression (the gate's baseline)", found.regressed()
    for seed in SEEDS:
        yield f"network, seed={seed}", found.trained(seed)


def _auc(found: Holdout, scores: np.ndarray) -> str:
    return f"{roc_auc(found.labels, scores):.4f}"


def report(found: Holdout, *, beside: bool) -> bool:
    """Prints a holdout's figures; whether the bar was reached."""
    lead = compare(found)
    if beside:
        rows = []
        for name, scores in variants(found):
            other = found.above(scores)
            rows.append((name, _auc(found, scores), f"{other.difference:+.4f}", f"{other.lower:+.4f}"))
        print("\n" + table(("beside them", "ROC AUC", "champion leads by", "at least (95 %)"), rows))
    held = lead.difference >= BAR
    print(f"\nclaim (difference at least {BAR}): {'held' if held else 'MISSED'}, {lead.difference:+.4f}", flush=True)
    return held


def main() -> int:
    """Exit code 1 if the bar is missed on July."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--home", type=Path, help="a home that is materialized through July 2013; it is only read")
    parser.add_argument("--more", action="store_true", help="the June holdout as well")
    arguments = parser.parse_args()
    if arguments.home is not None:
        held = report(Holdout(Home(arguments.home)), beside=True)
    else:
        with fresh() as home:
            held = report(materialized(home, "2013-07"), beside=True)
    if arguments.more:
        print("\nThe same on June:\n")
        with fresh() as home:
            report(materialized(home, "2013-06"), beside=False)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
