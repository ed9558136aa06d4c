"""The tiniest real project: 400 rows, two splits, and the station that trains on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl

from mlops_platform.manifest import Manifest, Produced, Recipe, digest_file
from mlops_platform.resources.artifacts import Artifact, ArtifactStore
from mlops_platform.resources.compute import ComputeResource
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowResource
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Stations
from mlops_platform.spec import Compute, Examples, FeatureTable, Model, Network, Project, RawTable, columns
from mlops_platform.training.assets import checkpoint_asset
from mlops_platform.training.checks import checkpoint_checks

_HERE = "mlops_platform_tests.training.tiny"
NETWORKS = "mlops_platform_tests.training.networks"
NUMERIC = ("shelves__size", "shelves__level", "shelves__flat")
CATEGORIES = ("colour", "shelf")
SPLITS = {"train": 300, "validation": 100, "holdout": 50}


def rows(count: int, seed: int) -> pl.DataFrame:
    """Rows of a dataset, whose label the size and the colour decide but for noise."""
    chance = np.random.default_rng(seed)
    size = chance.normal(10.0, 3.0, count)
    colour = chance.choice(["blue", "green", "red"], count)
    label = size + 2.0 * (colour == "red") + chance.normal(0, 1, count) > 10.5
    known = pl.Series(chance.random(count) > 0.1)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "item_id": [f"{seed}-{index}" for index in range(count)],
            "event_timestamp": [start + timedelta(hours=index) for index in range(count)],
            "shelves__size": size,
            "shelves__level": pl.Series(chance.integers(0, 5, count), dtype=pl.Int32),
            "shelves__flat": pl.Series([0.1] * count, dtype=pl.Float32),
            "colour": colour,
            "shelf": pl.Series(chance.integers(3, 6, count), dtype=pl.Int64),
            "label": pl.Series(label).cast(pl.Int8),
            "label_known_timestamp": [start + timedelta(hours=index + 1) for index in range(count)],
        }
    ).with_columns(pl.when(known).then(pl.col(name)) for name in ("shelves__level", "colour"))


def items(frame: pl.LazyFrame) -> pl.LazyFrame:
    """Stands for the functions that a declaration names and this room never calls."""
    return frame


def network(name: str = "Tiny", **recipe: int | float) -> Network:
    """A network of this folder with a short recipe."""
    return Network(module=f"{NETWORKS}:{name}", **{"epochs": 3, "batch_size": 64, "learning_rate": 0.02, **recipe})


def project(folder: Path, net: Network) -> Project:
    """A project of one model."""
    (folder / "feature_store.yaml").touch()
    numbers = columns("float64", *(name.removeprefix("shelves__") for name in NUMERIC))
    raw = RawTable(name="items", columns=(*numbers, *columns("string", "item_id", *CATEGORIES)), key=("item_id",),
                   times=f"{_HERE}:items")  # fmt: skip
    table = FeatureTable(name="shelves", source="items", compute=f"{_HERE}:items", keys=CATEGORIES, columns=numbers)
    examples = Examples(source="items", labelled=f"{_HERE}:items", upcoming_source="items", upcoming=f"{_HERE}:items",
                        id="item_id")  # fmt: skip
    model = Model(name="sells", examples=examples, feature_service="sells", features=("shelves",),
                  categories=CATEGORIES, network=net, compute=Compute(threads=1))  # fmt: skip
    return Project(name="shop", raw_tables=(raw,), feature_tables=(table,), models=(model,), feature_repo=folder,
                   owner="team:shop")  # fmt: skip


def commit_dataset(home: Home, holdout: pl.DataFrame | None = None) -> Artifact:
    """Puts the dataset where its station would have; with another holdout than the usual one if it is told one."""
    store = ArtifactStore(home)
    staging = store.stage()
    for number, (name, count) in enumerate(SPLITS.items()):
        part = rows(count, seed=number) if holdout is None or name != "holdout" else holdout
        part.write_parquet(staging / f"{name}.parquet")
    station = "shop/sells/dataset"
    manifest = Manifest(
        kind="dataset", station=station, environment=home.environment, table=None,
        content={"rows": 450, "trained_until": "2024-01-17T00:00+00:00", "holdout_start": "2024-01-18T00:00+00:00"},
        files={path.name: digest_file(path) for path in staging.iterdir()},
        recipe=Recipe(station=station, functions=(), code="", config={}, software={}, inputs={}),
        produced=Produced(at="", seconds=0, run_id="", correlation_id="", actor="test"),
    )  # fmt: skip
    sealed = store.commit(staging, manifest)
    Refs(home).write(sealed)
    return store.open(sealed.kind, sealed.digest)


@dataclass(frozen=True)
class Shop:
    """A home with a dataset, and the declaration that trains on it."""

    home: Home
    dataset: Artifact
    project: Project

    @property
    def resources(self) -> dict[str, object]:
        """What the station needs."""
        stations = Stations(path=str(self.home.path), environment=self.home.environment, mlflow=MlflowResource())
        return {"stations": stations, "compute": ComputeResource(threads=1, lease_wait_seconds=60)}

    def materialize(
        self, instance: dg.DagsterInstance | None = None, after: Sequence[dg.AssetsDefinition] = ()
    ) -> dg.ExecuteInProcessResult:
        """Trains through Dagster, checks the outcome, and goes on with what comes after."""
        (model,) = self.project.models
        return dg.materialize(
            [checkpoint_asset(self.project, model), checkpoint_checks(self.project, model), *after],
            resources=self.resources, raise_on_error=False, instance=instance,
        )  # fmt: skip

    def tracked_params(self, checkpoint: Artifact) -> dict[str, str]:
        """What MLflow keeps of a checkpoint's parameters."""
        stations = Stations(path=str(self.home.path), environment=self.home.environment, mlflow=MlflowResource())
        run = stations.tracked_run(checkpoint)
        assert run is not None
        return dict(stations.tracking(self.project.name).client.get_run(run).data.params)

    def checkpoint(self) -> Artifact | None:
        """What the station stands for."""
        return Refs(self.home).find("shop/sells/checkpoint")


def shop(folder: Path, net: Network, holdout: pl.DataFrame | None = None) -> Shop:
    """A shop in an empty folder."""
    home = Home(folder / "home")
    home.root.mkdir(parents=True)
    return Shop(home, commit_dataset(home, holdout), project(folder, net))
