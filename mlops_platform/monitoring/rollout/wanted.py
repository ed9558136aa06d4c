"""When a rollout is to be judged: when it begins, when labels landed, and when its newest verdict grows old."""

from dataclasses import dataclass
from datetime import datetime

from mlops_platform.manifest import short
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.rollouts import GO_ON, open_rollout
from mlops_platform.spec import Model, Project, Rollout, duration

STATIONS = ("rollout", "rollout_decision")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A run that judges a rollout.

    Attributes:
        key: Of the request; another once the time between two verdicts has passed, so that a run that failed is asked
            for again.
        because: Why.
    """

    key: str
    because: str


def wanted(home: Home, project: Project, model: Model, rollout: Rollout, now: datetime) -> Wanted | None:
    """The run that judges the open rollout now; None where none is due.

    Args:
        home: Where the records are.
        project, model, rollout: The declarations.
        now: UTC.
    """
    standing = open_rollout(home, project.name, model.name)
    if standing is None:
        return None
    begun, promise = standing.begun, standing.promise
    raw = Refs(home).find(f"{project.name}/raw/{model.examples.source}")
    landed = raw.manifest.digest if raw is not None else ""
    turn = int((now - datetime.fromisoformat(begun.at)) / duration(rollout.every))
    key = f"rollout:{project.name}/{model.name}:{short(standing.digest)}:{turn}:{short(landed)}"
    if promise is None:
        return Wanted(key=key, because=f"the rollout of version {begun.version} has no verdict yet")
    if promise.verdict != GO_ON:
        return Wanted(key=key, because=f"the verdict is to {promise.verdict}, and the rollout is open")
    if now - datetime.fromisoformat(promise.at) >= duration(rollout.every):
        return Wanted(key=key, because=f"the newest verdict is of {promise.at}")
    finding = Refs(home).find(f"{project.name}/{model.name}/{STATIONS[0]}")
    read = finding.manifest.recipe.inputs.get(f"raw:{model.examples.source}") if finding is not None else None
    return Wanted(key=key, because="labels may have become known") if read != landed else None
