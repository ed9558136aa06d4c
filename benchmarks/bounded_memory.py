"""Our Feast offline store answers 10M entity rows from 100M feature rows under 8 GiB that the kernel enforces.

Claim: a retrieval larger than the memory it may have ends, with as many rows as were asked and the right answers,
whether the file is in order of time, sorted by key and time, or has half of its rows, and of the entity rows, under one
key.
Peer: with ``--peer``, Feast's duckdb store under the same limit and on the same file; it may take 15 minutes.
Measured: one view of ten float32 features (6.6 GB of Parquet), known time respected, ten rows a key, a ttl of a quarter
of the year covered. The whole process runs in a control group of 8 GiB (v1, or v2 where the controller is delegated),
else under RLIMIT_DATA; which of them is printed. Page cache counts in a control group, but gives way. The answer is
persisted to Parquet by the job itself, then its rows are counted, and the features of some hundred of them compared
with a plain reading of the rules, by a process without a limit. Once each: this is about ending, not about speed.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from benchmarks.retrieval.cells import MILLION, Cell
from benchmarks.retrieval.limits import Memory, run
from benchmarks.tables import table

CELLS = {
    "unsorted": Cell(name="unsorted", entities=10 * MILLION, rows=100 * MILLION, views=1, small=True),
    "sorted": Cell(name="sorted", entities=10 * MILLION, rows=100 * MILLION, views=1, small=True, by_key=True),
    "skewed": Cell(name="skewed", entities=10 * MILLION, rows=100 * MILLION, views=1, small=True, skewed=True),
}
GIB, HOURS = 8.0, 2.0
_PEER_SECONDS = 900.0
_HEAD = ("files", "store", "rows asked", "rows back", "checked", "s", "CPU s", "peak MiB", "")


def answered(home: Path, cell: Cell, store: str, memory: Memory, seconds: float, options: dict[str, Any]) -> list[str]:
    """A line of the table."""
    target = home / "answer.parquet"
    target.unlink(missing_ok=True)
    child = [sys.executable, "-m", "benchmarks.retrieval.child", str(home), cell.dumps()]
    asked = [cell.name, store, f"{cell.entities:,}"]
    done = run([*child, store, "--options", json.dumps(options), "--persist", str(target)], cwd=home, memory=memory,
               seconds=seconds)  # fmt: skip
    if done.stopped:
        return [*asked, "", "", f"{done.seconds:.0f}", "", "", done.stopped]
    told = json.loads(done.output.splitlines()[-1])
    with Memory(64) as plenty:
        check = run([*child, "check", "--persist", str(target)], cwd=home, memory=plenty, seconds=3_600)
    if check.stopped:
        raise SystemExit(f"the answer could not be checked: {check.stopped}")
    found = json.loads(check.output.splitlines()[-1])
    wrong = f"{found['wrong']} WRONG" if found["wrong"] and store == "ours" else ""
    if found["wrong"] and store != "ours":
        wrong = f"{found['wrong']} other: known time is ignored"
    return [*asked, f"{found['rows']:,}", str(found["checked"]), f"{told['retrieval']:.0f}", f"{told['cpu']:.0f}",
            f"{told['peak_mib']:,.0f}", wrong]  # fmt: skip


def held(lines: Sequence[Sequence[str]]) -> bool:
    """Whether each of our answers came, whole and right."""
    return all(line[2] == line[3] and not line[-1] for line in lines if line[1] == "ours")


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    with nullcontext(str(keep.absolute())) if keep else tempfile.TemporaryDirectory(prefix="mlops-benchmark-") as made:
        yield Path(made)


def _prepare(home: Path, cell: Cell) -> str:
    with Memory(64) as plenty:
        command = [sys.executable, "-m", "benchmarks.retrieval.child", str(home), cell.dumps(), "prepare"]
        done = run(command, cwd=home, memory=plenty, seconds=7_200)
    if done.stopped:
        raise SystemExit(f"the files of {cell.name} could not be made: {done.stopped}")
    return json.loads(done.output.splitlines()[-1]).get("skipped", "")


def main() -> int:
    """Exit code 1 if the claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bounded_memory", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--files", type=lambda text: text.split(","), default=list(CELLS), help=f"of {','.join(CELLS)}")
    parser.add_argument("--scale", type=float, default=1.0, help="times the rows of both sides (0.01: a quick look)")
    parser.add_argument("--memory", type=float, default=GIB, help="GiB (default 8)")
    parser.add_argument("--options", type=json.loads, default={}, help="more options of our offline store, as JSON")
    parser.add_argument("--peer", action="store_true", help="also ask Feast's duckdb store")
    parser.add_argument("--keep", type=Path, help="a folder that keeps the files, or has them")
    asked = parser.parse_args()
    if unknown := sorted(set(asked.files) - set(CELLS)):
        parser.error(f"no files named {', '.join(unknown)}; there are {', '.join(CELLS)}")
    lines, skipped = [], []
    with _folder(asked.keep) as home, Memory(asked.memory) as memory:
        print(f"Limit of each process: {memory.how}.\n", flush=True)
        for cell in (CELLS[name].scaled(asked.scale) for name in asked.files):
            if why := _prepare(home, cell):
                skipped.append(f"{cell.name}: left out, it {why}")
                continue
            lines.append(answered(home, cell, "ours", memory, HOURS * 3_600, asked.options))
            print(f"{cell.name}: {lines[-1]}", file=sys.stderr, flush=True)
            if asked.peer:
                lines.append(answered(home, cell, "duckdb", memory, _PEER_SECONDS, {}))
            if asked.keep is None:
                shutil.rmtree(home / cell.files)
        (home / "answer.parquet").unlink(missing_ok=True)
    print("\n".join([table(_HEAD, lines), "", *skipped]))
    well = held(lines) and not skipped
    print(f"claim (each ends under {asked.memory:g} GiB, whole and right): {'held' if well else 'MISSED'}")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
