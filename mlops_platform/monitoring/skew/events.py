"""What the live skew reports have to tell: answers were told otherwise than was known, beyond what is declared."""

from collections.abc import Iterator

from mlops_platform.monitoring.skew.figures import live_said
from mlops_platform.resources.home import Home
from mlops_platform.resources.outbox import Event, Teller
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Model, Project


def skew_tellers(project: Project, home: Home) -> list[Teller]:
    """The newest live skew report of each model."""
    return [_teller(project, home, model) for model in project.models]


def _teller(project: Project, home: Home, model: Model) -> Teller:
    station, refs = f"{project.name}/{model.name}/live_skew", Refs(home)

    def mark() -> str:
        story = refs.story(station)
        return story.last.recipe if story else ""

    def events(_: str | None) -> Iterator[Event]:
        found = refs.find(station)
        if found is None:
            return
        content, produced = found.manifest.content, found.manifest.produced
        if not content["beyond"] and not content["wrong"]:
            return
        named = ", ".join(dict.fromkeys([*content["wrong"], *content["beyond"]]))
        yield Event(
            kind="live_skew", key=found.manifest.digest, project=project.name, environment=home.environment,
            at=produced.at, reason=f"{named}: {live_said(content)}", by=produced.actor, model=model.name,
            asset=station, digests={"report": found.manifest.digest}, run_id=produced.run_id,
        )  # fmt: skip

    return Teller(name=f"live_skew/{model.name}", mark=mark, events=events)
