"""Ingest: each landed content exactly once, in two commits that cannot disagree.

The quarantine commits first, and replaces whatever it holds of the same files; then the raw table commits its rows and,
in the same commit, marks the files' digests as done. A process that dies between the two leaves the files unmarked, and
the next ingest judges them anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from pyarrow import ArrowException, BufferReader, parquet

from mlops_platform.manifest import digest_bytes
from mlops_platform.resources.delta import PARTITION, POLARS_TYPES, DeltaDoor, content_digest, month_of
from mlops_platform.sources.landing import LandedFile
from mlops_platform.sources.validation import REASON, ROW, UnfitFileError, fit_columns, judge_rows
from mlops_platform.spec import RawTable

FILES = "mlops.files"
_BATCH_ROWS = 2_000_000
Times = Callable[[pl.LazyFrame], pl.LazyFrame]


@dataclass(frozen=True, kw_only=True)
class LedgerEntry:
    """What became of one file.

    Attributes:
        name: File name in the landing.
        digest: Of its bytes.
        id: Short form of the digest, column ``_file`` of its rows.
        rows: Rows it had; None where it could not be read.
        kept: Rows now in the raw table.
        quarantined: Rows in quarantine (an unreadable file is one entry there, of no row).
        at: When it was ingested, ISO 8601 in UTC.
    """

    name: str
    digest: str
    id: str
    rows: int | None
    kept: int
    quarantined: int
    at: str


@dataclass(frozen=True)
class _Judged:
    entry: LedgerEntry
    kept: pl.DataFrame
    quarantined: pl.DataFrame


def ledger(raw: DeltaDoor) -> list[LedgerEntry]:
    """Every file that the raw table has ingested, oldest first."""
    return [LedgerEntry(**entry) for batch in raw.metadata(FILES) for entry in batch]


def ingested(raw: DeltaDoor) -> set[str]:
    """Digests of every file that the raw table has ingested."""
    return {entry["digest"] for batch in raw.metadata(FILES) for entry in batch}


def ingest(table: RawTable, times: Times, files: Sequence[LandedFile], raw: DeltaDoor, quarantine: DeltaDoor,
           now: datetime) -> list[LedgerEntry]:  # fmt: skip
    """Ingests the files whose content the raw table does not have yet.

    Args:
        table: The declaration.
        times: Adds ``event_timestamp`` and ``known_timestamp``.
        files: What has landed.
        raw, quarantine: The two tables.
        now: When the files were delivered, as far as we know; known time of corrections.

    Returns:
        One entry for each file ingested now; one that is gone, or has other bytes than when it was listed, gets none.
    """
    known = ingested(raw)
    new = [file for file in files if file.digest not in known]
    done: list[LedgerEntry] = []
    batch: list[_Judged] = []
    rows = 0
    for place, file in enumerate(new, start=1):
        data = _bytes(file)
        if data is None:
            continue
        # Each file has its own moment, in the order delivered, so that two corrections of one fact have an order.
        batch.append(_judge(table, times, file, data, now - timedelta(microseconds=len(new) - place)))
        rows += batch[-1].kept.height
        if rows > _BATCH_ROWS:
            done += _commit(table, batch, raw, quarantine)
            batch, rows = [], 0
    return done + (_commit(table, batch, raw, quarantine) if batch else [])


def _bytes(file: LandedFile) -> bytes | None:
    """What will be judged, if it still is what was listed; read once, so that no row is booked under another digest."""
    try:
        data = file.read()
    except FileNotFoundError:
        return None
    return data if digest_bytes(data) == file.digest else None


def _judge(table: RawTable, times: Times, file: LandedFile, data: bytes, now: datetime) -> _Judged:
    try:
        frame = _read(data)
        rows, misread = fit_columns(frame, table)
        kept, broken = judge_rows(_timed(rows, table, times), table, now)
    except UnfitFileError as unfit:
        refused = _refused(file, pl.DataFrame({REASON: [str(unfit)]}, schema={REASON: pl.String}))
        return _Judged(_entry(file, None, 0, refused.height, now), pl.DataFrame(), refused)
    refused = pl.concat([_refused(file, misread), _refused(file, broken)])
    kept = kept.with_columns(pl.lit(file.id).alias("_file"), month_of("event_timestamp").alias(PARTITION))
    return _Judged(_entry(file, frame.height, kept.height, refused.height, now), kept, refused)


def _timed(rows: pl.DataFrame, table: RawTable, times: Times) -> pl.DataFrame:
    try:
        return times(rows.lazy()).collect()
    except pl.exceptions.PolarsError as error:
        raise UnfitFileError(f"{table.times} cannot time its rows: {str(error).splitlines()[0]}") from error


def _read(data: bytes) -> pl.DataFrame:
    # Arrow's reader answers damaged bytes with an exception where polars' may end the process.
    try:
        return pl.DataFrame(pl.from_arrow(parquet.read_table(BufferReader(data), partitioning=None)))
    except (ArrowException, pl.exceptions.PolarsError, OSError) as error:
        raise UnfitFileError(f"not a readable Parquet file: {str(error).splitlines()[0]}") from error


def _entry(file: LandedFile, rows: int | None, kept: int, quarantined: int, now: datetime) -> LedgerEntry:
    return LedgerEntry(name=file.shown, digest=file.digest, id=file.id, rows=rows, kept=kept,
                       quarantined=quarantined, at=now.isoformat())  # fmt: skip


def _refused(file: LandedFile, rows: pl.DataFrame) -> pl.DataFrame:
    """Refused rows of one file in the shape of the quarantine: the values as JSON, since they fit no schema."""
    values = [column for column in rows.columns if column not in (ROW, REASON, "event_timestamp", "known_timestamp")]
    value = pl.struct(values).struct.json_encode() if values else pl.lit(None, dtype=pl.String)
    number = pl.col(ROW) if ROW in rows.columns else pl.lit(None, dtype=pl.Int64)
    return rows.select(
        pl.lit(file.shown).alias("file"),
        pl.lit(file.digest).alias("digest"),
        number.alias("row"),
        pl.col(REASON).alias("reason"),
        value.alias("value"),
        pl.lit(file.id).alias(PARTITION),
    )


def _commit(table: RawTable, batch: Sequence[_Judged], raw: DeltaDoor, quarantine: DeltaDoor) -> list[LedgerEntry]:
    fresh, refused, entries = _against_history(table, batch, raw)
    # Replaced, not appended: a process that died after this commit is repeated, perhaps with another judgement.
    quarantine.replace(refused, [entry.id for entry in entries], metadata={}, digests={})
    touched = fresh[PARTITION].unique().to_list() if fresh.width else []
    digests = {**raw.digests(), **_digests_after(raw, fresh, touched)}
    metadata = {FILES: [asdict(entry) for entry in entries]}
    raw.append(fresh, transactions=[e.digest for e in entries], metadata=metadata, digests=digests)
    return entries


def _against_history(
    table: RawTable, batch: Sequence[_Judged], raw: DeltaDoor
) -> tuple[pl.DataFrame, pl.DataFrame, list[LedgerEntry]]:
    """Tells new facts from repeated rows and from corrections, in the order of the files, all files at once."""
    moments = {judged.entry.id: datetime.fromisoformat(judged.entry.at) for judged in batch}
    filled = [judged.kept for judged in batch if judged.kept.width]
    rows = pl.concat(filled) if filled else _no_rows(table, raw)
    marked = _compared(table, rows, list(moments), _newest(table, raw, rows))
    now = pl.col("_file").replace_strict(moments, return_dtype=pl.Datetime("us", "UTC"))
    fresh = marked.filter(~pl.col("_same")).with_columns(
        pl.when("_late").then(now).otherwise("known_timestamp").alias("known_timestamp")
    )
    same = marked.filter("_same")
    names = {judged.entry.id: judged.entry for judged in batch}
    reason = pl.lit("repeats a row that is already ingested").alias(REASON)
    repeated = [
        _refused(_file_of(names[str(file)]), part.drop("_file", "_same", "_late", PARTITION).with_columns(reason))
        for (file,), part in same.group_by("_file", maintain_order=True)
    ]
    kept, again = dict(fresh["_file"].value_counts().iter_rows()), dict(same["_file"].value_counts().iter_rows())
    entries = [
        replace(entry, kept=kept.get(entry.id, 0), quarantined=judged.quarantined.height + again.get(entry.id, 0))
        for entry, judged in ((judged.entry, judged) for judged in batch)
    ]
    return fresh.select(rows.columns), pl.concat([*(j.quarantined for j in batch), *repeated]), entries


def _newest(table: RawTable, raw: DeltaDoor, rows: pl.DataFrame) -> pl.DataFrame:
    """The newest ingested versions of the facts whose keys the rows given have."""
    if not raw.exists or rows.is_empty():
        return rows.clear()
    key = list(table.key)
    found = raw.scan().join(rows.lazy().select(key).unique(), on=key, how="semi").select(rows.columns).collect()
    ordered = found.sort("known_timestamp", "_file", ROW, maintain_order=True)
    return ordered.unique(key, keep="last", maintain_order=True)


def _compared(table: RawTable, rows: pl.DataFrame, files: Sequence[str], known: pl.DataFrame) -> pl.DataFrame:
    """Rows in the order of their files, and of each whether it repeats (``_same``) or corrects what came before it.

    Args:
        table: The declaration.
        rows: Of all files; a key stands once in each.
        files: Their ids, in order.
        known: The newest version of each key that is ingested.
    """
    order = pl.col("_file").replace_strict(list(files), range(len(files)), return_dtype=pl.Int64)
    both = pl.concat(
        [known.with_columns(pl.lit(-1, pl.Int64).alias("_order")), rows.with_columns(order.alias("_order"))]
    )
    key, values = list(table.key), [column.name for column in table.columns]
    before = both.sort(*key, "_order", maintain_order=True)
    follows = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in key) & (
        pl.int_range(pl.len()) > 0
    )
    equal = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in values)
    marked = before.with_columns((follows & equal).alias("_same"), (follows & ~equal).alias("_late"))
    return marked.filter(pl.col("_order") >= 0).sort("_order", ROW).drop("_order")


def _file_of(entry: LedgerEntry) -> LandedFile:
    return LandedFile(Path(), entry.name, entry.digest)


def _digests_after(raw: DeltaDoor, fresh: pl.DataFrame, months: Sequence[str]) -> dict[str, str]:
    after: dict[str, str] = {}
    had = raw.digests() if raw.exists else {}
    for month in months:
        parts = [fresh.filter(pl.col(PARTITION) == month)]
        if month in had:
            parts.append(raw.scan().filter(pl.col(PARTITION) == month).select(fresh.columns).collect())
        after[month] = content_digest(pl.concat(parts))
    return after


def _no_rows(table: RawTable, raw: DeltaDoor) -> pl.DataFrame:
    """A frame of the table's shape and no rows, for a commit that only marks files as done."""
    if raw.exists:
        return raw.scan().head(0).collect()
    names = {ROW: pl.Int64(), **{column.name: POLARS_TYPES[column.dtype] for column in table.columns}}
    times = {name: pl.Datetime("us", "UTC") for name in ("event_timestamp", "known_timestamp")}
    return pl.DataFrame(schema={**names, **times, "_file": pl.String(), PARTITION: pl.String()})
