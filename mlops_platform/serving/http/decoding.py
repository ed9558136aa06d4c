"""Bodies as bytes become frames: JSON read strictly, Arrow read whole."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import polars as pl

from mlops_platform.serving.http.arrow_messages import require_plain
from mlops_platform.serving.http.columns import Given, frame_of
from mlops_platform.serving.http.errors import Refused, invalid, malformed, shown

JSON, ARROW = "application/json", "application/vnd.apache.arrow.stream"
_READABLE = "a JSON object in UTF-8, of unique names and no NaN or Infinity"


def content_type(header: str | None, known: Sequence[str]) -> str:
    """The type of a body, one of those known.

    Raises:
        Refused: 415 for another, for another character set than UTF-8, and for none, since a web page of another
            origin can send that without asking.
    """
    kind, *parameters = [part.strip().lower() for part in (header or "").split(";")]
    charset = [value.strip('"') for name, _, value in (each.partition("=") for each in parameters) if name == "charset"]
    if kind not in known or any(name not in ("utf-8", "utf8") for name in charset):
        raise Refused(
            415, "media_type", required=f"Content-Type {' or '.join(known)}", found=shown(header or "none"),
            remedy="name the type of the body",
        )  # fmt: skip
    return kind


def read_json(body: bytes, *, nan: bool = False) -> dict[str, Any]:
    """A JSON object, read strictly.

    Args:
        body: The bytes.
        nan: Whether ``NaN`` is taken, as null: pandas writes its missing values so.

    Raises:
        Refused: 400 for what is no JSON object, has a name twice, NaN or Infinity, is no UTF-8 or nested too deeply.
    """
    try:
        # As text: of bytes Python would guess UTF-16 and UTF-32, and take half of a surrogate pair.
        text = body.decode("utf-8-sig")
        # Its reader hands each object to a function, between which other threads get their turn.
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_null if nan else _no_constant)
    except RecursionError:
        raise malformed(_READABLE, "nesting deeper than this service reads", "send flat rows") from None
    except UnicodeDecodeError as error:
        raise malformed(_READABLE, f"bytes that are no UTF-8 at {error.start}", "send UTF-8") from None
    except json.JSONDecodeError as error:
        found_there = f"{error.msg} at character {error.pos}"
        raise malformed(_READABLE, found_there, "mend the body") from None
    except ValueError:
        raise malformed(_READABLE, "a number of too many digits", "send numbers that 64 bits hold") from None
    if type(found) is not dict:
        raise malformed(_READABLE, f"a {type(found).__name__}", 'send {"entities": [...]}, or as /docs says')
    return found


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise malformed(_READABLE, f"name {shown(twice)} twice in one object", "send each name once")
    return found


def _no_constant(name: str) -> NoReturn:
    raise malformed(_READABLE, name, "send null for what is missing")


def _null(name: str) -> None:
    if name != "NaN":
        _no_constant(name)


def rows_frame(columns: Sequence[Given], rows: Any, place: str, most: int) -> pl.DataFrame:
    """Rows as JSON objects become a frame.

    Raises:
        Refused: No list of objects, too many, or a value that does not fit; see ``frame_of``.
    """
    if type(rows) is not list or not rows:
        raise invalid(place, "a list of at least one object", shown(rows))
    require_rows(len(rows), most)
    known = frozenset(column.name for column in columns)
    needed = frozenset(column.name for column in columns if column.required)
    for number, row in enumerate(rows):
        if type(row) is not dict or not needed <= row.keys() <= known:
            raise _wrong_row(row, f"{place}[{number}]", known, needed)
    names = {name for name in known if name in needed or any(name in row for row in rows)}
    values = {name: [row.get(name) for row in rows] for name in names}
    return frame_of(columns, values, len(rows), place)


def _wrong_row(row: Any, place: str, known: frozenset[str], needed: frozenset[str]) -> Refused:
    if type(row) is not dict:
        return invalid(place, "an object", shown(row))
    unknown, missing = sorted(row.keys() - known), sorted(needed - row.keys())
    if unknown:
        return invalid(place, f"of the columns {', '.join(sorted(known))}", f"unknown column {shown(unknown[0])}",
                       "leave it out, or mend its name")  # fmt: skip
    return invalid(place, f"an object that names {', '.join(missing)}", "no such column",
                   "name each column, with null where its value is not known")  # fmt: skip


def require_rows(rows: int, most: int) -> None:
    """Refuses more rows than are answered at a time."""
    if rows > most:
        raise Refused(
            413, "rows", required=f"at most {most:,} rows", found=f"{rows:,}",
            remedy="divide them, or ask the operator for a higher --max-rows",
        )  # fmt: skip


def read_arrow(body: bytes) -> tuple[pl.DataFrame, Mapping[str, str]]:
    """An Arrow IPC stream as a frame, and the metadata of its schema.

    Raises:
        Refused: 400 for bytes that are no such stream, a damaged one, or a compressed one.
    """
    import pyarrow as pa

    try:
        require_plain(body)
        with pa.ipc.open_stream(body) as reader:
            metadata = {_text(name): _text(value) for name, value in (reader.schema.metadata or {}).items()}
            table = reader.read_all()
        # Offsets and UTF-8 of every value: what follows reads them without looking.
        table.validate(full=True)
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        found = type(error).__name__
        raise malformed("an Arrow IPC stream", found, "write it with pyarrow.ipc.new_stream or polars' "
                        "write_ipc_stream") from None  # fmt: skip
    names = table.column_names
    if len(set(names)) != len(names):
        raise malformed("an Arrow stream of unique columns", "a column twice", "send each column once")
    nested = [field.name for field in table.schema if not _flat(field.type)]
    if nested:
        raise invalid(shown(nested[0]), "a column of plain values", "another Arrow type")
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame, metadata


def _text(value: bytes) -> str:
    return value.decode("utf-8")


def _flat(kind: Any) -> bool:
    import pyarrow.types as types

    value = kind.value_type if types.is_dictionary(kind) else kind
    return bool(
        types.is_null(value) or types.is_boolean(value) or types.is_integer(value) or types.is_floating(value)
        or types.is_string(value) or types.is_large_string(value) or types.is_string_view(value)
        or types.is_timestamp(value)
    )  # fmt: skip
