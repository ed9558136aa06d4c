"""The retraining sensor asks the policy when a standing has changed, acts on yes once, and never twice at a time."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.lineage import build_definitions, data_job, training_job
from mlops_platform.resources.automation import TRAINS
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.retraining.sensors import retraining_sensor
from mlops_platform.spec import Project, Retraining
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.lineage.run import land, materialize

pytestmark = pytest.mark.long

DECISION = "pumps/pump_repair/retrain_decision"
LATER = timedelta(days=40)


def declared(**policy: object) -> Project:
    """The pumps under another policy."""
    return replace(PROJECT, models=(replace(MODEL, retraining=Retraining(**policy)),))  # type: ignore[arg-type]


class Sensor:
    """The sensor on one home and instance."""

    def __init__(self, home: Home, instance: dg.DagsterInstance, project: Project) -> None:
        self.home, self.instance, self.project, self.now = home, instance, project, datetime.now(UTC)
        self.definitions = build_definitions(project)
        training = {model.name: training_job(project, model) for model in project.models}
        self.sensor = retraining_sensor(project, data_job(project), training, clock=lambda: self.now)

    def tick(self) -> dg.RunRequest | str:
        """What it asks for, or why it does not."""
        context = dg.build_sensor_context(self.instance, repository_def=self.definitions.get_repository_def())
        data = self.sensor.evaluate_tick(context)
        return data.run_requests[0] if data.run_requests else str(data.skip_message)

    def noted(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> dg.DagsterRun:
        """A run of that request, standing as told."""
        job = dg.GraphDefinition(str(request.job_name)).to_job()
        tags = {**request.tags, "dagster/run_key": str(request.run_key)}
        return self.instance.create_run_for_job(job, tags=tags, status=status)

    def decided(self) -> str:
        """Materializes the decision and says its reason."""
        assert materialize(self.home, self.project, f'key:"{DECISION}"').success
        return str(Refs(self.home).read(DECISION).manifest.content["reason"])


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory, pumps_home: Path) -> Path:
    """The pumps with a checkpoint of two months, and a dataset of the third month beside it. Read only."""
    path = tmp_path_factory.mktemp("grown") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(path))
        patch.setenv("DAGSTER_HOME", str(path))
        home = Home(path)
        land(home, PROJECT, "2024-04")
        assert materialize(home, PROJECT).success
        land(home, PROJECT, "2024-05")
        assert materialize(home, PROJECT, '+key:"pumps/pump_repair/dataset"').success
    return path


@pytest.fixture
def sensor(grown: Path, tmp_path: Path, use_home: Callable) -> Iterator[Callable[[Project], Sensor]]:
    path = tmp_path / "home"
    shutil.copytree(grown, path)
    use_home(path)
    with dg.DagsterInstance.get() as instance:
        yield lambda project: Sensor(Home(path), instance, project)


def test_nothing_is_asked_before_the_first_dataset(home: Home, use_home: Callable) -> None:
    use_home(home.path)
    with dg.DagsterInstance.get() as instance:
        assert Sensor(home, instance, PROJECT).tick() == "pump_repair: there is no dataset yet"


def test_equal_data_ask_nothing(pumps_copy: Home, use_home: Callable) -> None:
    use_home(pumps_copy.path)
    with dg.DagsterInstance.get() as instance:
        said = Sensor(pumps_copy, instance, PROJECT).tick()
    assert isinstance(said, str) and "trained on this very dataset" in said


def test_a_new_dataset_is_decided_and_then_trained_once(sensor: Callable[[Project], Sensor]) -> None:
    under = sensor(PROJECT)
    asked = under.tick()
    assert isinstance(asked, dg.RunRequest) and asked.job_name == "pumps_data"
    assert [key.to_user_string() for key in asked.asset_selection or []] == [DECISION]
    assert under.decided() == "yes: 36 new labelled rows, 1 required"
    trains = under.tick()
    assert isinstance(trains, dg.RunRequest) and trains.job_name == "pumps_pump_repair_training"
    assert trains.tags["mlops/because"].startswith("yes: 36") and trains.tags[TRAINS] == "pumps/pump_repair"
    run = under.noted(trains, dg.DagsterRunStatus.STARTED)
    assert under.tick() == f"pump_repair: run {run.run_id[:8]} is at work"
    under.instance.report_run_failed(run)
    said = under.tick()
    assert isinstance(said, str) and "its run did not end well" in said
    # Asked again by hand, the same answer counts anew.
    under.decided()
    assert isinstance(under.tick(), dg.RunRequest)


@pytest.mark.parametrize("selection", [None, ["dataset"], ["checkpoint", "evaluation"]])
def test_while_a_run_changes_the_standing_nothing_is_asked(
    sensor: Callable[[Project], Sensor], selection: list[str] | None
) -> None:
    under = sensor(PROJECT)
    job = under.definitions.resolve_job_def("pumps_everything")
    keys = [dg.AssetKey(["pumps", "pump_repair", name]) for name in selection] if selection else None
    chosen = job.get_subset(asset_selection=set(keys)) if keys else job
    under.instance.create_run_for_job(chosen, status=dg.DagsterRunStatus.STARTING, tags=dict(job.tags),
                                      asset_selection=frozenset(keys) if keys else None)  # fmt: skip
    said = under.tick()
    assert isinstance(said, str) and said.endswith("is at work")


def test_too_few_rows_are_no_until_the_checkpoint_is_stale(sensor: Callable[[Project], Sensor]) -> None:
    under = sensor(declared(new_rows=1_000, stale_after="30d"))
    assert isinstance(under.tick(), dg.RunRequest)
    assert under.decided().startswith("no: 36 new labelled rows, 1,000 required; trained less than 30d ago")
    assert under.tick() == f"pump_repair: {Refs(under.home).read(DECISION).manifest.content['reason']}"
    under.now += LATER
    asked = under.tick()
    assert isinstance(asked, dg.RunRequest) and str(asked.run_key).startswith("decide:")


def test_a_cooldown_is_waited_for(sensor: Callable[[Project], Sensor]) -> None:
    under = sensor(declared(new_rows=1, cooldown="1d"))
    assert under.decided().startswith("no, not yet: 36 new labelled rows")
    assert isinstance(under.tick(), str)
    under.now += LATER
    asked = under.tick()
    assert isinstance(asked, dg.RunRequest) and str(asked.run_key).startswith("decide:")


def test_a_model_that_only_people_train_has_no_decision(home: Home) -> None:
    project = replace(PROJECT, models=(replace(MODEL, retraining=None),))
    keys = {spec.key.to_user_string() for spec in build_definitions(project).resolve_all_asset_specs()}
    assert DECISION not in keys and "pumps/pump_repair/checkpoint" in keys


def test_a_yes_waits_for_no_further_delivery(sensor: Callable[[Project], Sensor]) -> None:
    under = sensor(PROJECT)
    assert under.decided().startswith("yes")
    job = under.definitions.resolve_job_def("pumps_data")
    under.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING, tags=dict(job.tags))
    asked = under.tick()
    assert isinstance(asked, dg.RunRequest) and asked.job_name == "pumps_pump_repair_training"


def test_runs_of_other_code_than_the_sensors_are_not_asked_for_again_and_again(
    sensor: Callable[[Project], Sensor],
) -> None:
    under = sensor(declared(new_rows=1_000))
    asked = under.tick()
    assert isinstance(asked, dg.RunRequest)
    # The process of the run loads a declaration that was changed since the code server started.
    job = build_definitions(declared(new_rows=2_000)).resolve_implicit_global_asset_job_def()
    key = dg.AssetKey(DECISION.split("/"))
    assert job.execute_in_process(instance=under.instance, asset_selection=[key], tags=dict(asked.tags)).success
    assert under.tick() == "pump_repair: its runs load other code than this sensor does: reload the code location"


def test_a_checkpoint_without_a_verdict_is_judged_once(sensor: Callable[[Project], Sensor]) -> None:
    under = sensor(PROJECT)
    assert materialize(under.home, PROJECT, 'key:"pumps/pump_repair/checkpoint"').success
    assert under.decided().startswith("no: the newest checkpoint was trained on this very dataset")
    asked = under.tick()
    assert isinstance(asked, dg.RunRequest) and asked.job_name == "pumps_pump_repair_training"
    assert "has no verdict yet" in asked.tags["mlops/because"]
    under.instance.report_run_failed(under.noted(asked, dg.DagsterRunStatus.STARTED))
    said = under.tick()
    assert isinstance(said, str) and "its run did not end well" in said


def test_damage_of_one_model_holds_no_other_back(sensor: Callable[[Project], Sensor]) -> None:
    other = replace(MODEL, name="other", network=replace(MODEL.network, epochs=2))
    both = replace(PROJECT, models=(MODEL, other))
    under = sensor(both)
    with_registry = 'key:"pumps/feast/registry" or key:"pumps/other/dataset"'
    assert materialize(under.home, both, with_registry).success
    shutil.rmtree(Refs(under.home).read("pumps/pump_repair/checkpoint").folder)
    asked = under.tick()
    assert isinstance(asked, dg.RunRequest) and "pumps/other" in str(asked.run_key)
    under.noted(asked, dg.DagsterRunStatus.FAILURE)
    with pytest.raises(PlatformError):
        under.tick()
