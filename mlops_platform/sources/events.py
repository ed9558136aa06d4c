"""What the ingest ledgers have to tell: files of which rows, or all, were refused."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mlops_platform.resources.home import Home
from mlops_platform.resources.outbox import Event, Teller
from mlops_platform.spec import Project, RawTable

if TYPE_CHECKING:
    from mlops_platform.sources.ingest import LedgerEntry


def quarantine_tellers(project: Project, home: Home) -> list[Teller]:
    """The ledger of each raw table."""
    return [_teller(project, home, table) for table in project.raw_tables]


def refusal(entry: "LedgerEntry") -> str:
    """What was refused of a file, in counts: a reason in the quarantine may hold a row's values."""
    if entry.rows is None:
        return f"{entry.name} could not be read: nothing of it is in the raw table"
    return f"{entry.quarantined:,} of {entry.rows:,} rows of {entry.name} were refused, {entry.kept:,} were kept"


def _teller(project: Project, home: Home, table: RawTable) -> Teller:
    folder = home.raw_table(project.name, table.name)

    def events(_: str | None) -> Iterator[Event]:
        from mlops_platform.resources.delta import DeltaDoor
        from mlops_platform.sources.ingest import ledger

        for entry in ledger(DeltaDoor(folder)):
            if entry.quarantined:
                yield Event(
                    kind="quarantine", key=entry.digest, project=project.name, environment=home.environment,
                    at=entry.at, reason=refusal(entry), table=table.name, asset=f"{project.name}/raw/{table.name}",
                    digests={"file": entry.digest},
                )  # fmt: skip

    def mark() -> str:
        # The newest commit's name: listed, so that deltalake is imported only where there is something new.
        return max((path.name for path in (folder / "_delta_log").glob("*.json")), default="")

    return Teller(name=f"ledger/{table.name}", mark=mark, events=events)
