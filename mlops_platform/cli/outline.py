"""The stations of a project in flow order, told from its declaration alone, so that Dagster is not imported for it."""

from dataclasses import dataclass

from mlops_platform.spec import Project


@dataclass(frozen=True)
class Planned:
    """A station that the project has.

    Attributes:
        station: Asset key, joined by slashes.
        room: The folder that owns it.
    """

    station: str
    room: str


TUNING = "tuning"
"""The station that works only when it is asked for without the checkpoint."""
LIVE_SKEW = "live_skew"
"""The station that works once a day, or when it is asked for without the predictions."""
BY_THEMSELVES = {TUNING: "checkpoint", LIVE_SKEW: "predictions"}
"""Stations that are left out wherever a selection names this other station of their model too."""
_ROOMS = {
    "dataset": "datasets",
    "tuning": "training",
    "checkpoint": "training",
    "evaluation": "evaluation",
    "gate": "evaluation",
    "skew": "monitoring",
    "registered_model": "registry",
    "champion": "registry",
    "predictions": "serving",
    "monitoring": "monitoring",
    "live_skew": "monitoring",
    "rollout": "monitoring",
    "rollout_decision": "registry",
    "retrain_decision": "retraining",
}


def outline(project: Project) -> list[Planned]:
    """Every station; a test compares them with the graph that Dagster builds."""
    name = project.name
    raw = [Planned(f"{name}/raw/{table.name}", "sources") for table in project.raw_tables]
    features = [Planned(f"{name}/features/{table.name}", "features") for table in project.feature_tables]
    feast = [Planned(f"{name}/feast/{station}", "features") for station in ("registry", "online")]
    models = [
        Planned(f"{name}/{m.name}/{station}", room)
        for m in project.models
        for station, room in _ROOMS.items()
        if (m.retraining is not None or room != "retraining")
        and (m.tuning is not None or station != TUNING)
        and (m.serving.rollout is not None or not station.startswith("rollout"))
    ]
    return [*raw, *features, *feast, *models]
