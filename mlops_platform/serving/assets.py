"""Predictions as Dagster assets."""

from pathlib import Path

import dagster as dg

from mlops_platform.errors import MissingArtifactError
from mlops_platform.manifest import digest_of
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.station import Made, Stations, table_schema
from mlops_platform.spec import Model, Project


def predictions_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """The champion's answers for the next day."""
    tables = list(project.feature_columns(model))
    sources = [model.examples.source, model.examples.upcoming_source]

    @dg.asset(
        key=[project.name, model.name, "predictions"],
        deps=[
            [project.name, model.name, "champion"],
            [project.name, "feast", "registry"],
            *([project.name, name, "raw"] for name in dict.fromkeys(sources)),
            *([project.name, name, "features"] for name in tables),
        ],
        group_name="serving",
        owners=[project.owner],
        kinds={"onnx", "polars", "deltalake"},
        description=f"Predictions of {model.name} for the day after the newest examples, in the prediction log.",
    )
    def predictions(context: dg.AssetExecutionContext, stations: Stations) -> dg.MaterializeResult:
        from mlops_platform.resources.delta import DeltaDoor
        from mlops_platform.resources.feast import FeastDoor
        from mlops_platform.resources.source_code import closure
        from mlops_platform.serving.batch import log_predictions, next_day, predict, upcoming

        home = stations.home
        champion = stations.input(f"{project.name}/{model.name}/champion").manifest.content
        if champion["version"] is None:
            raise MissingArtifactError(required=f"a champion of {model.name}", found="none passed the gate yet",
                                       remedy=f"mlops history {model.name} tells why")  # fmt: skip
        raw = {name: stations.input(f"{project.name}/{name}/raw").manifest for name in sources}
        features = {name: stations.input(f"{project.name}/{name}/features").manifest for name in tables}
        checkpoint = stations.store.open("checkpoint", champion["checkpoint"])
        inputs = {
            "checkpoint": champion["checkpoint"],
            "registry": stations.input(f"{project.name}/feast/registry").manifest.digest,
            **{f"raw:{name}": manifest.digest for name, manifest in raw.items()},
            **{f"features:{name}": manifest.digest for name, manifest in features.items()},
        }

        code = ("mlops_platform.serving.batch:predict", model.examples.upcoming)
        batch = digest_of({"inputs": inputs, "code": closure(*code).digest})

        def work(folder: Path) -> Made:
            scans = {n: DeltaDoor(home.root / m.table.path).scan(m.table.version) for n, m in raw.items()}
            day = next_day(model, scans[model.examples.source])
            examples = upcoming(model, scans[model.examples.upcoming_source], day)
            refs = {name: manifest.table for name, manifest in features.items()}
            answers = predict(project, model, examples, FeastDoor(home, project), refs, checkpoint, batch)
            answers.write_parquet(folder / "predictions.parquet", compression="zstd", statistics=False)
            log = DeltaDoor(home.prediction_log(project.name, model.name))
            log_predictions(log, answers, model=model, version=champion["version"], checkpoint=champion["checkpoint"],
                            batch=batch, run_id=context.run.run_id)  # fmt: skip
            context.log.info(f"{answers.height} predictions for {day} by version {champion['version']}")
            mean = answers["score"].mean()
            content = {"rows": answers.height, "day": day.isoformat(), "version": champion["version"], "batch": batch,
                       "mean_score": mean, "examples": examples.height}  # fmt: skip
            return Made(content=content)

        return stations.make(
            context,
            kind="predictions",
            code=code,
            config={"examples": repr(model.examples), "service": model.feature_service},
            inputs=inputs,
            work=work,
            show=_show,
        )

    return predictions


def _show(artifact: Artifact) -> dict[str, object]:
    import polars as pl

    content = artifact.manifest.content
    answers = pl.read_parquet(artifact.file("predictions.parquet"))
    shown = {"day": content["day"], "version": int(content["version"]),
             **table_schema([(name, str(dtype), "") for name, dtype in answers.schema.items()])}  # fmt: skip
    if answers.is_empty():
        return shown
    highest = answers.sort("score", descending=True).head(5)
    lines = ["| prediction | example | score |", "|---|---|---|"]
    lines += [
        f"| {row[0]} | {row[1]} | {row[2]:.3f} |"
        for row in highest.select("prediction_id", answers.columns[1], "score").rows()
    ]
    return {**shown, "mean_score": content["mean_score"], "highest_scores": dg.MetadataValue.md("\n".join(lines))}
