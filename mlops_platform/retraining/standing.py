"""How a model stands before the policy is asked: told by manifests alone, without reading a row."""

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Model, Project, Retraining, duration

STATION = "retrain_decision"
"""Last part of the asset key."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the policy is asked about.

    Attributes:
        dataset: The newest dataset.
        checkpoint: The newest checkpoint; None where there is none.
        trained_on: Digest of the dataset that it was trained on.
        trained_at: When, in UTC.
        report: The newest monitoring report; None where there is none.
        stale: Whether the declared time has passed since, and there is something new to learn.
        cooling: Whether it would be too soon to train again; False where there is nothing new to learn.
    """

    dataset: Artifact
    checkpoint: Artifact | None
    trained_on: str | None
    trained_at: datetime | None
    report: Artifact | None
    stale: bool
    cooling: bool

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of all that the decision reads."""
        found = {"dataset": self.dataset.manifest.digest, "trained_on": self.trained_on}
        artifacts = {"checkpoint": self.checkpoint, "monitoring": self.report}
        found |= {role: artifact.manifest.digest if artifact else None for role, artifact in artifacts.items()}
        return {role: digest for role, digest in found.items() if digest is not None}


def standing(home: Home, project: Project, model: Model, now: datetime | None = None) -> Standing | None:
    """How a model stands; None before its first dataset.

    Args:
        home: Where the artifacts are.
        project, model: The declarations.
        now: UTC; by which a training is old or fresh.
    """
    refs, prefix, policy = Refs(home), f"{project.name}/{model.name}", policy_of(model)
    dataset, checkpoint = refs.find(f"{prefix}/dataset"), refs.find(f"{prefix}/checkpoint")
    if dataset is None:
        return None
    # The recipe by which it was asked last: equal weights of two datasets are one artifact.
    recipe = refs.recipe(f"{prefix}/checkpoint")
    trained_on = recipe.inputs["dataset"] if checkpoint is not None and recipe is not None else None
    trained_at = _trained_at(refs, f"{prefix}/checkpoint", checkpoint)
    age = (now or datetime.now(UTC)) - trained_at if trained_at is not None else None
    new = trained_on != dataset.manifest.digest
    return Standing(
        dataset=dataset, checkpoint=checkpoint, trained_on=trained_on, trained_at=trained_at,
        report=refs.find(f"{prefix}/monitoring"), stale=new and _past(age, policy.stale_after),
        cooling=new and age is not None and policy.cooldown is not None and not _past(age, policy.cooldown),
    )  # fmt: skip


def _trained_at(refs: Refs, station: str, checkpoint: Artifact | None) -> datetime | None:
    """When the station worked last: equal weights may have been made long before."""
    if checkpoint is None:
        return None
    story = refs.story(station)
    made = story.made if story is not None else None
    return datetime.fromisoformat(made.at if made is not None else checkpoint.manifest.produced.at)


def policy_of(model: Model) -> Retraining:
    """The declared policy.

    Raises:
        ValueError: The model is one that only people train.
    """
    if model.retraining is None:
        raise ValueError(f"{model.name} declares no retraining policy, so it has no decision")
    return model.retraining


def recipe_parts(model: Model, found: Standing) -> dict[str, Any]:
    """What beside the code decides a decision, as ``Stations.make`` takes it; time counts only by what it changes."""
    policy = {**asdict(policy_of(model)), "stale": found.stale, "cooling": found.cooling, "id": model.examples.id}
    return {"config": {"policy": policy}, "inputs": found.inputs}


def _past(age: timedelta | None, declared: str | None) -> bool:
    return age is not None and declared is not None and age >= duration(declared)
