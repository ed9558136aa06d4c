"""What a person makes live is followed by the stations that depend on it, without a hand."""

from collections.abc import Iterator

import dagster as dg
import pytest

from mlops_platform.lineage import build_definitions, training_job
from mlops_platform.registry.alias import ChampionAlias
from mlops_platform.registry.by_person import Asked, rehearse, rollback
from mlops_platform.registry.promotion import end_rollout
from mlops_platform.registry.sensors import champion_sensor
from mlops_platform.resources.automation import PROJECT, TRAINS
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform_tests.lineage.pumps.rollouts import begin
from mlops_platform_tests.lineage.pumps.variants import BETTER
from mlops_platform_tests.lineage.run import materialize

pytestmark = pytest.mark.long

ADA = Asked(by="ada", because="complaints since noon")
JOBS = {model.name: training_job(BETTER, model) for model in BETTER.models}


@pytest.fixture
def instance(moved: ChampionAlias) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as found:
        yield found


def tick(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    repository = build_definitions(BETTER).get_repository_def()
    context = dg.build_sensor_context(instance, repository_def=repository)
    return list(champion_sensor(BETTER, JOBS).evaluate_tick(context).run_requests or [])


def test_a_rollback_is_followed(moved: ChampionAlias, moved_home: Home, instance: dg.DagsterInstance) -> None:
    assert tick(instance) == []
    rollback(moved, ADA)
    (request,) = tick(instance)
    names = [key.path[-1] for key in request.asset_selection or []]
    assert names == ["champion", "predictions", "monitoring", "retrain_decision"]
    assert request.job_name == "pumps_pump_repair_training" and request.tags["mlops/because"] == "version 1 is live now"
    assert [again.run_key for again in tick(instance)] == [request.run_key], "one key for one move"
    selection = " or ".join(f'key:"pumps/pump_repair/{name}"' for name in names)
    assert materialize(moved_home, BETTER, selection).success
    assert Refs(moved_home).read("pumps/pump_repair/predictions").manifest.content["version"] == "1"
    assert tick(instance) == []


def test_a_rollout_that_ended_without_promotion_is_followed(
    moved: ChampionAlias, moved_home: Home, instance: dg.DagsterInstance
) -> None:
    """The champion's station would tell of a rollout that is over."""
    begin(moved_home)
    assert tick(instance) == []
    end_rollout(moved.history, "worse by 0.1", actor="judge", run_id="r", ended_by="sha256:f")
    (request,) = tick(instance)
    assert request.tags["mlops/because"] == "version 1 was kept out since, and version 2 is live now"
    selection = " or ".join(f'key:"{key.to_user_string()}"' for key in request.asset_selection or [])
    assert materialize(moved_home, BETTER, selection).success
    assert Refs(moved_home).read("pumps/pump_repair/champion").manifest.content["action"] == "keep"
    assert tick(instance) == []


def test_a_rehearsal_and_a_run_at_work_ask_for_nothing(moved: ChampionAlias, instance: dg.DagsterInstance) -> None:
    rehearse(moved, ADA)
    assert tick(instance) == []
    rollback(moved, ADA)
    job = dg.GraphDefinition("pumps_pump_repair_training").to_job()
    run = instance.create_run_for_job(job, tags={PROJECT: "pumps", TRAINS: "pumps/pump_repair"},
                                      status=dg.DagsterRunStatus.STARTED)  # fmt: skip
    assert tick(instance) == []
    instance.report_run_failed(run)
    assert len(tick(instance)) == 1
