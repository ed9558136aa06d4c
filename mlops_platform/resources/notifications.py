"""Notifications: what happened is put into the outbox, shown on the asset's page in Dagster, and posted.

The sensor looks each ten seconds, while a daemon runs; ``mlops notifications`` does the same by hand. No run waits for
any of it: runs leave records, and the records are read here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from mlops_platform.resources.automation import PROJECT
from mlops_platform.resources.home import Home
from mlops_platform.resources.outbox import LONGEST, Event, Outbox, Teller, Tellers
from mlops_platform.resources.reaper import DIED
from mlops_platform.resources.webhook import Webhook, deliver
from mlops_platform.spec import Project

_EVERY_SECONDS = 10
_FAILED = [dg.DagsterRunStatus.FAILURE]
# A run's row may be seen later than one that was written after it.
_OVERLAP = timedelta(hours=1)
_ASKERS = ("dagster/sensor_name", "dagster/schedule_name", "user")


def notifications_sensor(
    project: Project, tellers: Sequence[Tellers], clock: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> dg.SensorDefinition:
    """Tells of promotions, rejections, quarantined files and failed runs, and of what else the rooms record.

    Args:
        project: The declaration.
        tellers: The records of the rooms.
        clock: This moment, UTC.
    """

    @dg.sensor(
        name=f"{project.name}_notifications",
        minimum_interval_seconds=_EVERY_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells of promotions, rejections, quarantined files and failed runs; posts to MLOPS_WEBHOOK_URL.",
    )
    def notifications(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        outbox = Outbox(Home.from_environment(), project.name)
        with outbox.lock():
            for event in look(outbox, project, context.instance, tellers, clock()):
                context.log.info(event.line)
            done = deliver(outbox, Webhook.from_environment(), clock=clock)
        if outbox.broken:
            raise outbox.broken[0]
        told = ", ".join(f"{count} {state}" for state, count in sorted(done.items()))
        return dg.SkipReason(told or "nothing to deliver")

    return notifications


def look(outbox: Outbox, project: Project, instance: dg.DagsterInstance, tellers: Sequence[Tellers],
         now: datetime) -> list[Event]:  # fmt: skip
    """Records what is new, and gives Dagster an observation of the asset for each; wants the outbox's lock.

    Args:
        outbox: The project's.
        project: The declaration.
        instance: Dagster's.
        tellers: The records of the rooms.
        now: UTC.

    Returns:
        The new events, oldest first.
    """
    every = [teller for room in tellers for teller in room(project, outbox.home)]
    new = outbox.look([*every, failed_runs(project, outbox.home, instance, now)], now)
    for each in outbox.waiting():
        if not each.observed:
            # Noted after: who dies between the two shows an event twice, never not at all.
            if each.event.asset is not None:
                instance.report_runless_asset_event(_observation(each.event))
            outbox.save(replace(each, observed=True))
    return new


def failed_runs(project: Project, home: Home, instance: dg.DagsterInstance, now: datetime) -> Teller:
    """The runs of the project that failed, those included whose process was killed."""

    def mark() -> str:
        filters = dg.RunsFilter(statuses=_FAILED)
        newest = instance.get_run_records(filters, limit=1, order_by="update_timestamp")
        return f"{newest[0].update_timestamp.isoformat()} {instance.get_runs_count(filters)}" if newest else ""

    def events(before: str | None) -> Iterator[Event]:
        since = datetime.fromisoformat(before.split()[0]) - _OVERLAP if before else now - LONGEST
        records = instance.get_run_records(dg.RunsFilter(statuses=_FAILED, updated_after=since))
        for record in records:
            run, ended = record.dagster_run, record.end_time or record.update_timestamp.timestamp()
            if _is_of(project, run):
                yield Event(
                    kind="run_failed", key=run.run_id, project=project.name, environment=home.environment,
                    at=datetime.fromtimestamp(ended, UTC).isoformat(), reason=_reason(instance, run),
                    by=next((run.tags[tag] for tag in _ASKERS if tag in run.tags), None), job=run.job_name,
                    run_id=run.run_id,
                )  # fmt: skip

    return Teller(name="runs", mark=mark, events=events)


def _is_of(project: Project, run: dg.DagsterRun) -> bool:
    """Whether a run is of one of the project's jobs, or over its assets, as Dagster's own commands start them."""
    if PROJECT in run.tags:
        return run.tags[PROJECT] == project.name
    assets = run.asset_selection or ()
    return run.job_name.rpartition("_")[0] == project.name or any(key.path[0] == project.name for key in assets)


def _reason(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Which steps failed and with what kind of error; an error's message may hold a row's values, so it stays here."""
    if run.tags.get(DIED):
        return "Its process is gone: it was killed, or the machine went down."
    failed = []
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.get_dagster_event()
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        failed.append(f"{(entry.step_key or '').replace('__', '/')} ({error.cls_name if error else 'no error noted'})")
    if not failed:
        return "No step of it failed: it could not start, or its process is gone."
    return f"{len(failed)} {'step' if len(failed) == 1 else 'steps'} failed: {', '.join(failed)}"


def _observation(event: Event) -> dg.AssetObservation:
    versions = {f"version_{name}": version or "none" for name, version in (event.version or {}).items()}
    run = {"run": dg.MetadataValue.dagster_run(event.run_id)} if event.run_id else {}
    told = {"event": event.kind, "reason": event.reason, "at": event.at, "by": event.by or "not recorded"}
    return dg.AssetObservation(
        asset_key=(event.asset or "").split("/"),
        description=event.line,
        metadata={**told, **versions, **run, "notification": event.id},
    )
