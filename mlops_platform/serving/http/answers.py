"""Answers of a live model as JSON or Arrow, row by row in the order of the question."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.online_store import OnlineFeatures, Status
from mlops_platform.serving.http.errors import Refused
from mlops_platform.serving.question import Answer, Question

_WORDS = {int(status): status.name.lower() for status in Status}
_AT_A_TIME = 500
dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True, kw_only=True)
class Told:
    """What callers get: the answers of champion and canary, put together.

    Attributes:
        model: Its name.
        version, checkpoint: Of the champion.
        order: For each row of the question, which answer has it, and at which place.
        answers: Champion's and canary's.
        names: The caller's id of each row, or None.
        given: Feature values that the caller brought, where it did.
    """

    model: str
    version: str
    checkpoint: str
    order: list[tuple[int, int]]
    answers: list[Answer]
    names: list[str | None]
    given: pl.DataFrame | None

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.order)


def told(model: str, question: Question, answers: Sequence[Answer], id_column: str) -> Told:
    """Puts the answers that callers get into the order of the question.

    Raises:
        RuntimeError: A row was answered by none, or by several.
    """
    shown = [answer for answer in answers if answer.role != "shadow"]
    champion = next((answer for answer in shown if answer.role == "champion"), shown[0])
    whose = np.full(question.examples.height, -1)
    place = np.zeros(question.examples.height, dtype=np.int64)
    for number, answer in enumerate(shown):
        whose[answer.rows] = number
        place[answer.rows] = np.arange(len(answer.rows))
    if (whose < 0).any() or sum(len(answer.rows) for answer in shown) != len(whose):
        raise RuntimeError("champion and canary together answer each row once")
    return Told(
        model=model, version=champion.version, checkpoint=champion.checkpoint,
        order=list(zip(whose.tolist(), place.tolist(), strict=True)), answers=shown,
        names=question.examples[id_column].cast(pl.String).to_list(), given=question.features,
    )  # fmt: skip


def numbers(scores: np.ndarray) -> list[Any]:
    """Scores as Python's numbers, each the shortest that reads back as the same float32.

    Raises:
        Refused: A score is no finite number, which JSON cannot say.
    """
    if not np.isfinite(scores).all():
        raise Refused(
            422, "no_score", required="rows that the model has a finite score for", found="a score that is none",
            remedy="look at the values: they are far from any that it learnt from",
        )  # fmt: skip
    if scores.ndim == 2:
        return [numbers(row) for row in scores]
    return [float(text) for text in scores.astype(np.float32).astype("U16")]


def in_order(told: Told) -> list[Any]:
    """Scores in the order of the question."""
    scores = [numbers(answer.scores) for answer in told.answers]
    return [scores[number][place] for number, place in told.order]


def as_json(told: Told, *, features: bool) -> bytes:
    """The answer as JSON, made piece by piece so that other threads get their turn."""
    scores = [numbers(answer.scores) for answer in told.answers]
    used = [_used(answer, told, number) for number, answer in enumerate(told.answers)] if features else None
    head = dump({"model": told.model, "version": told.version, "checkpoint": told.checkpoint})
    pieces: list[str] = []
    for begun in range(0, told.rows, _AT_A_TIME):
        part = [_prediction(told, row, scores, used) for row in range(begun, min(begun + _AT_A_TIME, told.rows))]
        pieces.append(dump(part)[1:-1])
    return f'{head[:-1]},"predictions":[{",".join(pieces)}]}}'.encode()


def _prediction(
    told: Told, row: int, scores: list[list[Any]], used: list[list[dict[str, Any]]] | None
) -> dict[str, Any]:
    number, place = told.order[row]
    answer = told.answers[number]
    found: dict[str, Any] = {"prediction_id": answer.ids[place], "score": scores[number][place], "role": answer.role}
    if told.names[row] is not None:
        found["id"] = told.names[row]
    if answer.role == "canary":
        found["version"] = answer.version
    if answer.marks[place]:
        found["marks"] = answer.marks[place]
    if used is not None:
        found["features"] = used[number][place]
    return found


def _used(answer: Answer, told: Told, number: int) -> list[dict[str, Any]]:
    """For each row of an answer its features by name: value, times and status."""
    if answer.features is None:
        assert told.given is not None
        nothing = {"event_timestamp": None, "known_timestamp": None, "status": "given"}
        rows = told.given[answer.rows].to_dicts()
        return [{name: {"value": _plain(value), **nothing} for name, value in row.items()} for row in rows]
    found: list[dict[str, Any]] = [{} for _ in answer.ids]
    for name, values, times in _columns(answer.features):
        for row, value, event, known, status in zip(found, values.to_list(), *times, strict=True):
            row[name] = {"value": _plain(value), "event_timestamp": _time(event), "known_timestamp": _time(known),
                         "status": _WORDS[status]}  # fmt: skip
    return found


def _columns(features: OnlineFeatures) -> Iterator[tuple[str, pl.Series, tuple[list[Any], list[Any], list[Any]]]]:
    tables = {t: (features.events[t].to_list(), features.knowns[t].to_list(), features.statuses[t].to_list())
              for t in features.statuses.columns}  # fmt: skip
    for values in features.values.get_columns():
        # Tables and columns may both hold two underscores: the longest table that fits is the one.
        table = max((t for t in tables if values.name.startswith(f"{t}__")), key=len)
        yield values.name, values, tables[table]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return _time(value) if isinstance(value, datetime) else value


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def as_frame(told: Told, *, features: bool) -> pl.DataFrame:
    """The answer as columns, in the order of the question.

    Returns:
        ``prediction_id``, ``id``, ``score`` (Float32; of a forecast an array of them), ``role``, ``version``,
        ``checkpoint``, ``marks`` (JSON text or null) and, where asked for, each feature ``table__column`` and, where it
        was fetched, ``event_timestamp``, ``known_timestamp`` (UTC) and ``status`` of each table as ``table__...``.
    """
    parts = [_part(answer, told, features) for answer in told.answers]
    rows = np.concatenate([answer.rows for answer in told.answers])
    whole = pl.concat(parts) if len(parts) > 1 else parts[0]
    ordered = whole[np.argsort(rows)] if len(parts) > 1 else whole
    return ordered.insert_column(1, pl.Series("id", told.names, dtype=pl.String))


def _part(answer: Answer, told: Told, features: bool) -> pl.DataFrame:
    marks = [dump(marks) if marks else None for marks in answer.marks]
    same = {"role": answer.role, "version": answer.version, "checkpoint": answer.checkpoint}
    # Of its columns, not by expressions: a query costs polars 0.1 ms before it begins.
    frame = pl.DataFrame([
        pl.Series("prediction_id", answer.ids, dtype=pl.String),
        pl.Series("score", answer.scores, dtype=_dtype(answer.scores)),
        *(pl.Series(name, [value], dtype=pl.String).new_from_index(0, len(answer.ids)) for name, value in same.items()),
        pl.Series("marks", marks, dtype=pl.String),
    ])  # fmt: skip
    if not features:
        return frame
    if answer.features is None:
        assert told.given is not None
        return frame.hstack(told.given[answer.rows])
    return frame.hstack(answer.features.values).hstack(_times(answer.features))


def _dtype(scores: np.ndarray) -> pl.DataType:
    return pl.Array(pl.Float32(), scores.shape[1]) if scores.ndim == 2 else pl.Float32()


def _times(features: OnlineFeatures) -> pl.DataFrame:
    found: list[pl.Series] = []
    for table in features.statuses.columns:
        words = features.statuses[table].replace_strict(_WORDS, return_dtype=pl.String)
        found += [features.events[table].alias(f"{table}__event_timestamp"),
                  features.knowns[table].alias(f"{table}__known_timestamp"),
                  words.alias(f"{table}__status")]  # fmt: skip
    return pl.DataFrame(found)


def as_arrow(frame: pl.DataFrame, metadata: Mapping[str, str]) -> bytes:
    """A frame as an Arrow IPC stream, its schema marked with metadata."""
    import pyarrow as pa

    # Column by column: a whole frame waits for polars' threads, a millisecond at times on a busy machine.
    columns = [column.to_arrow(compat_level=pl.CompatLevel.oldest()) for column in frame.get_columns()]
    table = pa.table(columns, names=frame.columns, metadata=dict(metadata))
    target = BytesIO()
    with pa.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table)
    return target.getvalue()
