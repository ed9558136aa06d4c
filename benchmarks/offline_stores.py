"""Our Feast offline store is never slower than Feast's duckdb store, 10 to 100 times faster where it matters.

Claim: of the retrieval alone, never slower than Feast's duckdb store in any cell; at least 10 times faster at 1M entity
rows x 1M feature rows, and 100 times at 1,000 rows a key; at most 1.3 times the best polars script written by hand for
the cell, Feast's own part left out; the 17,000 rows x 1,000 features of feast#3003 in less than 5 s and 1 GB, the whole
process; and the newest row of each key at least as fast as the duckdb store.
Peers: Feast's duckdb store, Feast's dask store, and polars scripts (``retrieval/scripts.py``: all are tried on a cell,
the fastest counts), on the same Parquet files through the same Feast registry; only ``offline_store`` differs.
Measured: each answer in a process of its own, under a limit of time and of memory that the kernel enforces. "whole" is
from the start of the process to the answer in hand as Arrow, with the imports; "retrieval" leaves out imports, the
opening of the store and the reading of the entity rows; "own" leaves out Feast around the offline store too. Peak is
the largest resident set until the answer. Medians of three, one where it takes over 15 s. Answers are compared.
Three views of ten float64 features in each cell, if it does not say otherwise; rows in order of time, ten a key on
average; a ttl of a quarter of the year that they cover. Files have a created column. Ours respects it, as it does by
default, which is more work: the others, and "ours, ignoring created", take a row for known from its event time on.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.retrieval.cells import CELLS, Cell, named
from benchmarks.retrieval.limits import Memory
from benchmarks.retrieval.measure import Bench, Figure, difference
from benchmarks.retrieval.scripts import fitting
from benchmarks.retrieval.verdicts import Row, verdicts
from benchmarks.tables import table

STORES = ("ours", "ours-ignore", "duckdb", "dask", "polars")
_NAMES = {"ours": "ours", "ours-ignore": "ours, ignoring created", "duckdb": "Feast's duckdb store",
          "dask": "Feast's dask store"}  # fmt: skip
_DASK = ("10k-1m", "100k-1m", "1m-1m", "100k-1m-deep", "latest-1m", "issue-3003")
_RATIOS = ("cell", "duckdb / ours", "the same in CPU s", "duckdb / ours, ignoring", "dask / ours", "own / best script")
_HEAD = ("cell", "program", "whole s", "CPU s", "peak MiB", "retrieval s", "its CPU s", "own s", "answer")


def measured(bench: Bench, cells: Sequence[Cell], stores: Sequence[str], all_of_them: bool) -> list[Row]:
    """Every cell's figures; what the peers cannot do is tried once."""
    rows: list[Row] = []
    failed: set[str] = set()
    for cell in cells:
        skipped = bench.prepare(cell)
        if skipped:
            print(f"{cell.name}: left out, it {skipped}", file=sys.stderr, flush=True)
            continue
        asked = [store for store in stores if all_of_them or (store not in failed and _fits(store, cell))]
        programs = {store: bench.best_script(cell, fitting(cell)) if store == "polars" else store for store in asked}
        found = bench.figures(cell, [program for program in programs.values() if program])
        figures = {store: found[program] for store, program in programs.items() if program}
        failed |= {store for store, figure in figures.items() if figure.stopped and store == "dask"}
        rows.append(Row(cell=cell, figures=figures))
    return rows


def _fits(store: str, cell: Cell) -> bool:
    """Whether a store is asked by default: newest rows know no known time, and dask can do small cells only."""
    return {"dask": cell.name in _DASK, "ours-ignore": cell.entities > 0}.get(store, True)


def lines(row: Row) -> Iterator[tuple[str, ...]]:
    """A cell's lines of the table."""
    reference = row.bare or row.done("polars")
    for store, figure in row.figures.items():
        name = _NAMES.get(store, f"`{figure.program}`")
        if figure.stopped:
            yield (str(row.cell), name, "", "", "", "", "", "", figure.stopped)
            continue
        seconds = [f"{figure.retrieval:.3f}", f"{figure.retrieval_cpu:.3f}", f"{figure.own:.3f}"]
        yield (str(row.cell), name, f"{figure.seconds:.2f}", f"{figure.cpu:.2f}", f"{figure.peak_mib:,.0f}", *seconds,
               _compared(row, store, figure, reference))  # fmt: skip


def _compared(row: Row, store: str, figure: Figure, reference: Figure | None) -> str:
    if reference is None or figure is reference:
        return ""
    apart = difference(figure, reference)
    if store == "ours" and row.cell.entities:
        return "as known then" if apart else "the same: nothing was late"
    return apart or "the same"


def show(rows: Sequence[Row], *, judged: bool) -> bool:
    """Prints tables; whether no claim was missed."""
    print(table(_HEAD, [line for row in rows for line in lines(row)]))
    ratios = [(str(row.cell), *row.ratios()) for row in rows]
    print(f"\n{table(_RATIOS, ratios)}")
    if not judged:
        print("\nclaims: not judged on scaled cells")
        return True
    found = verdicts(rows)
    print()
    for verdict in found:
        print(f"claim ({verdict.claim}): {verdict}")
    return all(verdict.held is not False for verdict in found)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="mlops-benchmark-") as made:
        yield Path(made)


def main() -> int:
    """Exit code 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.offline_stores", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--cells", type=named, help=f"of {','.join(cell.name for cell in CELLS)}")
    parser.add_argument("--stores", type=lambda text: text.split(","), default=STORES, help=f"of {','.join(STORES)}")
    parser.add_argument("--rows-scale", type=float, default=1.0, help="times the rows of every cell")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a folder that keeps the files, or has them")
    parser.add_argument("--all", action="store_true", help="also the largest cell, and dask in every cell")
    parser.add_argument("--seconds", type=float, default=300.0, help="that one answer may take (default 300)")
    parser.add_argument("--memory", type=float, default=16.0, help="GiB that one process may have (default 16)")
    parser.add_argument("--options", type=json.loads, default={}, help="more options of our offline store, as JSON")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.stores) - set(STORES)):
        parser.error(f"no store named {', '.join(unknown)}; there are {', '.join(STORES)}")
    cells = asked.cells or [cell for cell in CELLS if asked.all or not cell.large]
    with _folder(asked.keep) as home, Memory(asked.memory) as memory:
        print(f"Limits of each process: {memory.how}, {asked.seconds:g} s.\n", flush=True)
        bench = Bench(home=home, memory=memory, seconds=asked.seconds, repetitions=asked.repetitions,
                      options=asked.options)  # fmt: skip
        rows = measured(bench, [cell.scaled(asked.rows_scale) for cell in cells], asked.stores, asked.all)
    return 0 if show(rows, judged=asked.rows_scale == 1) else 1


if __name__ == "__main__":
    sys.exit(main())
