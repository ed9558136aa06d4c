"""Predictions as Dagster assets."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.manifest import Manifest, digest_of
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.automation import follows_data
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.locks import exclusive
from mlops_platform.resources.mlflow import tracked_content
from mlops_platform.resources.source_code import closure
from mlops_platform.resources.station import Made, Stations, table_schema
from mlops_platform.spec import Forecast, Model, Project

_WORK = (
    "mlops_platform.serving.batch:next_day",
    "mlops_platform.serving.batch:upcoming",
    "mlops_platform.serving.batch:earlier_rows",
    "mlops_platform.serving.batch:predict",
    "mlops_platform.serving.batch:log_predictions",
)
_STATES = "mlops_platform.serving.states:write_states"


def predictions_asset(project: Project, model: Model) -> dg.AssetsDefinition:
    """The champion's answers for the next day."""
    tables = list(project.feature_columns(model))
    sources = [model.examples.source, model.examples.upcoming_source]
    answering, further = _code(model)

    @dg.asset(
        key=[project.name, model.name, "predictions"],
        deps=[
            [project.name, model.name, "champion"],
            [project.name, "feast", "registry"],
            *([project.name, "raw", name] for name in dict.fromkeys(sources)),
            *([project.name, "features", name] for name in tables),
        ],
        group_name="serving",
        owners=[project.owner],
        kinds={"onnx", "polars", "deltalake"},
        automation_condition=follows_data(),
        # Before the first champion there is nothing to answer with: that is no failure, the verdict says why.
        output_required=False,
        description=f"Predictions of {model.name} for the day after the newest examples, in the prediction log.",
    )
    def predictions(context: dg.AssetExecutionContext, stations: Stations) -> Iterator[dg.MaterializeResult]:
        champion = _champion(project, model, stations)
        if champion is None:
            stations.skip(
                context, f"no version of {model.name} passed the gate yet; mlops history {model.name} says why"
            )
            return
        names = {"raw": sources, "features": tables}
        read = {(kind, n): stations.input(f"{project.name}/{kind}/{n}").manifest for kind in names for n in names[kind]}
        inputs = {
            "checkpoint": champion["checkpoint"],
            "registry": stations.input(f"{project.name}/feast/registry").manifest.digest,
            **{f"{kind}:{name}": manifest.digest for (kind, name), manifest in read.items()},
        }
        config = _config(project, model)
        source = closure(*answering)
        # Named by what decides its answers: quarantined files and how states are kept are not, so it is logged once.
        rows = {f"{kind}:{name}": manifest.delta.digest for (kind, name), manifest in read.items()}
        batch = digest_of([{**inputs, **rows}, config, source.digest, source.distributions])

        def work(folder: Path) -> Made:
            content = _answer(project, model, stations, champion, read, batch, context.run.run_id, folder)
            context.log.info(f"{content['rows']} predictions for {content['day']} by version {content['version']}")
            return Made(content=content)

        yield stations.make(
            context,
            kind="predictions",
            code=(*answering, *further),
            config=config,
            inputs=inputs,
            work=work,
            show=_show,
            track=lambda artifact: tracked_content(artifact.manifest.content),
        )

    return predictions


def _code(model: Model) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The functions that decide the answers, and those that make what else is kept: of sequences, their states."""
    if model.network.sequence is None:
        return (*_WORK, model.examples.upcoming), ()
    return (*_WORK, model.examples.upcoming, model.examples.labelled), (_STATES,)


def _config(project: Project, model: Model) -> dict[str, Any]:
    from mlops_platform.resources.prediction_log.personal import personal_columns

    hashed = sorted(personal_columns(project, model).hashed)
    return {"examples": repr(model.examples), "service": model.feature_service, **model.task.recipe(),
            **({"personal": hashed} if hashed else {})}  # fmt: skip


def _champion(project: Project, model: Model, stations: Stations) -> dict[str, str] | None:
    """Version and checkpoint that are live: the history says, also where a person moved the champion since."""
    live = PromotionHistory(stations.home, project.name, model.name).live()
    return {"version": str(live.champion), "checkpoint": str(live.checkpoint)} if live else None


def _answer(
    project: Project,
    model: Model,
    stations: Stations,
    champion: Mapping[str, Any],
    read: Mapping[tuple[str, str], Manifest],
    batch: str,
    run_id: str,
    folder: Path,
) -> dict[str, Any]:
    from mlops_platform.resources.delta import DeltaDoor
    from mlops_platform.resources.feast import FeastDoor
    from mlops_platform.resources.prediction_log.personal import Personal
    from mlops_platform.resources.prediction_log.segments import log_lock
    from mlops_platform.scoring import Scorer
    from mlops_platform.serving.batch import earlier_rows, log_predictions, next_day, predict, upcoming
    from mlops_platform.serving.states import write_states

    home = stations.home
    tables = {key: manifest.table for key, manifest in read.items() if manifest.table is not None}
    raw = {n: DeltaDoor(home.root / t.path).scan(t.version) for (kind, n), t in tables.items() if kind == "raw"}
    features = {name: table for (kind, name), table in tables.items() if kind == "features"}
    day = next_day(model, raw[model.examples.source])
    examples = upcoming(model, raw[model.examples.upcoming_source], day)
    scorer = Scorer.load(stations.store.open("checkpoint", champion["checkpoint"]))
    past, private, feast = raw[model.examples.source], Personal(home, project, model), FeastDoor(home, project)
    sequential = scorer.encoding.carried is not None
    earlier = earlier_rows(model, examples.columns, feast, features, past) if sequential else None
    answers = predict(model, examples, feast, features, scorer, batch, earlier, private)
    answers.write_parquet(folder / "predictions.parquet", compression="zstd", statistics=False)
    kept: dict[str, Any] = {}
    # A champion of before the model was declared one of sequences has no states.
    if model.network.sequence is not None and earlier is not None:
        kept = write_states(folder, scorer, champion["checkpoint"], earlier)
    log = DeltaDoor(home.prediction_log(project.name, model.name))
    version = champion["version"]
    with exclusive(home, log_lock(project, model)):
        log_predictions(log, answers, model=model, version=version, checkpoint=champion["checkpoint"], batch=batch,
                        run_id=run_id, private=private)  # fmt: skip
    forecast = isinstance(model.task, Forecast)
    mean = (answers["score"].explode() if forecast else answers["score"]).mean()
    return {"rows": answers.height, "day": day.isoformat(), "version": version, "batch": batch, "mean_score": mean,
            **kept}  # fmt: skip


def _show(artifact: Artifact) -> dict[str, object]:
    import polars as pl

    content = artifact.manifest.content
    answers = pl.read_parquet(artifact.file("predictions.parquet"))
    shown = {"day": content["day"], "version": int(content["version"]),
             **table_schema([(name, str(dtype), "") for name, dtype in answers.schema.items()])}  # fmt: skip
    if answers.is_empty():
        return shown
    forecast = isinstance(answers.schema["score"], pl.Array)
    by = pl.col("score").arr.mean() if forecast else pl.col("score")
    highest = answers.sort(by, descending=True).head(5).select("prediction_id", answers.columns[1], "score")
    lines = ["| prediction | example | score |", "|---|---|---|"]
    lines += [f"| {row[0]} | {row[1]} | {_told(row[2])} |" for row in highest.rows()]
    return {**shown, "mean_score": content["mean_score"], "highest_scores": dg.MetadataValue.md("\n".join(lines))}


def _told(score: float | list[float]) -> str:
    return ", ".join(f"{step:.1f}" for step in score) if isinstance(score, list) else f"{score:.3f}"
