"""The leak check: if all that became known after T had gone otherwise, no row at or before T may differ by a bit.

It asks nothing about how rows are built: facts go in, rows come out, twice, and the two are compared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.perturbation import Facts, Perturbation, perturb, unperturbed
from mlops_platform.point_in_time.times import UTC_TIME, as_utc, in_utc
from mlops_platform.point_in_time.view_frame import require_columns

PERTURBATIONS: tuple[Perturbation, ...] = ("change", "correct", "remove")

Build = Callable[[Mapping[str, pl.LazyFrame], pl.DataFrame], pl.DataFrame]
"""Builds a row for each row asked, in their order, from the facts by name."""


@dataclass(frozen=True, kw_only=True)
class Leak:
    """One row of a column that told what was not known yet.

    Attributes:
        row: The row asked.
        before: Its value from the facts as they are.
        after: Its value from other facts after T.
        perturbation: What was done to the facts.
    """

    row: Mapping[str, Any]
    before: Any
    after: Any
    perturbation: Perturbation


@dataclass(frozen=True, kw_only=True)
class LeakReport:
    """What one check found.

    Attributes:
        at: The time T, UTC.
        rows: Rows at or before T that were compared.
        changed_facts: Facts that were changed, added or taken away, over all perturbations; none proves nothing.
        leaking: Columns that differ, with in how many rows, of the worst perturbation.
        examples: One such row of each of them.
        unperturbed: Columns of the facts that could not be changed, by table.
    """

    at: datetime
    rows: int
    changed_facts: int
    leaking: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, Leak] = field(default_factory=dict)
    unperturbed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def check_leak(
    facts: Mapping[str, Facts], rows: pl.DataFrame, build: Build, *, at: datetime, event_timestamp: str,
    built: pl.DataFrame | None = None, perturbations: Sequence[Perturbation] = PERTURBATIONS,
) -> LeakReport:  # fmt: skip
    """Perturb every fact known after T, build the rows again, and compare those at or before T bit for bit.

    Args:
        facts: The tables that rows are built from, by name.
        rows: Rows to ask for: keys and times. Those after T are left out.
        build: Gives one row of answers, or of keys and answers, for each row asked, in their order.
        at: T; no zone means UTC.
        event_timestamp: The time column of `rows`.
        built: What `build` gives for `rows` from the facts as they are, if it is at hand: then that is only built
            again where it differs, since it may have been built from more history.
        perturbations: What is done to the facts, one build each; see `perturb`.

    Returns:
        The report; where `leaking` is empty and `changed_facts` is not 0, nothing leaked.

    Raises:
        PointInTimeError: `build` lost or multiplied rows, or as `perturb`.
    """
    asked, given = _until(rows, built, event_timestamp, at)
    compared = _Comparison(facts, asked, build, given)
    changed = 0
    for kind in perturbations:
        others = {name: perturb(table, at, kind, name=name) for name, table in facts.items()}
        moved = sum(other.facts for other in others.values())
        if moved:
            changed += moved
            compared.against(kind, {name: other.frame for name, other in others.items()})
    unchanged = {name: columns for name, table in facts.items() if (columns := unperturbed(table))}
    return LeakReport(at=in_utc(at), rows=asked.height, changed_facts=changed, leaking=compared.leaking,
                      examples=compared.examples, unperturbed=unchanged)  # fmt: skip


class _Comparison:
    """Rows built from the facts as they are, against those built from others."""

    def __init__(self, facts: Mapping[str, Facts], asked: pl.DataFrame, build: Build, given: pl.DataFrame | None):
        self._facts, self._asked, self._build = facts, asked, build
        self._given, self._own = given, None if given is not None else self._as_they_are()
        self.leaking: dict[str, int] = {}
        self.examples: dict[str, Leak] = {}

    def _as_they_are(self) -> pl.DataFrame:
        return self._built({name: table.frame for name, table in self._facts.items()})

    def _built(self, frames: Mapping[str, pl.LazyFrame]) -> pl.DataFrame:
        found = self._build(frames, self._asked)
        if found.height != self._asked.height:
            raise PointInTimeError(
                f"leak check: build must give one row for each of the {self._asked.height} asked, in their order; "
                f"found {found.height} rows."
            )
        return found

    def against(self, kind: Perturbation, others: Mapping[str, pl.LazyFrame]) -> None:
        """Compares with what `build` makes of other facts, and notes what differs."""
        now = self._built(others)
        if self._own is None:
            assert self._given is not None  # one of the two is
            if not any(mask.any() for mask in differing(self._given, now).values()):
                return
            self._own = self._as_they_are()
        for column, mask in differing(self._own, now).items():
            count = int(mask.sum())
            if count > self.leaking.get(column, 0):
                where = mask.arg_true()[0]
                before, after = (f[column][where] if column in f.columns else None for f in (self._own, now))
                row = self._asked.row(where, named=True)
                self.leaking[column] = count
                self.examples[column] = Leak(row=row, before=before, after=after, perturbation=kind)


def differing(one: pl.DataFrame, other: pl.DataFrame) -> dict[str, pl.Series]:
    """Return, for each column of either frame, in which rows the two are not the same bit for bit.

    A column that the other frame lacks, or has of another type, differs in every row. Any NaN is the same as any other.
    """
    return {name: _differs(one, other, name) for name in dict.fromkeys([*one.columns, *other.columns])}


def _differs(one: pl.DataFrame, other: pl.DataFrame, name: str) -> pl.Series:
    if one.schema.get(name) != other.schema.get(name):
        return pl.repeat(True, one.height, eager=True)
    left, right = one[name], other[name]
    same = left.eq_missing(right)
    if left.dtype.is_float():
        # Zero and minus zero are equal, but one divided by them is not.
        same &= (1 / left).eq_missing(1 / right)
    return ~same


def _until(
    rows: pl.DataFrame, built: pl.DataFrame | None, event_timestamp: str, at: datetime
) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    require_columns([event_timestamp], rows.schema, where="leak check, rows", remedy="Name the column of their times.")
    if built is not None and built.height != rows.height:
        raise PointInTimeError(f"leak check: required is a built row for each of {rows.height}; found {built.height}.")
    moment = as_utc(event_timestamp, rows.schema[event_timestamp], where="leak check, rows")
    in_time = rows.select(moment <= pl.lit(in_utc(at), dtype=UTC_TIME)).to_series().fill_null(False)
    return rows.filter(in_time), None if built is None else built.filter(in_time)
