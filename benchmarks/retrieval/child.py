"""One process, one answer: ``python -m benchmarks.retrieval.child HOME CELL PROGRAM`` prints what it cost as JSON.

PROGRAM is a store of ``feast_stores``, ``polars:SCRIPT``, ``prepare``, which makes the files and the registry, or
``check``, which compares an answer that was persisted with a plain reading of the rules.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.retrieval.cells import Cell


def peak_mib() -> float:
    """The largest resident set of this program; ``ru_maxrss`` would count its parent's, from before it was this one."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024


def prepare(home: Path, cell: Cell) -> dict[str, Any]:
    """Makes what is missing; tells why it cannot."""
    from benchmarks.retrieval.data import NoSpaceError, make
    from benchmarks.retrieval.feast_stores import apply

    try:
        make(home, cell)
    except NoSpaceError as found:
        return {"skipped": str(found)}
    apply(home, cell)
    return {}


def by_feast(home: Path, cell: Cell, store: str, options: dict[str, Any], persist: Path | None) -> dict[str, Any]:
    """A store's answer, as Arrow or as the file it is persisted to."""
    from benchmarks.retrieval.feast_stores import entity_rows, job, opened

    feast = opened(home, cell, store, options)
    entities = entity_rows(home, cell, store) if cell.entities else None
    begun, cpu = time.perf_counter(), time.process_time()
    found, around = job(feast, cell, entities)
    if persist is None:
        answer = found.to_arrow()
    else:
        from feast.infra.offline_stores.file_source import SavedDatasetFileStorage

        found.persist(SavedDatasetFileStorage(path=str(persist)), allow_overwrite=True)
        answer = None
    told = _told(begun, cpu, around)
    return told if answer is None else told | summary(answer)


def by_polars(home: Path, cell: Cell, script: str) -> dict[str, Any]:
    """A script's answer, as Arrow."""
    import polars as pl

    from benchmarks.retrieval.data import entity_path, view_path
    from benchmarks.retrieval.scripts import answer

    entities = pl.read_parquet(entity_path(home, cell)) if cell.entities else None
    begun, cpu = time.perf_counter(), time.process_time()
    scans = [pl.scan_parquet(view_path(home, cell, view)) for view in range(cell.views if cell.entities else 1)]
    found = answer(script, scans, entities, cell).to_arrow()
    return _told(begun, cpu, 0.0) | summary(found)


def _told(begun: float, cpu: float, around: float) -> dict[str, Any]:
    retrieval = time.perf_counter() - begun
    return {"ended": time.perf_counter(), "cpu": time.process_time(), "peak_mib": peak_mib(), "retrieval": retrieval,
            "retrieval_cpu": time.process_time() - cpu, "own": retrieval - around}  # fmt: skip


def summary(answer: Any) -> dict[str, Any]:
    """What two answers in any order of rows can be compared by: rows, and sums and nulls of each feature.

    Each feature is also summed times the number of its row (its key, for newest rows), so that a value given to
    another row is seen.
    """
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(answer))
    weight = pl.col("row" if "row" in frame.columns else "key").cast(pl.Float64)
    names = sorted(name for name in frame.columns if name.startswith("v"))
    values = [pl.col(name).cast(pl.Float64).fill_nan(None) for name in names]
    sums = frame.select(value.sum() for value in values).row(0)
    weighted = frame.select((value * weight).sum() for value in values).row(0)
    nulls = frame.select(value.is_null().sum() for value in values).row(0)
    return {"rows": frame.height, "sums": sums, "weighted": weighted, "nulls": nulls}


def main() -> int:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval.child", description=__doc__)
    parser.add_argument("home", type=Path)
    parser.add_argument("cell", type=Cell.loads)
    parser.add_argument("program")
    parser.add_argument("--options", type=json.loads, default={}, help="of our offline store, as JSON")
    parser.add_argument("--persist", type=Path, help="write the answer to this file")
    asked = parser.parse_args()
    if asked.program == "prepare":
        told = prepare(asked.home, asked.cell)
    elif asked.program == "check":
        from benchmarks.retrieval.check import check

        told = check(asked.home, asked.cell, asked.persist)
    elif asked.program.startswith("polars:"):
        told = by_polars(asked.home, asked.cell, asked.program.removeprefix("polars:"))
    else:
        told = by_feast(asked.home, asked.cell, asked.program, asked.options, asked.persist)
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
