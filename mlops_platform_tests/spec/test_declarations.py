"""Wrong declarations are refused when they are made, naming field, value and remedy."""

from dataclasses import replace

import pytest

from mlops_platform.errors import SpecError
from mlops_platform.spec import (
    Binary,
    Column,
    Compute,
    Forecast,
    Gate,
    Model,
    Monitoring,
    Network,
    Retraining,
    Split,
    duration,
    task_of,
)
from mlops_platform_tests.lineage.pumps.project import INSPECTIONS, MODEL, PROJECT, PUMP_STATE, READINGS

NAN = float("nan")
FORECAST = Forecast(horizon=6, step="1h", unit="mm/s", persistence=("pump_state__vibration",), season=("weekday",))


@pytest.mark.parametrize(
    ("make", "field", "value"),
    [
        (lambda: replace(PUMP_STATE, window="0h", lookback="1h"), "FeatureTable(pump_state).window", "0h"),
        (lambda: replace(PUMP_STATE, ttl="soon"), "FeatureTable(pump_state).ttl", "soon"),
        (lambda: replace(PUMP_STATE, window="2h", lookback="1h"), "FeatureTable(pump_state).lookback", "1h"),
        (lambda: replace(PUMP_STATE, columns=()), "FeatureTable(pump_state).columns", ()),
        (lambda: replace(PUMP_STATE, compute="no.such:thing"), "FeatureTable(pump_state).compute", "no.such:thing"),
        (lambda: replace(PUMP_STATE, compute="dagster"), "FeatureTable(pump_state).compute", "dagster"),
        (lambda: replace(PUMP_STATE, compute="dagster:nothing"), "FeatureTable(pump_state).compute", "dagster:nothing"),
        (lambda: replace(READINGS, key=()), "RawTable(readings).key", ()),
        (lambda: replace(READINGS, key=("pomp",)), "RawTable(readings).key", "pomp"),
        (lambda: replace(READINGS, name="Two Words"), "RawTable.name", "Two Words"),
        (lambda: Column(name="a", dtype="decimal"), "Column(a).dtype", "decimal"),
        (lambda: replace(FORECAST, horizon=0), "Forecast.horizon", 0),
        (lambda: replace(FORECAST, step="soon"), "Forecast.step", "soon"),
        (lambda: replace(FORECAST, season=()), "Forecast.season", ()),
        (lambda: replace(MODEL, gate=Gate(metric="mae")), "Model(pump_repair).gate.metric", "mae"),
        (lambda: replace(MODEL, task=FORECAST), "Model(pump_repair).gate.metric", "roc_auc"),
        (lambda: Gate(metric="accuracy_at_noon"), "Gate.metric", "accuracy_at_noon"),
        (lambda: Gate(confidence=1.5), "Gate.confidence", 1.5),
        (lambda: Gate(baseline_margin=-0.1), "Gate.baseline_margin", -0.1),
        (lambda: Gate(confidence=0.5), "Gate.confidence", 0.5),
        (lambda: Gate(confidence=1.0), "Gate.confidence", 1.0),
        (lambda: Gate(champion_margin=-0.1), "Gate.champion_margin", -0.1),
        (lambda: Gate(champion_margin=NAN), "Gate.champion_margin", NAN),
        (lambda: Gate(resamples=3), "Gate.resamples", 3),
        (lambda: Gate(slice_margins={"pump": -0.01}), "Gate.slice_margins[pump]", -0.01),
        (lambda: Gate(slice_rows=0), "Gate.slice_rows", 0),
        (lambda: Gate(max_calibration_error=1.5), "Gate.max_calibration_error", 1.5),
        (lambda: Gate(max_megabytes=0), "Gate.max_megabytes", 0),
        (lambda: Gate(max_milliseconds=-1.0), "Gate.max_milliseconds", -1.0),
        (lambda: Monitoring(min_rows=0), "Monitoring.min_rows", 0),
        (lambda: Monitoring(min_days=1), "Monitoring.min_days", 1),
        (lambda: Monitoring(min_days=7.5), "Monitoring.min_days", 7.5),  # type: ignore[arg-type]
        (lambda: Monitoring(window="soon"), "Monitoring.window", "soon"),
        (lambda: Monitoring(window="6d"), "Monitoring.window", "6d"),
        (lambda: Monitoring(max_drop=-0.1), "Monitoring.max_drop", -0.1),
        (lambda: Monitoring(max_drop=NAN), "Monitoring.max_drop", NAN),
        (lambda: Monitoring(confidence=0.5), "Monitoring.confidence", 0.5),
        (lambda: Monitoring(confidence=1.0), "Monitoring.confidence", 1.0),
        (lambda: Split(holdout="0d"), "Split.holdout", "0d"),
        (lambda: Split(embargo="1mo"), "Split.embargo", "1mo"),
        (lambda: Compute(threads=0), "Compute.threads", 0),
        (lambda: Compute(accelerator="tpu"), "Compute.accelerator", "tpu"),
        (lambda: Network(module="dagster:Nope"), "Network.module", "dagster:Nope"),
        (lambda: replace(MODEL.network, epochs=0), "Network.epochs", 0),
        (lambda: replace(MODEL.network, warm_start="champion"), "Network.warm_start", "champion"),
        (lambda: replace(MODEL, features=()), "Model(pump_repair).features", ()),
        (lambda: Retraining(cooldown="soon"), "Retraining.cooldown", "soon"),
        (lambda: Retraining(cooldown="-1d"), "Retraining.cooldown", "-1d"),
        (lambda: Retraining(new_rows=0), "Retraining.new_rows", 0),
        (lambda: Retraining(new_rows=True), "Retraining.new_rows", True),
        (lambda: Retraining(new_span="0d"), "Retraining.new_span", "0d"),
        (lambda: Retraining(stale_after="1d", cooldown="2d"), "Retraining.stale_after", "1d"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(make, field: str, value: object) -> None:
    with pytest.raises(SpecError) as caught:
        make()
    assert (caught.value.field, caught.value.value) == (field, value)
    assert caught.value.remedy and field in str(caught.value)


@pytest.mark.parametrize(
    ("change", "field", "value"),
    [
        ({"raw_tables": (READINGS, INSPECTIONS)}, "Model(pump_repair).examples.upcoming_source", "plan"),
        ({"raw_tables": PROJECT.raw_tables[1:]}, "FeatureTable(pump_state).source", "readings"),
        ({"feature_tables": (replace(PUMP_STATE, keys=("engine",)),)}, "FeatureTable(pump_state).keys", "engine"),
        ({"feature_tables": ()}, "Model(pump_repair).features", "pump_state"),
        (
            {"models": (replace(MODEL, features=("pump_state:colour",)),)},
            "Model(pump_repair).features",
            "pump_state:colour",
        ),
        ({"models": (replace(MODEL, slices=("colour",)),)}, "Model(pump_repair).slices", "colour"),
        (
            {"models": (replace(MODEL, gate=Gate(slice_margins={"colour": 0.01})),)},
            "Model(pump_repair).gate.slice_margins",
            "colour",
        ),
        ({"models": (replace(MODEL, categories=("colour",)),)}, "Model(pump_repair).categories", "colour"),
        (
            {"models": (replace(MODEL, task=replace(FORECAST, season=("shift",)), gate=Gate()),)},
            "Model(pump_repair).task",
            "shift",
        ),
        ({"models": (MODEL, MODEL)}, "Project.models", ["pump_repair", "pump_repair"]),
        ({"owner": "somebody"}, "Project.owner", "somebody"),
        (
            {"feature_tables": (replace(PUMP_STATE, window="3d", lookback="3d"),)},
            "Model(pump_repair).split.embargo",
            "1d",
        ),
    ],
)
def test_declarations_are_checked_against_each_other(change: dict, field: str, value: object) -> None:
    with pytest.raises(SpecError) as caught:
        replace(PROJECT, **change)
    assert (caught.value.field, caught.value.value) == (field, value)


def test_an_unknown_model_is_answered_with_those_there_are() -> None:
    with pytest.raises(SpecError, match="one of pump_repair"):
        PROJECT.model("pump_repiar")


def test_a_feature_repo_without_a_store_is_refused(tmp_path) -> None:
    with pytest.raises(SpecError, match=r"feature_store\.yaml"):
        replace(PROJECT, feature_repo=tmp_path)


@pytest.mark.parametrize(("text", "seconds"), [("90m", 5400), ("24h", 86400), ("14d", 14 * 86400), ("1mo", 31 * 86400)])
def test_durations(text: str, seconds: int) -> None:
    assert duration(text).total_seconds() == seconds


def test_numeric_columns_are_context_then_features_without_categories() -> None:
    assert PROJECT.numeric_columns(MODEL) == ("weekday", "pump_state__temperature", "pump_state__vibration")


def test_a_policy_without_any_reason_is_refused() -> None:
    with pytest.raises(SpecError, match="at least one reason to train"):
        Retraining(new_rows=None, on_bad_monitoring=False)


def test_a_task_has_its_own_usual_metric_and_comes_back_from_its_recipe() -> None:
    forecast: Model = replace(MODEL, task=FORECAST, gate=Gate())
    assert (MODEL.gate.metric, forecast.gate.metric) == ("roc_auc", "mae")
    assert MODEL.task.recipe() == {}
    assert [task_of(task.recipe()) for task in (Binary(), FORECAST)] == [Binary(), FORECAST]
