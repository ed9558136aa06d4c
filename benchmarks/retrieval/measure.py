"""Measures programs on a cell: each answer in a process of its own, under limits, medians of a few."""

import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.retrieval.cells import Cell
from benchmarks.retrieval.limits import Memory, run

_LONG = 15.0  # seconds; a program that takes longer is asked once


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What one program's answer to one cell cost.

    Attributes:
        program: Its name; a script of polars as ``polars:NAME``.
        stopped: Why there is no answer; empty if there is.
        seconds: Wall time from the process's start to the answer in hand, or until it was stopped for its time.
        cpu: CPU seconds until then.
        peak_mib: Largest resident set until then.
        retrieval: Wall seconds of the retrieval alone: no imports, the store opened, the entity rows read.
        retrieval_cpu: CPU seconds of it.
        own: Of its wall seconds, what was not spent in Feast around the offline store.
        times: How often it was asked.
        answer: Rows, sums and nulls.
    """

    program: str
    stopped: str = ""
    seconds: float = 0.0
    cpu: float = 0.0
    peak_mib: float = 0.0
    retrieval: float = 0.0
    retrieval_cpu: float = 0.0
    own: float = 0.0
    times: int = 0
    answer: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where and how is measured.

    Attributes:
        home: Folder of the files.
        memory: Limit of each process, entered.
        seconds: Wall time that each may take.
        repetitions: How often what is quick is asked.
        options: Of our offline store.
    """

    home: Path
    memory: Memory
    seconds: float
    repetitions: int
    options: Mapping[str, Any]

    def prepare(self, cell: Cell) -> str:
        """Makes a cell's files; returns why that is not possible, or nothing."""
        told = self._child(cell, "prepare", seconds=3_600)
        if isinstance(told, str):
            raise SystemExit(f"the files of {cell.name} could not be made: {told}")
        return told.get("skipped", "")

    def figures(self, cell: Cell, programs: Sequence[str], *, repetitions: int | None = None) -> dict[str, Figure]:
        """The figures of some programs, asked in turn so that what else the machine does falls on all of them."""
        told: dict[str, list[dict[str, Any]]] = {program: [] for program in programs}
        stopped: dict[str, str] = {}
        for _ in range(repetitions or self.repetitions):
            for program, answers in told.items():
                if program in stopped or (answers and answers[0]["seconds"] > _LONG):
                    continue
                one = self._child(cell, program, seconds=self.seconds)
                if isinstance(one, str):
                    stopped[program] = one
                else:
                    answers.append(one)
                self._say(cell, program, one)
        return {program: self._figure(program, told[program], stopped.get(program, "")) for program in programs}

    def best_script(self, cell: Cell, scripts: Sequence[str]) -> str | None:
        """The name of the fastest script, each asked once."""
        tried = self.figures(cell, [f"polars:{name}" for name in scripts], repetitions=1).values()
        done = sorted((figure.retrieval, figure.program) for figure in tried if not figure.stopped)
        return done[0][1] if done else None

    def _figure(self, program: str, told: Sequence[Mapping[str, Any]], stopped: str) -> Figure:
        if stopped:
            late = self.seconds if stopped.startswith("over time") else 0.0
            return Figure(program=program, stopped=stopped, seconds=late)
        names = ("seconds", "cpu", "peak_mib", "retrieval", "retrieval_cpu", "own")
        medians = {name: statistics.median(one[name] for one in told) for name in names}
        return Figure(program=program, times=len(told), answer=told[0], **medians)

    @staticmethod
    def _say(cell: Cell, program: str, one: Mapping[str, Any] | str) -> None:
        told = one if isinstance(one, str) else f"{one['seconds']:.2f} s, retrieval {one['retrieval']:.3f} s"
        print(f"{cell.name} {program}: {told}", file=sys.stderr, flush=True)

    def _child(self, cell: Cell, program: str, *, seconds: float) -> dict[str, Any] | str:
        command = [sys.executable, "-m", "benchmarks.retrieval.child", str(self.home), cell.dumps(), program,
                   "--options", json.dumps(dict(self.options))]  # fmt: skip
        begun = time.perf_counter()
        done = run(command, cwd=self.home, memory=self.memory, seconds=seconds)
        if done.stopped:
            return done.stopped
        told = json.loads(done.output.splitlines()[-1])
        return told | {"seconds": told.get("ended", begun) - begun}


def difference(one: Figure, other: Figure) -> str:
    """How two answers differ; empty if they do not."""
    if one.answer["rows"] != other.answer["rows"]:
        return f"{one.answer['rows']:,} rows against {other.answer['rows']:,}"
    for what in ("nulls", "sums", "weighted"):
        pairs = list(zip(one.answer[what], other.answer[what], strict=True))
        apart = sum(abs(a - b) > 1e-7 * max(1.0, abs(a), abs(b)) for a, b in pairs)
        if apart:
            return f"other {what} in {apart} of {len(pairs)} features"
    return ""
