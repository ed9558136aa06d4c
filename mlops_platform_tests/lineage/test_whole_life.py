"""The second project's whole life: the same graph from a declaration alone, with nothing done twice."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.provenance.walk import as_json, why
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Progress
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT, READINGS
from mlops_platform_tests.lineage.run import failures, land, materialize, red_checks

pytestmark = pytest.mark.long

STATIONS = {
    "pumps/feast/online",
    "pumps/feast/registry",
    "pumps/raw/inspections",
    "pumps/raw/plan",
    "pumps/pump_repair/champion",
    "pumps/pump_repair/checkpoint",
    "pumps/pump_repair/dataset",
    "pumps/pump_repair/evaluation",
    "pumps/pump_repair/gate",
    "pumps/pump_repair/monitoring",
    "pumps/pump_repair/predictions",
    "pumps/pump_repair/retrain_decision",
    "pumps/pump_repair/registered_model",
    "pumps/pump_repair/skew",
    "pumps/features/pump_state",
    "pumps/raw/readings",
}
# Nothing was asked live yet.
SKIPPED = {"pumps/pump_repair/live_skew"}


def made(heard: list[Progress]) -> set[str]:
    """Stations that really worked."""
    return {p.station for p in heard if p.seconds is not None and not p.hit and not p.skipped}


def ended(heard: list[Progress]) -> set[str]:
    return {p.station for p in heard if p.seconds is not None}


def test_every_station_made_a_sealed_artifact(pumps_home: Path) -> None:
    refs = Refs(Home(pumps_home))
    assert set(refs.stations()) == STATIONS
    for station in STATIONS:
        manifest = refs.read(station).manifest
        assert manifest.station == station and manifest.produced.actor == "tests"
        assert manifest.recipe.code.startswith("sha256:") and manifest.recipe.software


def test_a_second_run_does_no_work(pumps_copy: Home, use_home: Callable, listening: list[Progress]) -> None:
    use_home(pumps_copy.path)
    versions = DeltaDoor(pumps_copy.raw_table("pumps", "readings")).version
    assert materialize(pumps_copy, PROJECT).success
    assert made(listening) == set() and ended(listening) == STATIONS | SKIPPED
    assert DeltaDoor(pumps_copy.raw_table("pumps", "readings")).version == versions
    assert len(PromotionHistory(pumps_copy, "pumps", "pump_repair").moves()) == 1


def test_the_champion_beat_the_baseline_and_is_the_alias(pumps_home: Path) -> None:
    home = Home(pumps_home)
    live = PromotionHistory(home, "pumps", "pump_repair").live()
    assert live is not None and live.champion == "1"
    version = MlflowDoor(home, "pumps").client.get_model_version_by_alias("pumps.pump_repair", "champion")
    assert version.tags["mlops.checkpoint"] == live.checkpoint
    assert {"mlops.dataset", "mlops.git_revision", "dagster_run_id", "feast.feature_service"} <= set(version.tags)
    assert float(version.tags["mlops.device_seconds"]) > 0
    metrics = Refs(home).read("pumps/pump_repair/evaluation").manifest.content["metrics"]
    assert metrics["challenger"]["roc_auc"] > metrics["baseline"]["roc_auc"]


def test_mlflow_has_one_parent_and_a_child_for_each_station_that_worked(pumps_home: Path) -> None:
    door = MlflowDoor(Home(pumps_home), "pumps")
    runs = door.client.search_runs([door.experiment])
    parents = [run for run in runs if run.data.tags["mlops.station"] == "run"]
    children = {run.data.tags["mlops.station"]: run for run in runs if run not in parents}
    assert len(parents) == 1 and {run.info.status for run in runs} == {"FINISHED"}
    of_the_model = {station for station in STATIONS if station.startswith("pumps/pump_repair/")}
    assert set(children) == of_the_model - {"pumps/pump_repair/retrain_decision"}, "a decision is no experiment"
    training = children["pumps/pump_repair/checkpoint"]
    assert training.data.tags["mlflow.parentRunId"] == parents[0].info.run_id
    assert len(door.client.get_metric_history(training.info.run_id, "epoch_validation_loss")) == MODEL.network.epochs
    assert "roc_auc" in children["pumps/pump_repair/evaluation"].data.metrics


def test_dagster_mlflows_own_resource_finds_our_run(pumps_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster_mlflow.resources import MlFlow

    door = MlflowDoor(Home(pumps_home), "pumps")
    parent = next(r for r in door.client.search_runs([door.experiment]) if r.data.tags["mlops.station"] == "run")
    # Their constructor starts a run; what finds an existing one is this method.
    theirs = object.__new__(MlFlow)
    theirs.experiment = door.client.get_experiment(door.experiment)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", door.tracking_uri)
    found = theirs._get_current_run_id(dagster_run_id=parent.data.tags["dagster_run_id"])
    assert found == parent.info.run_id


def test_why_walks_from_an_answer_to_rows_and_files(pumps_home: Path, use_home: Callable) -> None:
    home = use_home(pumps_home)
    log = DeltaDoor(home.prediction_log("pumps", "pump_repair")).scan().collect()
    assert log.height == 4 and log["prediction_id"].n_unique() == 4
    found = why(home, PROJECT, log["prediction_id"][0])
    (row,) = found.features
    assert row.recomputed_equal and row.source is not None and row.source.count == 1
    (file,) = row.source.files
    raw = pl.read_parquet(home.landing / "readings" / file["name"])[file["rows"][0]]
    assert raw["pump"][0] == row.keys["pump"] and raw["temperature"][0] == row.values["temperature"]
    (example,) = found.example.files
    assert example["name"] == "plan-2024-03.parquet"
    assert found.moves[0].action == "promote" and found.dataset.digest == found.checkpoint.recipe.inputs["dataset"]
    json.dumps(as_json(found))


def test_new_rows_move_just_what_they_touch(pumps_copy: Home, use_home: Callable, listening: list[Progress]) -> None:
    use_home(pumps_copy.path)
    extra = pl.read_parquet(pumps_copy.landing / "readings" / "readings-2024-05.parquet").head(1)
    unknown_pump = extra.with_columns(pump=pl.lit("P9"))
    unknown_pump.write_parquet(pumps_copy.landing / "readings" / "new-pump.parquet")
    assert materialize(pumps_copy, PROJECT).success
    # The new pump has no inspection: the dataset's rows, and all that follows from them, stay as they were.
    moved = {
        "pumps/raw/readings",
        "pumps/features/pump_state",
        "pumps/feast/online",
        "pumps/pump_repair/dataset",
        "pumps/pump_repair/predictions",
        "pumps/pump_repair/monitoring",
        "pumps/pump_repair/retrain_decision",
    }
    assert made(listening) == moved
    measured = Refs(pumps_copy).read("pumps/features/pump_state").manifest.produced.measured
    # June too: what leaves a window does so after the last raw row.
    assert measured["computed"] == ["2024-05", "2024-06"]


def test_a_truncated_file_is_red_and_the_rest_goes_on(pumps_copy: Home, use_home: Callable) -> None:
    use_home(pumps_copy.path)
    whole = (pumps_copy.landing / "readings" / "readings-2024-05.parquet").read_bytes()
    (pumps_copy.landing / "readings" / "cut.parquet").write_bytes(whole[:-50])
    result = materialize(pumps_copy, PROJECT)
    assert result.success
    red = red_checks(result)
    assert set(red) == {"pumps/raw/readings:nothing_quarantined"}
    assert "cut.parquet | whole file | not a readable Parquet file" in str(
        red["pumps/raw/readings:nothing_quarantined"]
    )


def test_a_table_that_never_landed_stops_what_needs_it_and_says_so(home: Home, use_home: Callable) -> None:
    use_home(home.path)
    land(home, PROJECT, "2024-03")
    for path in (home.landing / "plan").glob("*"):
        path.unlink()
    failed = failures(materialize(home, PROJECT, 'group:"sources"'))
    assert set(failed) == {"pumps__raw__plan"} and "at least one Parquet file" in failed["pumps__raw__plan"]


def test_a_declaration_that_differs_from_the_feature_repo_is_refused(home: Home, use_home: Callable) -> None:
    use_home(home.path)
    table = replace(PROJECT.feature_tables[0], ttl="3d")
    result = materialize(home, replace(PROJECT, feature_tables=(table,)), 'key:"pumps/feast/registry"')
    (message,) = failures(result).values()
    assert "agree, field by field" in message and "259200" in message


def test_a_stricter_rule_for_a_column_is_a_new_recipe(pumps_copy: Home, use_home: Callable, listening: list) -> None:
    use_home(pumps_copy.path)
    columns = tuple(replace(c, maximum=1000) if c.name == "temperature" else c for c in READINGS.columns)
    tables = (replace(READINGS, columns=columns), *PROJECT.raw_tables[1:])
    assert materialize(pumps_copy, replace(PROJECT, raw_tables=tables), 'key:"pumps/raw/readings"').success
    assert made(listening) == {"pumps/raw/readings"}
