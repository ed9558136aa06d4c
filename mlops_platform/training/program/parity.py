"""The trained module and its exported forms asked the same rows: the whole holdout, whose labels are not read."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch

from mlops_platform.scoring import Encoding, Scorer
from mlops_platform.scoring.parity import TOLERANCE, Gap, Parity
from mlops_platform.scoring.steps import sequences
from mlops_platform.training.job import Job
from mlops_platform.training.program.mapped import chunks
from mlops_platform.training.program.network import ScoringProgram
from mlops_platform.training.program.sequences import SequenceRows, Windows
from mlops_platform.training.program.stepping import OneStep, answers

_STEPS = 512
# What layers hold of rows at a time grows with their number, in torch and in ONNX Runtime, and is kept by both.
_ROWS = 4096


class _Sums:
    """The gap of scores that are told part by part."""

    def __init__(self, resolution: np.ndarray) -> None:
        self._resolution = resolution
        self._largest = self._sum = 0.0
        self._counted = self._unlike = 0

    def add(self, ours: np.ndarray, theirs: np.ndarray) -> None:
        finite = np.isfinite(ours) & np.isfinite(theirs)
        self._unlike += int((~finite & ~((ours == theirs) | (np.isnan(ours) & np.isnan(theirs)))).sum())
        with np.errstate(invalid="ignore"):
            off = (np.abs(ours.astype(np.float64) - theirs) / self._resolution)[finite]
        if len(off):
            self._largest = max(self._largest, float(off.max()))
            self._sum += float(off.sum())
            self._counted += len(off)

    @property
    def gap(self) -> Gap:
        return Gap(largest=self._largest, mean=self._sum / max(self._counted, 1), unlike=self._unlike)


class _FromArchive(Scorer):
    """The scorer as it is, but that torch's form of the program answers."""

    def __init__(self, encoding: Encoding, exported: bytes, archive: bytes) -> None:
        super().__init__(encoding, exported)
        self._module = torch.export.load(io.BytesIO(archive)).module()

    def answer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            told = self._module(*(torch.from_numpy(array) for array in inputs.values()))
        parts = told if isinstance(told, tuple) else (told,)
        return {name: part.numpy() for name, part in zip(self._outputs, parts, strict=True)}


def compare(job: Job, program: ScoringProgram | OneStep, encoding: Encoding, exported: bytes,
            archive: bytes) -> Parity:  # fmt: skip
    """Scores every row of a job's holdout by the module and by both its exported forms.

    A difference is recorded and not refused: days of training are not thrown away for it, and a blocking check of the
    checkpoint holds back whatever follows.

    Args:
        job: Names the holdout, and what leads up to it.
        program: In evaluation mode, on the CPU, in float32; of sequences, one step of it.
        encoding: Of the rows, with the state of a program of sequences.
        exported: The ONNX program.
        archive: Torch's form of it.
    """
    assert job.holdout is not None
    resolution = program.resolution.numpy().astype(np.float64)
    parts = _of_sequences(job, program, encoding) if isinstance(program, OneStep) else _of_rows(job, program, encoding)
    scorer, other = Scorer(encoding, exported), _FromArchive(encoding, exported, archive)
    ours, theirs, rows = _Sums(resolution), _Sums(resolution), 0
    for frame, history, scores in parts:
        rows += frame.height
        told = scorer.score(frame, history)
        ours.add(scores, told)
        # Torch's form takes sequences step by step, slowly: it is asked from the holdout's first step on.
        theirs.add(told if history is None else scorer.score(frame), other.score(frame))
    return Parity(rows=rows, tolerance=TOLERANCE, program=ours.gap, torch_program=theirs.gap)


_Part = tuple[pl.DataFrame, pl.DataFrame | None, np.ndarray]


def _of_rows(job: Job, program: ScoringProgram, encoding: Encoding) -> Iterator[_Part]:
    """Rows of the holdout, a part after the other, and the module's scores of them."""
    assert job.holdout is not None
    parts = (part for chunk in chunks(job.holdout, list(encoding.columns)) for part in chunk.iter_slices(_ROWS))
    for frame in parts:
        with torch.inference_mode():
            yield frame, None, program(*(torch.from_numpy(part) for part in encoding.encode(frame))).numpy()


def _of_sequences(job: Job, program: OneStep, encoding: Encoding) -> Iterator[_Part]:
    """The rows of the holdout, those before, and the module's scores, to which it comes through all of them."""
    columns = list(encoding.columns)
    assert encoding.carried is not None and job.holdout is not None and job.network.sequence is not None
    holdout = _read(job.holdout, columns)
    before = [_read(path, columns) for path in (job.train, job.validation, job.context) if path is not None]
    # As the scorer does: where a row of the holdout is told twice, it stands.
    same = list(encoding.carried.columns)
    history = pl.concat(before, how="vertical_relaxed").join(holdout, on=same, how="anti", nulls_equal=True)
    every = pl.concat([holdout, history], how="vertical_relaxed")
    order, lengths = sequences(every, encoding.carried.entity)
    starts = torch.from_numpy(np.cumsum(lengths) - lengths)
    numeric, categories = (torch.from_numpy(part[order]) for part in encoding.encode(every))
    # As its label each row has its place, so that what a window answers finds home; padding has none.
    places = torch.from_numpy(order.astype(np.float64))
    rows = SequenceRows(numeric, categories, places, starts=starts, lengths=torch.from_numpy(lengths.copy()))
    windows = Windows(rows, window=_STEPS, parallel=job.network.sequence.parallel, seed=None)
    scores = _walked(program, windows, every.height)
    yield holdout, history, scores[: holdout.height]


def _walked(program: OneStep, windows: Windows, count: int) -> np.ndarray:
    """Scores [N] or [N, H] of rows that windows of them name by their places, several steps at once."""
    scores = np.empty((count, *program.resolution.shape), dtype=np.float32)
    state = torch.empty(0)
    with torch.inference_mode():
        for window in windows:
            if window.fresh:
                state = program.initial_state(len(window.label))
            told, state = answers(program.program, window.numeric, window.categories, state)
            known = ~window.label.isnan()
            scores[window.label[known].long().numpy()] = program.program.in_units(told)[known].numpy()
    return scores


def _read(path: Path, columns: list[str]) -> pl.DataFrame:
    return pl.read_parquet(path, columns=columns)
