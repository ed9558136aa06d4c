"""What must hold of a raw table."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Stations
from mlops_platform.spec import Project, RawTable, duration

if TYPE_CHECKING:
    import polars as pl


def raw_table_checks(project: Project, table: RawTable) -> dg.AssetChecksDefinition:
    """Row conservation (blocking), quarantine, null rates and freshness of one raw table."""
    key = dg.AssetKey([project.name, "raw", table.name])
    specs = [
        dg.AssetCheckSpec("rows_are_conserved", asset=key, blocking=True,
                          description="rows in = rows kept + rows quarantined, file by file"),
        dg.AssetCheckSpec("nothing_quarantined", asset=key, description="no row was refused"),
        dg.AssetCheckSpec("keys_are_present", asset=key, blocking=True, description="no key and no time is null"),
        dg.AssetCheckSpec("is_fresh", asset=key, description="its newest event is as recent as declared"),
    ]  # fmt: skip

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__raw__{table.name}_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        yield from _results(project, table, key, stations)

    return checks


def _results(project: Project, table: RawTable, key: dg.AssetKey, stations: Stations) -> Iterator[dg.AssetCheckResult]:
    import polars as pl

    from mlops_platform.resources.delta import DeltaDoor
    from mlops_platform.sources.ingest import ledger

    home = stations.home
    raw = DeltaDoor(home.raw_table(project.name, table.name))
    quarantine = DeltaDoor(home.quarantine_table(project.name, table.name))
    entries = ledger(raw)
    rows, refused = raw.scan().select(pl.len()).collect().item(), quarantine.scan().collect()
    lost = [e.name for e in entries if e.rows is not None and e.rows != e.kept + e.quarantined]
    kept, put_away = sum(e.kept for e in entries), sum(e.quarantined for e in entries)
    yield dg.AssetCheckResult(
        check_name="rows_are_conserved", asset_key=key,
        passed=not lost and kept == rows and put_away == refused.height,
        metadata={"rows_in": sum(e.rows or 0 for e in entries), "rows_kept": kept, "rows_in_table": rows,
                  "rows_quarantined": put_away, "rows_in_quarantine": refused.height, "files_that_lost_rows": lost},
    )  # fmt: skip
    yield _quarantine(key, refused, str(quarantine.path))
    times = ["event_timestamp", "known_timestamp", *table.key]
    nulls = raw.scan().select(pl.col(times).null_count()).collect().row(0, named=True)
    yield dg.AssetCheckResult(check_name="keys_are_present", asset_key=key, passed=not any(nulls.values()),
                              metadata={f"null_{name}": count for name, count in nulls.items()})  # fmt: skip
    yield _freshness(project, table, key, stations)


def _quarantine(key: dg.AssetKey, refused: "pl.DataFrame", where: str) -> dg.AssetCheckResult:
    import polars as pl

    lines = ["| file | row | reason |", "|---|---|---|"]
    for row in refused.head(20).iter_rows(named=True):
        lines.append(f"| {row['file']} | {'whole file' if row['row'] is None else row['row']} | {row['reason']} |")
    reasons = dict(refused.group_by("reason").agg(pl.len()).sort("len", descending=True).head(10).iter_rows())
    return dg.AssetCheckResult(
        check_name="nothing_quarantined", asset_key=key, passed=refused.is_empty(),
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"rows": refused.height, "reasons": dg.MetadataValue.json(reasons), "table": where,
                  "first_twenty": dg.MetadataValue.md("\n".join(lines))},
    )  # fmt: skip


def _freshness(project: Project, table: RawTable, key: dg.AssetKey, stations: Stations) -> dg.AssetCheckResult:
    newest = {
        other.name: at
        for other in project.raw_tables
        if (found := Refs(stations.home).find(f"{project.name}/raw/{other.name}"))
        and (at := _newest(stations.home.root / found.manifest.delta.path)) is not None
    }
    here, latest = newest.get(table.name), max(newest.values(), default=None)
    late = None if here is None or latest is None else latest - here
    fresh = table.freshness is None or (late is not None and late <= duration(table.freshness))
    return dg.AssetCheckResult(
        check_name="is_fresh",
        asset_key=key,
        passed=fresh,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "newest_known": "none" if here is None else here.isoformat(),
            "days_behind_the_newest_table": 0.0 if late is None else round(late.total_seconds() / 86_400, 2),
            "allowed": table.freshness or "any age",
        },
    )


def _newest(path: Path) -> datetime | None:
    """When the newest row of a table became known, UTC."""
    import polars as pl

    from mlops_platform.resources.delta import DeltaDoor

    return DeltaDoor(path).scan().select(pl.col("known_timestamp").max()).collect().item()
