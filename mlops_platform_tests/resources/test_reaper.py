"""Runs whose process was really killed are ended, everywhere they are noted, and asked for again."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from mlops_platform.lineage import data_job, everything_job
from mlops_platform.resources import reaper
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor, MlflowResource
from mlops_platform_tests.face.live import HOST, free_port, processes_of, program
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import land
from mlops_platform_tests.lineage.test_kills import STATIONS, digests, kill_in, landed

JOB = "pumps_data"
BY_SENSOR = {"dagster/sensor_name": "pumps_landing", reaper.PROJECT: "pumps", "mlops/settled": "true"}
SENSOR = reaper.reaper_sensor(PROJECT, [everything_job(PROJECT), data_job(PROJECT).job], MlflowResource())
WORKSPACE = "load_from:\n  - python_module: mlops_platform_tests.face.pumps_definitions\n"


@pytest.fixture
def instance(home: Home, use_home: Callable) -> Iterator[dg.DagsterInstance]:
    use_home(home.path)
    with dg.DagsterInstance.get() as found:
        yield found


def killed_process() -> str:
    """The identity of a process that SIGKILL ended."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    identity = reaper._identity(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return identity


def begun(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    """A run that stands as started."""
    job = dg.GraphDefinition(JOB).to_job()
    return instance.create_run_for_job(job, tags={**BY_SENSOR, **tags}, status=dg.DagsterRunStatus.STARTED)


def tick(instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    return list(SENSOR.evaluate_tick(dg.build_sensor_context(instance=instance)).run_requests or [])


def test_a_run_of_a_killed_process_is_ended_and_asked_for_again_once(instance: dg.DagsterInstance) -> None:
    run = begun(instance, **{reaper._PROCESS: killed_process()})
    (request,) = tick(instance)
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None and ended.status == dg.DagsterRunStatus.FAILURE
    assert request.run_key == f"again:{run.run_id}" and request.job_name == JOB
    assert request.tags[reaper.ATTEMPT] == "2" and request.tags["mlops/settled"] == "true"
    assert reaper.DIED not in request.tags and reaper._PROCESS not in request.tags

    again = begun(instance, **{**request.tags, "dagster/run_key": str(request.run_key)},
                  **{reaper._PROCESS: reaper._identity(1)})  # fmt: skip
    assert tick(instance) == [] == tick(instance)
    noted = instance.get_run_by_id(run.run_id)
    assert noted is not None and noted.tags[reaper.AGAIN] == again.run_id


def test_what_dies_again_and_again_is_left_to_people(instance: dg.DagsterInstance) -> None:
    begun(instance, **{reaper._PROCESS: killed_process(), reaper.ATTEMPT: "4"})
    assert tick(instance) == []


def test_what_a_person_asked_for_is_ended_and_not_asked_for_again(instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(dg.GraphDefinition(JOB).to_job(), status=dg.DagsterRunStatus.STARTED,
                                      tags={reaper._PROCESS: killed_process()})  # fmt: skip
    assert tick(instance) == []
    ended = instance.get_run_by_id(run.run_id)
    assert ended is not None and ended.status == dg.DagsterRunStatus.FAILURE


def test_a_run_that_dagster_saw_die_is_asked_for_again(instance: dg.DagsterInstance) -> None:
    run = begun(instance, **{reaper._PROCESS: killed_process()})
    instance.report_run_failed(run)
    assert [request.run_key for request in tick(instance)] == [f"again:{run.run_id}"]


def test_a_run_that_failed_by_itself_is_not_asked_for_again(instance: dg.DagsterInstance) -> None:
    @dg.op
    def fails() -> None:
        raise ValueError

    @dg.job(name=JOB, tags=BY_SENSOR)
    def job() -> None:
        fails()

    assert not job.execute_in_process(instance=instance, raise_on_error=False).success
    assert tick(instance) == []


def test_a_dead_run_of_another_project_is_left_to_its_own_reaper(instance: dg.DagsterInstance) -> None:
    run = begun(instance, **{reaper._PROCESS: killed_process(), reaper.PROJECT: "valves"})
    assert tick(instance) == []
    found = instance.get_run_by_id(run.run_id)
    assert found is not None and reaper.AGAIN not in found.tags and found.status == dg.DagsterRunStatus.FAILURE


def test_a_living_run_is_left_alone(instance: dg.DagsterInstance) -> None:
    begun(instance, **{reaper._PROCESS: reaper._identity(1)})
    assert reaper.end_the_dead(instance) == []


def test_a_run_killed_before_it_could_tag_itself_is_ended_after_a_while(instance: dg.DagsterInstance) -> None:
    run = begun(instance)
    assert reaper.end_the_dead(instance) == []
    later = datetime.now(UTC) + timedelta(minutes=3)
    assert reaper.end_the_dead(instance, now=later) == [run.run_id]


def test_a_dead_run_gives_its_pool_slot_back(instance: dg.DagsterInstance) -> None:
    log = instance.event_log_storage
    run = begun(instance, **{reaper._PROCESS: killed_process()})
    log.initialize_concurrency_limit_to_default("gpu")
    assert log.claim_concurrency_slot("gpu", run.run_id, "step").is_claimed
    assert not log.claim_concurrency_slot("gpu", "another", "step").is_claimed
    tick(instance)
    assert log.claim_concurrency_slot("gpu", "another", "step").is_claimed


def test_its_mlflow_runs_are_failed(instance: dg.DagsterInstance, home: Home) -> None:
    run = begun(instance, **{reaper._PROCESS: killed_process()})
    door = MlflowDoor(home, PROJECT.name)
    parent = door.parent_run(run.run_id, JOB)
    child = door.client.create_run(door.experiment, tags={"mlflow.parentRunId": parent}).info.run_id
    tick(instance)
    assert [door.client.get_run(each).info.status for each in (parent, child)] == ["FAILED", "FAILED"]


@pytest.mark.long
def test_a_materialization_killed_in_training_is_ended(tmp_path: Path, use_home: Callable) -> None:
    path = landed(tmp_path)
    assert kill_in(path, "pumps/pump_repair/checkpoint", delay=0.4)
    use_home(path)
    with dg.DagsterInstance.get() as instance:
        assert len(reaper.end_the_dead(instance)) == 1
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


def killed_and_recovered(path: Path, station: str, victim: str, undisturbed: Path) -> None:
    """Lands files beside a real daemon, kills one process in the middle of a station, and touches nothing after that.

    Args:
        path: The home.
        station: The station.
        victim: ``run``, ``trainer`` or ``daemon``; ``dagster dev`` ends with its daemon and is started anew.
        undisturbed: A home whose digests must be reached.
    """
    workspace, port = path.parent / "workspace.yaml", free_port()
    workspace.write_text(WORKSPACE)
    command = ("-m", "dagster", "dev", "-w", str(workspace), "--host", HOST, "--port", str(port))
    with dg.DagsterInstance.get() as instance:
        # Landed before anyone looks: one request for all of it, as in the undisturbed home.
        land(Home(path), PROJECT, "2024-05")
        with program(path, command, [port]):
            kill(path, victim, wait_for_start(instance, station))
            if victim != "daemon":
                wait_for_digests(path, digests(undisturbed))
        if victim == "daemon":
            with program(path, command, [port]):
                wait_for_digests(path, digests(undisturbed))


def wait_for_start(instance: dg.DagsterInstance, station: str) -> int:
    """Process id of the run in which a station has begun."""
    step, deadline = station.replace("/", "__"), time.monotonic() + 120
    while time.monotonic() < deadline:
        for run in instance.get_runs(limit=1):
            starts = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_START)
            if any(entry.step_key == step for entry in starts) and reaper._PROCESS in run.tags:
                return int(run.tags[reaper._PROCESS].split("/")[1])
        time.sleep(0.05)
    raise AssertionError(f"{station} never began")


def kill(path: Path, victim: str, run: int) -> None:
    words = {"run": None, "trainer": "mlops_platform.training.program", "daemon": "dagster._daemon"}[victim]
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        chosen = [p for p in processes_of(path) if p.pid == run or (words and words in " ".join(p.cmdline()))]
        chosen = [p for p in chosen if words is None or p.pid != run]
        if chosen:
            chosen[0].kill()
            return
        time.sleep(0.02)
    raise AssertionError(f"no {victim} to kill")


def wait_for_digests(path: Path, wanted: dict[str, str]) -> None:
    deadline = time.monotonic() + 180
    while digests(path) != wanted:
        found = digests(path)
        assert time.monotonic() < deadline, [name for name in wanted if wanted[name] != found.get(name)]
        time.sleep(0.5)


@pytest.mark.long
@pytest.mark.parametrize("victim", ["run"])
def test_with_no_hand_on_it_the_graph_recovers(victim: str, home: Home, use_home: Callable, pumps_home: Path) -> None:
    use_home(home.path)
    killed_and_recovered(home.path, "pumps/pump_repair/checkpoint", victim, pumps_home)


@pytest.mark.soak
@pytest.mark.parametrize("victim", ["run", "daemon", "trainer"])
@pytest.mark.parametrize("station", STATIONS)
def test_whoever_is_killed_wherever_the_graph_recovers(
    victim: str, station: str, home: Home, use_home: Callable, pumps_home: Path
) -> None:
    if victim == "trainer" and not station.endswith("checkpoint"):
        pytest.skip("the trainer lives in one station only")
    use_home(home.path)
    killed_and_recovered(home.path, station, victim, pumps_home)
