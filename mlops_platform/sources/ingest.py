"""Ingest: each landed content exactly once, in two commits that cannot disagree.

The quarantine commits first, and replaces whatever it holds of the same files; then the raw table commits its rows and,
in the same commit, marks the files' digests as done. A process that dies between the two leaves the files unmarked, and
the next ingest judges them anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
from pyarrow import ArrowException, parquet

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
        One entry for each file ingested now.
    """
    new = [file for file in files if not raw.has_transaction(file.digest)]
    done: list[LedgerEntry] = []
    batch: list[_Judged] = []
    for place, file in enumerate(new, start=1):
        # Each file has its own moment, in the order delivered, so that two corrections of one fact have an order.
        batch.append(_judge(table, times, file, now - timedelta(microseconds=len(new) - place)))
        if sum(judged.kept.height for judged in batch) > _BATCH_ROWS:
            done += _commit(table, batch, raw, quarantine)
            batch = []
    return done + (_commit(table, batch, raw, quarantine) if batch else [])


def _judge(table: RawTable, times: Times, file: LandedFile, now: datetime) -> _Judged:
    try:
        frame = _read(file.path)
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


def _read(path: Path) -> pl.DataFrame:
    # Arrow's reader answers damaged bytes with an exception where polars' may end the process.
    try:
        return pl.DataFrame(pl.from_arrow(parquet.read_table(path, partitioning=None)))
    except (ArrowException, pl.exceptions.PolarsError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise UnfitFileError(f"not a readable Parquet file: {str(error).splitlines()[0]}") from error


def _entry(file: LandedFile, rows: int | None, kept: int, quarantined: int, now: datetime) -> LedgerEntry:
    return LedgerEntry(name=file.path.name, digest=file.digest, id=file.id, rows=rows, kept=kept,
                       quarantined=quarantined, at=now.isoformat())  # fmt: skip


def _refused(file: LandedFile, rows: pl.DataFrame) -> pl.DataFrame:
    """Refused rows of one file in the shape of the quarantine: the values as JSON, since they fit no schema."""
    values = [column for column in rows.columns if column not in (ROW, REASON, "event_timestamp", "known_timestamp")]
    value = pl.struct(values).struct.json_encode() if values else pl.lit(None, dtype=pl.String)
    number = pl.col(ROW) if ROW in rows.columns else pl.lit(None, dtype=pl.Int64)
    return rows.select(
        pl.lit(file.path.name).alias("file"),
        pl.lit(file.digest).alias("digest"),
        number.alias("row"),
        pl.col(REASON).alias("reason"),
        value.alias("value"),
        pl.lit(file.id).alias(PARTITION),
    )


def _commit(table: RawTable, batch: Sequence[_Judged], raw: DeltaDoor, quarantine: DeltaDoor) -> list[LedgerEntry]:
    fresh, repeated, entries = _against_history(table, batch, raw)
    refused = pl.concat([*(judged.quarantined for judged in batch), repeated])
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
    """Tells new facts from repeated rows and from corrections, file by file in the order given."""
    fresh: list[pl.DataFrame] = []
    repeated: list[pl.DataFrame] = []
    entries: list[LedgerEntry] = []
    for judged in batch:
        file = LandedFile(Path(judged.entry.name), judged.entry.digest)
        known = _newest(table, raw, fresh, judged.kept)
        same, rows = _divide(table, judged.kept, known, datetime.fromisoformat(judged.entry.at))
        fresh.append(rows)
        repeated.append(_refused(file, same))
        entries.append(LedgerEntry(**{**asdict(judged.entry), "kept": rows.height,
                                      "quarantined": judged.quarantined.height + same.height}))  # fmt: skip
    filled = [frame for frame in fresh if frame.width]
    return (pl.concat(filled) if filled else _no_rows(table, raw)), pl.concat(repeated), entries


def _newest(table: RawTable, raw: DeltaDoor, fresh: Sequence[pl.DataFrame], rows: pl.DataFrame) -> pl.DataFrame:
    """The newest versions of the facts whose keys the rows given have."""
    if not rows.width:
        return rows
    key = list(table.key)
    parts = [frame.join(rows, on=key, how="semi") for frame in fresh if frame.width]
    if raw.exists:
        parts.append(raw.scan().join(rows.lazy(), on=key, how="semi").select(rows.columns).collect())
    if not parts:
        return rows.clear()
    ordered = pl.concat(parts).sort("known_timestamp", "_file", ROW, maintain_order=True)
    return ordered.unique(key, keep="last", maintain_order=True)


def _divide(table: RawTable, rows: pl.DataFrame, known: pl.DataFrame,
            now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:  # fmt: skip
    """Rows that repeat what is known (with a reason), and rows that are new or correct it."""
    if not rows.width:
        return pl.DataFrame(schema={REASON: pl.String}), rows
    values = [column.name for column in table.columns]
    same = rows.join(known.select(values), on=values, how="semi", nulls_equal=True, maintain_order="left")
    rest = rows.join(known.select(values), on=values, how="anti", nulls_equal=True, maintain_order="left")
    corrected = rest.join(known.select(table.key), on=list(table.key), how="semi").select("_file", ROW)
    marked = rest.join(corrected.with_columns(pl.lit(True).alias("_late")), on=["_file", ROW], how="left")
    late = pl.col("_late").fill_null(False)
    timed = marked.with_columns(pl.when(late).then(pl.lit(now)).otherwise("known_timestamp").alias("known_timestamp"))
    reason = pl.lit("repeats a row that is already ingested").alias(REASON)
    return same.drop("_file", PARTITION).with_columns(reason), timed.drop("_late").select(rows.columns)


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
