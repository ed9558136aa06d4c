"""Datasets as Dagster assets."""

from pathlib import Path

import dagster as dg

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import follows_data
from mlops_platform.resources.mlflow import tracked_content
from mlops_platform.resources.station import Made, Stations, table_schema
from mlops_platform.spec import Model, Project


def dataset_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """The point-in-time dataset of one model."""
    tables = list(project.feature_columns(model))

    @dg.asset(
        key=[project.name, model.name, "dataset"],
        deps=[
            [project.name, "raw", model.examples.source],
            [project.name, "feast", "registry"],
            *([project.name, "features", name] for name in tables),
        ],
        group_name="datasets",
        owners=[project.owner],
        kinds={"polars", "feast", "parquet"},
        automation_condition=follows_data(),
        description=f"Dataset of {model.name}: labelled examples with the features known at each one's time, by split.",
    )
    def dataset(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        from mlops_platform.datasets.build import build, declared
        from mlops_platform.datasets.reuse import earlier_features
        from mlops_platform.resources.delta import DeltaDoor
        from mlops_platform.resources.feast import FeastDoor
        from mlops_platform.resources.memo import recipe_of

        home = stations.home
        raw = stations.input(f"{project.name}/raw/{model.examples.source}").manifest
        features = {name: stations.input(f"{project.name}/features/{name}").manifest for name in tables}
        registry = stations.input(f"{project.name}/feast/registry").manifest

        code = ("mlops_platform.datasets.build:build", "mlops_platform.datasets.reuse:earlier_features",
                model.examples.labelled, "mlops_platform.point_in_time.feast_store:PolarsOfflineStore")  # fmt: skip
        config = declared(model)
        inputs = {
            f"raw:{model.examples.source}": raw.digest,
            "registry": registry.digest,
            **{f"features:{name}": manifest.digest for name, manifest in features.items()},
        }

        def work(folder: Path) -> Made:
            rows = DeltaDoor(home.root / raw.delta.path).scan(raw.delta.version)
            refs = {name: manifest.delta for name, manifest in features.items()}
            recipe, _ = recipe_of("/".join(context.asset_key.path), code=code, config=config, inputs=inputs)
            earlier = earlier_features(home, project, model, recipe, features)
            built = build(project, model, rows, FeastDoor(home, project), refs, folder, earlier=earlier.rows)
            context.log.info(f"{built}: {earlier.said}")
            return Made(content=built.content, measured={"joined": built.joined, "reused": built.reused})

        return stations.make(
            context,
            kind="dataset",
            code=code,
            config=config,
            inputs=inputs,
            work=work,
            show=_show,
            track=lambda artifact: tracked_content(artifact.manifest.content),
        )  # fmt: skip

    return dataset


def _show(artifact: Artifact) -> dict[str, object]:
    import polars as pl

    content, measured = artifact.manifest.content, artifact.manifest.produced.measured
    forecast = "known_share" in content["parts"]["train"]
    parts = [f"| part | rows | {'known labels' if forecast else 'positive'} |", "|---|---|---|"]
    share = "known_share" if forecast else "positive_share"
    parts += [f"| {name} | {p['rows']:,} | {p[share]:.1%} |" for name, p in content["parts"].items()]
    schema = pl.read_parquet_schema(artifact.folder / "holdout.parquet")
    return {
        "parts": dg.MetadataValue.md("\n".join(parts)),
        **{f"rows_{name}": part["rows"] for name, part in content["parts"].items()},
        **{f"unlabelled_{reason}": count for reason, count in content["unlabelled"].items()},
        "purged": content["purged"],
        "embargoed": content["embargoed"],
        "earlier_labels": content["earlier_labels"],
        "joined": measured["joined"],
        "reused": measured["reused"],
        "boundaries": dg.MetadataValue.json(content["boundaries"]),
        "known_time": dg.MetadataValue.json(content["known_time"]),
        **table_schema([(name, str(dtype), "") for name, dtype in schema.items()]),
    }
