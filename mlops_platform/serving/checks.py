"""What must hold of predictions."""

from collections.abc import Iterable

import dagster as dg

from mlops_platform.resources.station import Stations
from mlops_platform.spec import Forecast, Model, Project


def predictions_checks(project: Project, model: Model) -> dg.AssetChecksDefinition:
    """One finite answer for each example, each in the log (blocking); there was something to answer."""
    key = dg.AssetKey([project.name, model.name, "predictions"])
    forecast = isinstance(model.task, Forecast)
    name, told = (("scores_are_finite", "every score is a finite number") if forecast
                  else ("scores_are_probabilities", "every score is in [0, 1]"))  # fmt: skip
    specs = [
        dg.AssetCheckSpec(name, asset=key, blocking=True, description=told),
        dg.AssetCheckSpec("every_answer_is_logged", asset=key, blocking=True,
                          description="each prediction id is in the prediction log exactly once"),
        dg.AssetCheckSpec("there_is_something_to_answer", asset=key, description="the next day has examples"),
    ]  # fmt: skip

    @dg.multi_asset_check(specs=specs, name=f"{project.name}__{model.name}__predictions_checks")
    def checks(stations: Stations) -> Iterable[dg.AssetCheckResult]:
        import polars as pl

        from mlops_platform.resources.delta import DeltaDoor

        artifact = stations.input(f"{project.name}/{model.name}/predictions")
        answers = pl.read_parquet(artifact.file("predictions.parquet"))
        scores = answers["score"].explode() if forecast else answers["score"]
        sound = scores.is_finite() & (scores.is_between(0, 1) | forecast)
        yield dg.AssetCheckResult(check_name=name, asset_key=key, passed=bool(sound.all()),
                                  metadata={"rows": answers.height, "unsound": int((~sound).sum())})  # fmt: skip
        log = DeltaDoor(stations.home.prediction_log(project.name, model.name)).scan()
        ids = (
            log.filter(pl.col("batch") == artifact.manifest.content["batch"])
            .select("prediction_id")
            .collect()["prediction_id"]
        )
        logged = sorted(ids) == sorted(answers["prediction_id"])
        yield dg.AssetCheckResult(check_name="every_answer_is_logged", asset_key=key, passed=logged,
                                  metadata={"answers": answers.height, "logged": len(ids)})  # fmt: skip
        yield dg.AssetCheckResult(
            check_name="there_is_something_to_answer", asset_key=key, passed=answers.height > 0,
            severity=dg.AssetCheckSeverity.WARN,
            description=None if answers.height else f"land the {model.examples.upcoming_source} of that day",
            metadata={"day": artifact.manifest.content["day"], "examples": answers.height},
        )  # fmt: skip

    return checks
