"""What serving has to tell: versions that a live model refused."""

from collections.abc import Iterator

from mlops_platform.resources.home import Home
from mlops_platform.resources.outbox import Event, Teller
from mlops_platform.serving.refusals import Refusal, Refusals
from mlops_platform.spec import Model, Project


def refusal_tellers(project: Project, home: Home) -> list[Teller]:
    """The refusals of each model."""
    return [_teller(project, home, model) for model in project.models]


def _teller(project: Project, home: Home, model: Model) -> Teller:
    refusals = Refusals(home.refusals(project.name, model.name))

    def events(_: str | None) -> Iterator[Event]:
        return (_event(project, home, model, name, refusal) for name, refusal in refusals.all())

    def mark() -> str:
        # Records are only ever added.
        return str(len(refusals.paths()))

    return Teller(name=f"refusals/{model.name}", mark=mark, events=events)


def _event(project: Project, home: Home, model: Model, name: str, refusal: Refusal) -> Event:
    return Event(
        kind="version_refused", key=name, project=project.name, environment=home.environment, at=refusal.at,
        reason=refusal.reason, by=None, model=model.name, asset=f"{project.name}/{model.name}/champion",
        version={"about": refusal.version, "from": refusal.live, "to": refusal.live},
        digests={"checkpoint": refusal.checkpoint},
    )  # fmt: skip
