"""Raw tables as Dagster assets."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from mlops_platform.manifest import short
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.locks import exclusive
from mlops_platform.resources.station import Made, Stations, table_schema
from mlops_platform.sources.sensors import SETTLED
from mlops_platform.spec import Project, RawTable

if TYPE_CHECKING:
    from mlops_platform.sources.ingest import LedgerEntry
    from mlops_platform.sources.landing import LandedFile


def raw_table_asset(project: Project, table: RawTable) -> dg.AssetsDefinition:
    """The raw table of one source: everything that landed, exactly once."""

    @dg.asset(
        key=[project.name, "raw", table.name],
        group_name="sources",
        owners=[project.owner],
        kinds={"polars", "deltalake"},
        description=f"Raw table {table.name}: {table.description or 'ingested source rows'}.",
    )
    def raw_table(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        from mlops_platform.resources.delta import DeltaDoor
        from mlops_platform.resources.source_code import resolve
        from mlops_platform.sources.ingest import ingest, ledger
        from mlops_platform.sources.landing import require_files
        from mlops_platform.sources.watch import files_now, read_now

        home = stations.home
        raw = DeltaDoor(home.raw_table(project.name, table.name))
        quarantine = DeltaDoor(home.quarantine_table(project.name, table.name))
        files = files_now(home, project.name, table.name, seen=SETTLED in context.run.tags)
        before = {entry.digest for entry in ledger(raw)}
        if not before:
            require_files(home.landing / table.name, files)

        def work(_: Path) -> Made:
            now = datetime.now(UTC)
            with exclusive(home, f"{project.name}.{table.name}.raw"):
                entries = ingest(table, resolve(table.times), files, raw, quarantine, now)
                # While nobody else may write: the next writer's version is not what these files gave.
                known, ref = ledger(raw), raw.ref(home)
            read_now(home.landing_memory(project.name), table.name, files)
            _log(context, table, files, entries, known)
            return Made(
                content={
                    "rows": sum(entry.kept for entry in known),
                    "quarantined": sum(entry.quarantined for entry in known),
                    "files": {entry.digest: entry.name for entry in known},
                },
                table=ref,
            )

        digests = {digest: digest for digest in {file.digest for file in files} | before}
        config = {"columns": [repr(column) for column in table.columns], "key": list(table.key)}
        return stations.make(
            context,
            kind="raw",
            code=("mlops_platform.sources.ingest:ingest", "mlops_platform.sources.ingest:ledger", table.times),
            config=config,
            inputs=digests,
            work=work,
            show=lambda artifact: _show(table, artifact),
            # A file that was gone when it was to be read may be back: the recipe is known then, and the work not done.
            redo=any(file.digest not in before for file in files),
        )

    return raw_table


def _log(context: dg.AssetExecutionContext, table: RawTable, files: Sequence["LandedFile"],
         entries: Sequence["LedgerEntry"], known: Sequence["LedgerEntry"]) -> None:  # fmt: skip
    from mlops_platform.sources.events import refusal

    context.log.info(f"{table.name}: {len(entries)} new files of {len(files)} in the landing")
    for entry in entries:
        if entry.quarantined:
            context.log.warning(f"quarantine: {refusal(entry)}")
    late = sorted(file.shown for file in files if file.digest not in {entry.digest for entry in known})
    if late:
        context.log.warning(f"gone or changed before they were read: {', '.join(late)}; a later run takes them")


def _show(table: RawTable, artifact: Artifact) -> dict[str, object]:
    content = artifact.manifest.content
    described = [(column.name, column.dtype, "") for column in table.columns]
    times = [("event_timestamp", "timestamp", "when it was true, UTC"),
             ("known_timestamp", "timestamp", "when we could know it, UTC")]  # fmt: skip
    return {
        "files": len(content["files"]),
        "landed": dg.MetadataValue.json({name: short(digest) for digest, name in content["files"].items()}),
        "quarantined": content["quarantined"],
        **table_schema(described + times),
    }
