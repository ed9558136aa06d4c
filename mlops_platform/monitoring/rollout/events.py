"""What the judge's silence has to tell: a rollout that nobody judges meets no traffic."""

from collections.abc import Iterator
from datetime import UTC, datetime

from mlops_platform.manifest import digest_of
from mlops_platform.resources.home import Home
from mlops_platform.resources.outbox import Event, Teller
from mlops_platform.resources.rollouts import GO_ON, held_back, open_rollout, patience
from mlops_platform.spec import Model, Project, Rollout


def judge_tellers(project: Project, home: Home) -> list[Teller]:
    """The open rollout of each model that declares rollouts."""
    declared = [(model, model.serving.rollout) for model in project.models]
    return [_teller(project, home, model, rollout) for model, rollout in declared if rollout is not None]


def _teller(project: Project, home: Home, model: Model, rollout: Rollout) -> Teller:
    def events(_: str | None) -> Iterator[Event]:
        found = unjudged(project, home, model, rollout, datetime.now(UTC))
        if found is not None:
            yield found

    def mark() -> str:
        found = unjudged(project, home, model, rollout, datetime.now(UTC))
        return found.key if found else "judged"

    return Teller(name=f"rollout/{model.name}", mark=mark, events=events)


def unjudged(project: Project, home: Home, model: Model, rollout: Rollout, now: datetime) -> Event | None:
    """What is told where the open rollout's newest verdict is too old; None where it is judged, or none is open.

    Args:
        project, model, rollout: The declarations.
        home: Where the records are.
        now: UTC.
    """
    standing = open_rollout(home, project.name, model.name)
    if standing is None:
        return None
    move, promise = standing.begun, standing.promise
    reason = held_back(rollout, move, promise, now)
    if reason is None or (promise is not None and promise.verdict != GO_ON):
        return None
    since = promise.until if promise else (datetime.fromisoformat(move.at) + patience(rollout)).isoformat()
    return Event(
        kind="rollout_unjudged", key=digest_of([standing.digest, since]), project=project.name,
        environment=home.environment, at=since, reason=f"Version {move.version} meets no traffic: {reason}.", by=None,
        model=model.name, asset=f"{project.name}/{model.name}/rollout",
        version={"about": move.version, "from": move.champion, "to": move.champion},
        digests={"rollout": standing.digest, "checkpoint": move.challenger}, run_id=None,
    )  # fmt: skip
