"""The landing sensor: new files ask for one run of the graph."""

import json

import dagster as dg

from mlops_platform.manifest import digest_of
from mlops_platform.resources.home import Home
from mlops_platform.sources.landing import finished_files, landed_files
from mlops_platform.spec import Project

_EVERY_SECONDS = 5


def landing_sensor(project: Project, job: str) -> dg.SensorDefinition:
    """Asks for a run when files have landed that no raw table has ingested, and have stopped growing.

    The files are listed at each tick (name, size, time); only a listing that differs from the one last dealt with, and
    equals the one of the tick before, is looked at closer: those files' contents that no ledger has make the run key,
    so equal content asks once.

    Args:
        project: The declaration.
        job: Name of the job to run.
    """

    @dg.sensor(
        name=f"{project.name}_landing",
        job_name=job,
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs the graph when new files have landed.",
    )
    def landing(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        home = Home.from_environment()
        listing = _listing(project, home)
        seen = json.loads(context.cursor) if context.cursor else {"now": {}, "done": {}}
        cursor = {"now": listing, "done": seen["done"]}
        if listing == seen["done"]:
            return dg.SensorResult(skip_reason="nothing new has landed")
        if listing != seen["now"]:
            return dg.SensorResult(skip_reason="files are arriving", cursor=json.dumps(cursor))
        settled = json.dumps({"now": listing, "done": listing})
        new = _not_ingested(project, home)
        if not new:
            return dg.SensorResult(skip_reason="all that landed is ingested", cursor=settled)
        request = dg.RunRequest(run_key=f"landed:{digest_of(new)}", tags={"mlops/new_files": str(len(new))})
        return dg.SensorResult(run_requests=[request], cursor=settled)

    return landing


def _listing(project: Project, home: Home) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for table in project.raw_tables:
        for path in finished_files(home.landing / table.name):
            facts = path.stat()
            found[f"{table.name}/{path.name}"] = [facts.st_size, facts.st_mtime_ns]
    return found


def _not_ingested(project: Project, home: Home) -> list[str]:
    from mlops_platform.resources.delta import DeltaDoor

    new: set[str] = set()
    for table in project.raw_tables:
        folder = home.landing / table.name
        raw = DeltaDoor(home.raw_table(project.name, table.name))
        if finished_files(folder):
            new |= {file.id for file in landed_files(folder) if not raw.has_transaction(file.digest)}
    return sorted(new)
