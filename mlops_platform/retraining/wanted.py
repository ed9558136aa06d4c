"""The run that a model needs now: a new decision, a training, a verdict that is missing, or none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mlops_platform.manifest import short
from mlops_platform.resources.automation import PROJECT, TRAINS
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.memo import recipe_of
from mlops_platform.resources.refs import Refs
from mlops_platform.retraining.assets import CODE
from mlops_platform.retraining.standing import STATION, Standing, recipe_parts, standing
from mlops_platform.spec import Model, Project

STANDING = "mlops/standing"
"""Tag of a run that is to decide: the standing that the sensor saw."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A run that a model needs.

    Attributes:
        because: Why, or why it needs none.
        decided_by: Id of the run that asked for the decision last; empty where none did.
        key: Of the request; None where no run is needed.
        tags: Of the run.
        selection: Asset keys of the decision where it has to be asked for; None for the whole training job.
    """

    because: str
    decided_by: str = ""
    key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    selection: Sequence[Sequence[str]] | None = None

    @property
    def trains(self) -> bool:
        """Whether the training job is wanted."""
        return self.key is not None and self.selection is None


def wanted_run(home: Home, project: Project, model: Model, now: datetime) -> Wanted:
    """What a model needs.

    The key of a request holds when the decision was asked for last: a standing that comes back is decided, and acted
    on, again.

    Args:
        home: Where the artifacts are.
        project, model: The declarations.
        now: UTC.
    """
    found, refs = standing(home, project, model, now), Refs(home)
    if found is None:
        return Wanted(because="there is no dataset yet")
    station = f"{project.name}/{model.name}/{STATION}"
    recipe, _ = recipe_of(station, code=CODE, **recipe_parts(model, found))
    decision, story = refs.find(station), refs.story(station)
    at, by = (story.last.at, story.last.run_id) if story else ("", "")
    if decision is None or story is None or story.last.recipe != recipe.key:
        because, seen = "the model's standing has changed", short(recipe.key)
        tags = {PROJECT: project.name, STANDING: seen, "mlops/because": because}
        return Wanted(because=because, decided_by=by, key=f"decide:{station}:{seen}:{at}", tags=tags,
                      selection=[[project.name, model.name, STATION]])  # fmt: skip
    reason, digest = str(decision.manifest.content["reason"]), short(decision.manifest.digest)
    tags = {PROJECT: project.name, TRAINS: f"{project.name}/{model.name}"}
    if decision.manifest.content["retrain"]:
        tags |= {"mlops/because": reason, "mlops/decision": digest}
        return Wanted(because=reason, decided_by=by, key=f"retrain:{station}:{digest}:{at}", tags=tags)
    if (missing := _unjudged(home, project, model, found)) is not None:
        because = f"checkpoint {missing} has no verdict yet"
        key = f"judge:{station}:{missing}:{short(found.dataset.manifest.digest)}"
        return Wanted(because=because, decided_by=by, key=key, tags={**tags, "mlops/because": because})
    return Wanted(because=reason, decided_by=by)


def _unjudged(home: Home, project: Project, model: Model, found: Standing) -> str | None:
    """The newest checkpoint, where no verdict on it was ever decided: the run that trained it failed after that."""
    if found.checkpoint is None:
        return None
    digest = found.checkpoint.manifest.digest
    history = PromotionHistory(home, project.name, model.name)
    judged = {each for move in history.moves() for each in (move.challenger, move.checkpoint)}
    return None if digest in judged else short(digest)
