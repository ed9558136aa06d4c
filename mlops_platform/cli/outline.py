"""The stations of a project in flow order, told from its declaration alone, so that Dagster is not imported for it."""

from dataclasses import dataclass

from mlops_platform.spec import Model, Project


@dataclass(frozen=True)
class Planned:
    """A station that the project has.

    Attributes:
        station: Asset key, joined by slashes.
        room: The folder that owns it.
        code: References of the functions behind it, as its asset names them.
    """

    station: str
    room: str
    code: tuple[str, ...]


def outline(project: Project) -> list[Planned]:
    """Every station; a test compares them, and their code, with the graph that Dagster builds."""
    name = project.name
    ingest, compute = "mlops_platform.sources.ingest:ingest", "mlops_platform.features.compute:compute_table"
    raw = [Planned(f"{name}/{t.name}/raw", "sources", (ingest, t.times)) for t in project.raw_tables]
    features = [Planned(f"{name}/{t.name}/features", "features", (compute, t.compute)) for t in project.feature_tables]
    feast = [
        Planned(f"{name}/feast/registry", "features", ("mlops_platform.resources.feast:FeastDoor",)),
        Planned(f"{name}/feast/online", "features", ("mlops_platform.features.online:bring_online",)),
    ]
    return [*raw, *features, *feast, *(found for model in project.models for found in _model(name, model))]


def _model(project: str, model: Model) -> list[Planned]:
    registered = ("mlops_platform.registry.package:write_package", "mlops_platform.registry.versions:register")
    dataset = ("mlops_platform.datasets.build:build", model.examples.labelled,
               "mlops_platform.point_in_time.feast_store:PolarsOfflineStore")  # fmt: skip
    stations = {
        "dataset": ("datasets", dataset),
        "checkpoint": ("training", ("mlops_platform.training.program.fit:train", model.network.module)),
        "evaluation": ("evaluation", ("mlops_platform.evaluation.evaluate:evaluate",)),
        "gate": ("evaluation", ("mlops_platform.evaluation.gate:write_verdict",)),
        "registered_model": ("registry", registered),
        "champion": ("registry", ("mlops_platform.registry.promotion:decide",)),
        "predictions": ("serving", ("mlops_platform.serving.batch:predict", model.examples.upcoming)),
    }
    return [Planned(f"{project}/{model.name}/{name}", room, code) for name, (room, code) in stations.items()]
