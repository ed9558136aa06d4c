"""Raw rows that a caller brings become examples by the project's own functions, as in batch: one for each row."""

import logging
from collections.abc import Sequence

import polars as pl

from mlops_platform.resources.delta import PARTITION, month_of
from mlops_platform.resources.source_code import resolve
from mlops_platform.serving.http.columns import TIME
from mlops_platform.serving.http.errors import Refused, invalid
from mlops_platform.spec import Examples, Model, Project, RawTable

_LOG = logging.getLogger(__name__)
_ROW = "_row"
# What the project's code may raise: anything, and polars panics beside Python's exceptions.
_FAILURES = (Exception, pl.exceptions.PanicException)


def examples_of(project: Project, model: Model, rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """Examples that the project makes of raw rows.

    Its function sees all of them at once and may give them in another order, but an answer has to be of the row at its
    place. So it is also asked of those rows whose number has bit 0, of those whose number has bit 1, and so on: which
    of these answers hold an example is the number of its row, and takes log2(N) questions where one a row takes N.

    Args:
        project, model: The declarations.
        rows: N rows with the columns of the raw table of what is to be predicted.
        names: Columns of an example.

    Returns:
        N rows of those columns, in the order of the rows.

    Raises:
        Refused: 422 where two rows are versions of one fact, the function does not make one example of each, or fails
            on their values; 501 where it does not work whatever the values.
    """
    asked = model.examples
    table = project.raw_table(asked.upcoming_source)
    _require_facts_once(table, rows)
    raw = _as_landed(model, table, rows)
    number = pl.col(_ROW)
    halves = [raw.filter((number // (1 << bit)) % 2 == 1) for bit in range((rows.height - 1).bit_length())]
    whole, *parts = _made(model, asked.upcoming, [raw, *halves])
    _require_form(model, whole, names)
    places = _places(asked, whole[asked.id].to_list(), [part[asked.id].to_list() for part in parts], rows.height)
    examples = whole.select(names).with_columns(pl.Series(_ROW, places, dtype=pl.Int64)).sort(_ROW).drop(_ROW)
    if examples[TIME].null_count():
        place = int(examples[TIME].is_null().arg_max() or 0)
        raise invalid(f"rows[{place}]", "a row with a time", "none that can be told", "fill in its date and time")
    return examples


def _require_facts_once(table: RawTable, rows: pl.DataFrame) -> None:
    """In a raw table a later row of equal key takes the place of an earlier one: here one would have no answer."""
    key = rows.select(table.key)
    if not key.is_duplicated().any():
        return
    seen: dict[tuple[object, ...], int] = {}
    for number, values in enumerate(key.iter_rows()):
        first = seen.setdefault(values, number)
        if first != number:
            raise invalid(f"rows[{number}]", f"of another {', '.join(table.key)} than rows[{first}]", "the same ones",
                          "send one version of each")  # fmt: skip


def _require_form(model: Model, whole: pl.DataFrame, names: Sequence[str]) -> None:
    """Refuses what is no frame of examples, whatever its values."""
    asked = model.examples
    missing = [name for name in names if name not in whole.columns]
    if missing:
        raise _broken(model, asked.upcoming, f"no column {', '.join(missing)}")
    if getattr(whole.schema[TIME], "time_zone", None) is None:
        raise _broken(model, asked.upcoming, f"{TIME} of {whole.schema[TIME]}, no time with a zone")
    if whole.schema[asked.id].is_nested():
        raise _broken(model, asked.upcoming, f"{asked.id} of {whole.schema[asked.id]}")


def _as_landed(model: Model, table: RawTable, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as the raw table holds them: with their times, and where they came from."""
    numbered = rows.with_row_index(_ROW).with_columns(pl.col(_ROW).cast(pl.Int64))
    (timed,) = _made(model, table.times, [numbered])
    return timed.with_columns(pl.lit("asked").alias("_file"), month_of("event_timestamp").alias(PARTITION))


def _made(model: Model, reference: str, frames: Sequence[pl.DataFrame]) -> list[pl.DataFrame]:
    """What a function of the project makes of each frame."""
    try:
        make = resolve(reference)
        return pl.collect_all([make(frame.lazy()) for frame in frames])
    except _FAILURES as error:
        _require_working(model, reference, frames[0].clear())
        _LOG.warning("%s fails on rows that model %s is asked about", reference, model.name, exc_info=error)
        raise invalid(
            "rows", f"rows of which {reference} makes questions for {model.name}", f"{type(error).__name__} in it",
            "look at the values, as a date or a time of day that is none; or ask by entities",
        ) from error  # fmt: skip


def _require_working(model: Model, reference: str, none: pl.DataFrame) -> None:
    """A function that fails without any value fails by its own mistake, not by the caller's."""
    try:
        resolve(reference)(none.lazy()).collect()
    except _FAILURES as error:
        raise _broken(model, reference, f"{type(error).__name__} in it, whatever the rows", error) from error


def _broken(model: Model, reference: str, found: str, error: BaseException | None = None) -> Refused:
    """The refusal of rows that nobody can mend but who wrote the function: to ask again does not help."""
    _LOG.error("%s cannot make questions for model %s: %s", reference, model.name, found, exc_info=error)
    return Refused(
        501, "function", required=f"{reference} to make questions of rows for {model.name}", found=found,
        remedy="ask by entities or by features; the service's log tells its operator where the function fails",
    )  # fmt: skip


def _places(asked: Examples, whole: list[object], parts: list[list[object]], rows: int) -> list[int]:
    """The number of the row that each example was made of.

    Args:
        asked: The declaration.
        whole: Ids of the examples of all rows.
        parts: Of those rows whose number has bit 0, bit 1, and so on.
        rows: How many.
    """
    held = [set(part) for part in parts]
    places = [sum(1 << bit for bit, part in enumerate(held) if example in part) for example in whole]
    if sorted(places) == list(range(rows)):
        return places
    if len(set(whole)) < len(whole):
        raise _not_one("rows", asked, f"two of the same {asked.id}")
    lost = sorted(set(range(rows)) - set(places))
    if lost and len(set(places)) == len(places):
        raise _not_one(f"rows[{lost[0]}]", asked, "none")
    raise _not_one("rows", asked, f"{len(whole)} of {rows}, or others where fewer rows come")


def _not_one(place: str, asked: Examples, found: str) -> Refused:
    return invalid(place, f"a row, or rows, of which {asked.upcoming} makes one question each", found,
                   "leave out what cannot be asked, or ask by entities")  # fmt: skip
