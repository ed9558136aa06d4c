"""The landing sensor: new files ask for one run of the graph."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import dagster as dg

from mlops_platform.manifest import digest_of
from mlops_platform.resources.automation import Launch
from mlops_platform.resources.home import Home
from mlops_platform.sources.watch import Listing, Waiting, Watch, budget_for, listing_digest, look
from mlops_platform.spec import Project

SETTLED = "mlops/settled"
"""Tag of a run that takes only files that the sensor has seen to be whole."""
_EVERY_SECONDS = 5
_NOT_BEGUN = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING]


@dataclass(frozen=True)
class _Cursor:
    """What one tick leaves to the next: a digest and a count, however many files there are.

    Attributes:
        listing: Digest of the names, sizes and times that it saw.
        waiting: How many files were not dealt with.
        asked: Key of the newest request.
    """

    listing: str = ""
    waiting: int = 0
    asked: str = ""

    @classmethod
    def read(cls, text: str | None) -> "_Cursor":
        found = json.loads(text) if text else {}
        # A cursor of another version of this sensor: look at everything anew.
        return cls(**found) if found.keys() == cls.__dataclass_fields__.keys() else cls()


def landing_sensor(project: Project, launch: Launch, clock: Callable[[], float] = time.time) -> dg.SensorDefinition:
    """Asks for a run when files have landed that no raw table has ingested, and have stopped growing.

    Each tick lists names, sizes and times. A listing that is that of the tick before, with nothing left to do, ends the
    tick. Else each file that has stayed as it is since an earlier tick is hashed, within a budget, and those whose
    content no ledger has make the run key: equal content asks once.

    Args:
        project: The declaration.
        launch: What to run: it ingests, and makes what follows at once.
        clock: Seconds since the epoch.
    """
    name = f"{project.name}_landing"

    @dg.sensor(
        name=name,
        job=launch.job,
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ingests new files once they are whole, and makes what follows them at once.",
    )
    def landing(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        home, before = Home.from_environment(), _Cursor.read(context.cursor)
        listing = look(home.landing, [table.name for table in project.raw_tables])
        digest = listing_digest(listing, str(home.landing))
        if digest == before.listing and not before.waiting:
            return dg.SensorResult(skip_reason="nothing new has landed")
        waiting = _waiting(project, home, listing if digest != before.listing else None, clock())
        key = f"landed:{digest_of(sorted(set(waiting.settled.values())))}"
        reason = _why_not(waiting) or _why_not_now(context, name, key, before.asked)
        asked = before.asked if reason else key
        after = json.dumps(asdict(_Cursor(digest, waiting.count, asked)))
        if reason:
            return dg.SensorResult(skip_reason=reason, cursor=after)
        tags = {"mlops/new_files": str(len(waiting.settled)), SETTLED: "true"}
        return dg.SensorResult(run_requests=[launch.request(key, tags)], cursor=after)

    return landing


def _waiting(project: Project, home: Home, changed: Listing | None, now: float) -> Waiting:
    """Settled files that no raw table has, and how many more are on their way; ``changed`` is a listing to note."""
    path = home.landing_memory(project.name)
    if changed is None and not path.is_file():
        changed = look(home.landing, [table.name for table in project.raw_tables])
    with Watch.open(path, home.landing) as watch:
        if changed is not None:
            watch.note(changed, now)
        waiting = watch.settle(now, budget_for(home.landing))
        if not waiting.settled:
            return waiting
        known = _ingested(project, home, waiting.settled)
        done = [place for place, digest in waiting.settled.items() if digest in known[place[0]]]
        watch.done(done)
    settled = {place: digest for place, digest in waiting.settled.items() if place not in set(done)}
    return replace(waiting, settled=settled)


def _ingested(project: Project, home: Home, settled: Mapping[tuple[str, str], str]) -> dict[str, set[str]]:
    from mlops_platform.resources.delta import DeltaDoor
    from mlops_platform.sources.ingest import ingested

    tables = {place for place, _ in settled}
    return {name: ingested(DeltaDoor(home.raw_table(project.name, name))) for name in tables}


def _why_not(waiting: Waiting) -> str | None:
    if waiting.unread:
        return f"files are being read: {waiting.unread} are left for the next ticks"
    if not waiting.settled:
        return "files are arriving" if waiting.growing else "all that landed is ingested"
    return None


def _why_not_now(context: dg.SensorEvaluationContext, sensor: str, key: str, asked: str) -> str | None:
    """One request for one set of contents, and none while one waits that will take these files, too."""
    if key == asked:
        return "these files have been asked for"
    filters = dg.RunsFilter(statuses=_NOT_BEGUN, tags={"dagster/sensor_name": sensor})
    if context.instance.get_runs(filters=filters, limit=1):
        return "a run is waiting that will take these files"
    return None
