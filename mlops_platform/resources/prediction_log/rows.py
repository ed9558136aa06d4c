"""From records of a journal to rows of the prediction log, many requests at once."""

import io
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from mlops_platform.online_store import Status
from mlops_platform.resources.delta import PARTITION
from mlops_platform.resources.prediction_log.records import answers_in
from mlops_platform.resources.prediction_log.schema import log_rows, log_schema
from mlops_platform.spec import Model

_MESSAGE = struct.Struct("<Ii")
"""Before each message of an Arrow IPC stream: a mark, and the length of what describes it."""
_END = 8


@dataclass
class _Alike:
    """Answers whose streams have the same columns, so that they are one stream."""

    told: list[dict[str, Any]] = field(default_factory=list)
    parts: dict[str, list[memoryview]] = field(default_factory=dict)


def rows_of(model: Model, payloads: Iterable[memoryview]) -> pl.DataFrame:
    """The answers of records as rows of the prediction log, by id.

    Args:
        model: The declaration.
        payloads: From ``whole_records``.
    """
    groups: dict[tuple[bytes, ...], _Alike] = {}
    for payload in payloads:
        for told, parts in answers_in(payload):
            schemas = {name: bytes(stream[: _schema_end(stream)]) for name, stream in parts.items()}
            group = groups.setdefault((*map(str.encode, parts), *schemas.values()), _Alike())
            group.told.append(told)
            for name, stream in parts.items():
                begun = group.parts.setdefault(name, [memoryview(schemas[name])])
                begun.append(stream[len(schemas[name]) : -_END])
    frames = [_rows(model, group) for group in groups.values()]
    return pl.concat(frames).sort("prediction_id") if frames else log_schema(model).to_frame()


def _schema_end(stream: memoryview) -> int:
    """Where the first message of a stream ends; a schema has nothing but its description."""
    _, length = _MESSAGE.unpack_from(stream)
    return _MESSAGE.size + int(length)


def _rows(model: Model, group: _Alike) -> pl.DataFrame:
    end = _MESSAGE.pack(0xFFFFFFFF, 0)
    parts = {
        name: pl.read_ipc_stream(io.BytesIO(b"".join((*pieces, end)))).rechunk() for name, pieces in group.parts.items()
    }
    counts = [told["rows"] for told in group.told]
    same = {
        name: pl.Series(name, [told.get(name) for told in group.told], dtype=pl.String)
        .repeat_by(pl.Series(counts))
        .explode()
        for name in ("version", "checkpoint", "role", "online")
    }
    moments = pl.Series("answered_at", [datetime.fromisoformat(told["at"]) for told in group.told])
    at = moments.cast(pl.Datetime("us", "UTC")).repeat_by(pl.Series(counts)).explode()
    columns = [*same.values(), at, at.dt.strftime("%Y-%m-%d").alias(PARTITION),
               as_json(parts["inputs"], "inputs", sum(counts)), as_json(parts["features"], "features", sum(counts)),
               *([_times(parts)] if "statuses" in parts else [])]  # fmt: skip
    return log_rows(model, parts["answers"].with_columns(columns), model=model.name, mode="online")


def as_json(frame: pl.DataFrame, name: str, rows: int) -> pl.Series:
    """A JSON object of the columns for each row; times are ISO 8601, what JSON has no number for is null."""
    if not frame.columns:
        return pl.Series(name, ["{}"] * rows, dtype=pl.String)
    return frame.select(pl.struct(pl.all()).struct.json_encode().alias(name)).to_series()


def _times(parts: Mapping[str, pl.DataFrame]) -> pl.Series:
    names = {int(status): status.name.lower() for status in Status}
    tables = [
        pl.DataFrame({
            "event": parts["events"][table], "known": parts["knowns"][table],
            "status": parts["statuses"][table].replace_strict(names, return_dtype=pl.String),
        }).to_struct(table)
        for table in parts["statuses"].columns
    ]  # fmt: skip
    return as_json(pl.DataFrame(tables), "feature_times", parts["answers"].height)
