"""The prediction log, and the labels its answers meet, as the stations of this room read them."""

from typing import Any

from mlops_platform.monitoring.labelled import Ids
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.personal import Personal
from mlops_platform.resources.prediction_log.shipping import ship
from mlops_platform.spec import Model, Project


def shipped_log(home: Home, project: Project, model: Model) -> tuple[DeltaDoor, Ids | None]:
    """The log, which may not exist yet, with all that was answered live by now.

    Returns:
        The log, and how it writes ids of examples; None: as they are, since these are not personal.
    """
    ship(home, project, model)
    private = Personal(home, project, model)
    log = DeltaDoor(home.prediction_log(project.name, model.name))
    return log, private.example_ids if private.columns.hashed else None


def labels_config(model: Model) -> dict[str, Any]:
    """What of a declaration decides which labels answers meet, and how the two are compared."""
    examples = model.examples
    return {"model": model.name, "labelled": examples.labelled, "id": examples.id, "calendar": examples.calendar,
            "metric": model.gate.metric, **model.task.recipe()}  # fmt: skip
