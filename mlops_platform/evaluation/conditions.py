"""Conditions that are about more than one number: slices, soundness of the scores, size and latency."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from mlops_platform.evaluation.bootstrap import drawn_together, paired_difference
from mlops_platform.evaluation.slices import MISSING
from mlops_platform.evaluation.verdict import Condition
from mlops_platform.scoring.metrics import Labels
from mlops_platform.spec import Gate

_MEGABYTE = 1_000_000
_MOST_NAMED = 5
_PROBABILITIES = "numbers between 0 and 1"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One value of a slice column, compared with the champion.

    Attributes:
        name: ``column=value``.
        gain, gain_lower: How much better the challenger is, and what is exceeded with the gate's confidence.
        margin: By how much it may be worse.
    """

    name: str
    gain: float
    gain_lower: float
    margin: float

    @property
    def holds(self) -> bool:
        """Whether the challenger is not worse by more than the margin."""
        return self.gain_lower >= -self.margin

    @property
    def told(self) -> str:
        """The finding in words."""
        return f"{self.name} {self.gain:+.4f}, at least {self.gain_lower:+.4f} against a margin of {self.margin:.4f}"


def no_slice_worse(scores: pl.DataFrame, slices: pl.DataFrame, gate: Gate, *, compared: bool) -> Condition:
    """In no value of a declared column is the challenger worse than the champion by more than the margin.

    Args:
        scores: ``label``, ``challenger`` and ``champion`` [N].
        slices: The declared columns [N], in the same order.
        gate: The declared margins.
        compared: Whether there is a champion that was scored and is not the challenger.
    """
    name = "no_slice_worse"
    if not gate.slice_margins:
        return Condition(name=name, passed=True, reason="No margin of a slice is declared.", figures={})
    if not compared:
        reason = "There is no champion to compare with in slices: see better_than_champion."
        return Condition(name=name, passed=True, reason=reason, figures={})
    judged, small = _parts(scores, slices, gate)
    worse = [part for part in judged if not part.holds]
    nearest = min(judged, key=lambda part: part.gain_lower + part.margin, default=None)
    if worse:
        words = f"Worse than the champion in {_listed([part.told for part in worse])}."
    elif nearest is None:
        both = "" if isinstance(scores.schema["label"], pl.Array) else " of both classes"
        words = f"No slice has {gate.slice_rows} rows{both}."
    else:
        words = (
            f"None of {len(judged)} slices is worse than the champion by more than its margin; nearest: {nearest.told}."
        )
    left = f" Not judged, too few rows or one class: {_listed(small)}." if small else ""
    figures: dict[str, float | None] = {"judged": len(judged), "worse": len(worse), "not_judged": len(small)}
    for part in judged:
        figures |= {f"gain {part.name}": part.gain, f"gain_lower {part.name}": part.gain_lower}
    return Condition(name=name, passed=not worse, reason=words + left, figures=figures)


def _parts(scores: pl.DataFrame, slices: pl.DataFrame, gate: Gate) -> tuple[list[Part], list[str]]:
    """Each value judged, and the names of those of too few rows or of one class."""
    judged, small = [], []
    for column, margin in gate.slice_margins.items():
        for value, rows in _values(scores.with_columns(slices[column].alias("_slice"))):
            name = f"{column}={value}"
            labels = rows["label"].to_numpy()
            if rows.height < gate.slice_rows or _tells_nothing(labels):
                small.append(f"{name} ({rows.height} rows)")
                continue
            found = paired_difference(
                labels, rows["challenger"].to_numpy(), rows["champion"].to_numpy(),
                metric=gate.metric, resamples=gate.resamples, confidence=gate.confidence, groups=drawn_together(rows),
            )  # fmt: skip
            judged.append(Part(name=name, gain=found.gain, gain_lower=found.gain_lower, margin=margin))
    return judged, small


def _tells_nothing(labels: Labels) -> bool:
    """Whether labels are of one class, or those of forecasts all unknown."""
    return len(np.unique(labels)) < 2 if labels.ndim == 1 else not np.isfinite(labels).any()


def _values(scores: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    for value in scores["_slice"].unique().sort(nulls_last=True).to_list():
        yield (MISSING if value is None else str(value)), scores.filter(pl.col("_slice").eq_missing(pl.lit(value)))


def _listed(names: list[str]) -> str:
    rest = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def scores_are_sound(scores: pl.DataFrame) -> Condition:
    """The challenger's scores are probabilities, or of a forecast finite, and not the same for every row."""
    values = scores["challenger"].to_numpy().astype(np.float64)
    finite = values[np.isfinite(values)]
    forecast = values.ndim == 2
    sound = len(finite) if forecast else int(np.count_nonzero((finite >= 0) & (finite <= 1)))
    wrong = values.size - sound
    spread = float(finite.max() - finite.min()) if len(finite) else 0.0
    if wrong:
        reason = f"{wrong:,} of {values.size:,} scores are no {'finite numbers' if forecast else _PROBABILITIES}."
    elif spread == 0:
        reason = "Every row gets the same score."
    elif forecast:
        reason = f"All {values.size:,} scores are finite numbers and differ, by up to {spread:.4f}."
    else:
        reason = f"All {len(values):,} scores lie between 0 and 1 and differ, by up to {spread:.4f}."
    figures = {"wrong": wrong, "spread": spread}
    return Condition(name="scores_are_sound", passed=not wrong and spread > 0, reason=reason, figures=figures)


def small_enough(size: int, gate: Gate) -> Condition:
    """The exported program is within the declared size."""
    limit, found = gate.max_megabytes, size / _MEGABYTE
    passed = limit is None or found <= limit
    words = "no limit is declared" if limit is None else f"{'within' if passed else 'above'} the limit of {limit:g} MB"
    return Condition(name="small_enough", passed=passed, reason=f"The program has {found:.3f} MB: {words}.",
                     figures={"megabytes": found, "limit": limit})  # fmt: skip


def fast_enough(milliseconds: float | None, gate: Gate) -> Condition:
    """The median time of one row is within the declared limit.

    The time itself varies between makings: it stands beside the verdict, as measured, and only which side of the limit
    it is on is part of it.
    """
    name, limit = "fast_enough", gate.max_milliseconds
    if limit is None:
        return Condition(name=name, passed=True, reason="No limit of the latency is declared.", figures={})
    if milliseconds is None:
        reason = "The evaluation measured no latency: materialize it again."
        return Condition(name=name, passed=False, reason=reason, figures={"limit": limit})
    passed = milliseconds <= limit
    reason = f"The median latency of one row was {'within' if passed else 'above'} the limit of {limit:g} ms."
    return Condition(name=name, passed=passed, reason=reason, figures={"limit": limit})
