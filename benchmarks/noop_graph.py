"""A hundred light stations in ten layers, and the same graph of assets that do nothing, for ``benchmarks.noop``."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from benchmarks.homes import ROOT
from mlops_platform.manifest import canonical_json, digest_bytes
from mlops_platform.resources.mlflow import MlflowResource
from mlops_platform.resources.station import Made, Stations

if TYPE_CHECKING:
    from mlops_platform.cli.execution import Graph

LAYERS, WIDTH = 10, 10
JOB = "noop_everything"


def number(layer: int, place: int) -> dict[str, int]:
    """The work of a station, as light as can be."""
    return {"layer": layer, "place": place}


def key(layer: int, place: int) -> dg.AssetKey:
    """Name of a station: project, layer, place."""
    return dg.AssetKey(["noop", f"layer_{layer}", f"station_{place}"])


def upstream(layer: int, place: int) -> list[dg.AssetKey]:
    """Two stations of the layer before."""
    return [key(layer - 1, other) for other in (place, (place + 1) % WIDTH)] if layer else []


def station(layer: int, place: int) -> dg.AssetsDefinition:
    """One station through the platform's door, its inputs those before it by digest."""

    @dg.asset(key=key(layer, place), deps=upstream(layer, place))
    def light(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        before = ["/".join(other.path) for other in upstream(layer, place)]

        def work(folder: Path) -> Made:
            text = canonical_json(number(layer, place))
            (folder / "number.json").write_bytes(text)
            return Made(content={"number": digest_bytes(text)})

        return stations.make(
            context,
            kind="number",
            code=("benchmarks.noop_graph:number",),
            config={"layer": layer, "place": place},
            inputs={name: stations.input(name).manifest.digest for name in before},
            work=work,
        )

    return light


def nothing(layer: int, place: int) -> dg.AssetsDefinition:
    """One asset of Dagster's own that does nothing."""

    @dg.asset(key=key(layer, place), deps=upstream(layer, place))
    def empty() -> None: ...

    return empty


def graph() -> "Graph":
    """The stations as the command line runs them."""
    from mlops_platform.cli.execution import Graph
    from mlops_platform.spec import Project

    project = Project(
        name="noop", raw_tables=(), feature_tables=(), models=(), feature_repo=ROOT / "feature_repo", owner="team:none"
    )
    return Graph(project, stations, {"/".join(asset.key.path): "noop" for asset in _STATIONS})


_PLACES = [(layer, place) for layer in range(LAYERS) for place in range(WIDTH)]
_STATIONS = [station(*place) for place in _PLACES]
_MLFLOW = MlflowResource()

stations = dg.Definitions(
    assets=_STATIONS,
    jobs=[dg.define_asset_job(JOB)],
    resources={"stations": Stations(mlflow=_MLFLOW), "mlflow": _MLFLOW},
    executor=dg.in_process_executor,
)
empty = dg.Definitions(assets=[nothing(*place) for place in _PLACES], executor=dg.in_process_executor)
