"""What must hold of a raw table."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import dagster as dg

from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Stations
from mlops_platform.spec import Project, RawTable, duration

if TYPE_CHECKING:
    import polars as pl


def raw_table_checks(project: Project, table: RawTable) -> dg.AssetChecksDefinition:
    """Row conservation (blocking), quarantine, null rates and freshness of one raw table."""
    key = dg.AssetKey([project.name, table.name, "raw"])
    specs = [
        dg.AssetCheckSpec("rows_are_conserved", asset=key, blocking=True,
                          description="rows in = rows kept + rows quarantined, file by file"),
        dg.AssetCheckSpec("nothing_quarantined", asset=key, description="no row was refused"),
        dg.AssetCheckSpec("keys_are_present", asset=key, blocking=True, description="no key and no time is null"),
        dg.AssetCheckSpec("is_fresh", asset=key, description="its newest event is as recent as declared"),
    ]  # fmt: skip

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__{table.name}__raw_checks")
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
    months = {
        other.name: max(found.manifest.delta.partitions, default="")
        for other in project.raw_tables
        if (found := Refs(stations.home).find(f"{project.name}/{other.name}/raw")) and found.manifest.table
    }
    if table.freshness is None:
        shown = {"newest_month": months.get(table.name, ""), "declared": "never stale"}
        return dg.AssetCheckResult(check_name="is_fresh", asset_key=key, passed=True, metadata=shown)
    behind = _months_between(months.get(table.name, ""), max(months.values()))
    allowed = duration(table.freshness).days / 31
    return dg.AssetCheckResult(
        check_name="is_fresh", asset_key=key, passed=behind <= allowed, severity=dg.AssetCheckSeverity.WARN,
        metadata={"newest_month": months.get(table.name, ""), "newest_month_of_project": max(months.values()),
                  "months_behind": behind, "declared": table.freshness},
    )  # fmt: skip


def _months_between(earlier: str, later: str) -> int:
    if not earlier:
        return 10_000
    (year, month), (end_year, end_month) = (map(int, text.split("-")) for text in (earlier, later))
    return (end_year - year) * 12 + end_month - month
