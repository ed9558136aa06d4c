"""Whether the claims of ``offline_stores`` held."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.retrieval.cells import Cell
from benchmarks.retrieval.measure import Figure, difference

SAME, MANY, DEEP, SCRIPT = 1.0, 10.0, 100.0, 1.3
WIDE_SECONDS, WIDE_MIB = 5.0, 1e9 / 2**20


@dataclass(frozen=True, kw_only=True)
class Row:
    """A cell with the figures of those that were asked, by store."""

    cell: Cell
    figures: Mapping[str, Figure]

    def done(self, store: str) -> Figure | None:
        """A store's figure, if it came to an answer."""
        figure = self.figures.get(store)
        return None if figure is None or figure.stopped else figure

    @property
    def bare(self) -> Figure | None:
        """Ours, doing no more than the peers do: known time plays no part in the newest rows anyway."""
        return self.done("ours-ignore" if self.cell.entities else "ours")

    def ratios(self) -> tuple[str, ...]:
        """duckdb to ours, in wall and CPU seconds; to ours without respect for known time; dask; the best script."""
        script = _ratio(self.bare, self.done("polars"), own=True)
        ours, duckdb = self.done("ours"), self.done("duckdb")
        cpu = f"{duckdb.retrieval_cpu / ours.retrieval_cpu:.1f}" if ours and duckdb else ""
        return (self._told("duckdb", "ours"), cpu, self._told("duckdb", "ours-ignore"), self._told("dask", "ours"),
                "" if script is None else f"{script:.2f}")  # fmt: skip

    def _told(self, peer: str, ours: str) -> str:
        ratio = _ratio(self.done(peer), self.done(ours))
        if ratio is not None:
            return f"{ratio:.1f}"
        least = self.at_least(peer, ours)
        if least is not None:
            return f"> {least:.0f}"
        return "no answer" if peer in self.figures and ours in self.figures else ""

    def at_least(self, peer: str, ours: str) -> float | None:
        """How many times slower a peer is at least that was stopped for its time, taking its start to be like ours."""
        late, done = self.figures.get(peer), self.done(ours)
        if late is None or done is None or not late.stopped or not late.seconds:
            return None
        return (late.seconds - (done.seconds - done.retrieval)) / done.retrieval


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """On one claim: held, missed, or None where nothing told."""

    claim: str
    held: bool | None
    told: str

    def __str__(self) -> str:
        word = {True: "held", False: "MISSED", None: "not measured"}[self.held]
        return f"{word}, {self.told}" if self.told else word


def verdicts(rows: Sequence[Row]) -> list[Verdict]:
    """On every claim."""
    return [
        _against_duckdb("never slower than duckdb", SAME, [row for row in rows if row.cell.entities]),
        _against_duckdb(f"{MANY:.0f} times duckdb at 1M x 1M", MANY, _of(rows, "1m-1m")),
        _against_duckdb(f"{DEEP:.0f} times duckdb at 1,000 rows a key", DEEP, _of(rows, "100k-1m-deep", "1m-1m-deep")),
        _against_scripts(rows),
        _wide(_of(rows, "issue-3003", "wide")),
        _against_duckdb("newest rows no slower than duckdb", SAME, [row for row in rows if not row.cell.entities]),
        _same_answers(rows),
    ]


def _of(rows: Sequence[Row], *names: str) -> list[Row]:
    return [row for row in rows if row.cell.name in names]


def _ratio(one: Figure | None, other: Figure | None, *, own: bool = False) -> float | None:
    if one is None or other is None:
        return None
    return one.own / other.own if own else one.retrieval / other.retrieval


def _against_duckdb(claim: str, limit: float, of: Sequence[Row]) -> Verdict:
    """A peer that was stopped for its time counts with the time it had; one that failed gives no ratio."""
    both = [row for row in of if row.figures.keys() >= {"ours", "duckdb"}]
    failed = [row.cell.name for row in both if row.done("ours") is None]
    ratios = {row.cell.name: _ratio(row.done("duckdb"), row.done("ours")) or row.at_least("duckdb", "ours")
              for row in both}  # fmt: skip
    found = {name: ratio for name, ratio in ratios.items() if ratio is not None}
    least = min(found, key=lambda name: found[name], default="")
    without = [name for name, ratio in ratios.items() if ratio is None and name not in failed]
    parts = [f"least {found[least]:.1f} times ({least})"] if found else []
    parts += [f"duckdb without answer: {', '.join(without)}"] if without else []
    parts += [f"ours without answer: {', '.join(failed)}"] if failed else []
    held = None if not both else not failed and all(ratio >= limit for ratio in found.values())
    return Verdict(claim=claim, held=held, told="; ".join(parts))


def _against_scripts(rows: Sequence[Row]) -> Verdict:
    told = {row.cell.name: _ratio(row.bare, row.done("polars"), own=True) for row in rows}
    found = {name: ratio for name, ratio in told.items() if ratio is not None}
    over = [f"{ratio:.2f} times ({name})" for name, ratio in found.items() if ratio > SCRIPT]
    most = f"most {max(found.values()):.2f} times" if found else ""
    return Verdict(claim=f"at most {SCRIPT} times the best script", held=not over if found else None,
                   told=", ".join(over) or most)  # fmt: skip


def _wide(rows: Sequence[Row]) -> Verdict:
    figures = [row.figures["ours"] for row in rows if "ours" in row.figures]
    held = all(not f.stopped and f.seconds < WIDE_SECONDS and f.peak_mib < WIDE_MIB for f in figures)
    told = ", ".join(figure.stopped or f"{figure.seconds:.1f} s and {figure.peak_mib:,.0f} MiB" for figure in figures)
    return Verdict(claim=f"feast#3003 in {WIDE_SECONDS:.0f} s and 1 GB", held=held if figures else None, told=told)


def _same_answers(rows: Sequence[Row]) -> Verdict:
    apart, compared = [], 0
    for row in rows:
        ours, peer = row.bare, row.done("duckdb")
        if ours is not None and peer is not None:
            compared += 1
            apart += [f"{row.cell.name}: {told}"] if (told := difference(ours, peer)) else []
    return Verdict(claim="the same answers as duckdb, ignoring created", held=not apart if compared else None,
                   told="; ".join(apart) or (f"{compared} cells" if compared else ""))  # fmt: skip
