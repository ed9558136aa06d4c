"""What happens to the pumps is told once: a line, an event on the asset's page in Dagster, and a signed POST."""

import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from mlops_platform.errors import PlatformError
from mlops_platform.lineage import TELLERS
from mlops_platform.registry.alias import ChampionAlias
from mlops_platform.registry.by_person import Asked, promote, rollback
from mlops_platform.resources import reaper
from mlops_platform.resources.aliases import CHAMPION
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.notifications import notifications_sensor
from mlops_platform.resources.outbox import Outbox
from mlops_platform.resources.webhook import URL
from mlops_platform.serving.live import LiveModel
from mlops_platform.spec import Project
from mlops_platform_tests.face.live import HOST, free_port, program
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.pumps.variants import BETTER, trained
from mlops_platform_tests.lineage.run import materialize
from mlops_platform_tests.resources.receiver import Receiver
from mlops_platform_tests.resources.test_reaper import WORKSPACE, begun, killed_process
from mlops_platform_tests.serving.planted import checkpoint_of, flip_a_bit

Use = Callable[[Path], Home]
RAW = 'key:"pumps/raw/readings"'
CHAMPION_ASSET = "pumps/pump_repair/champion"


class Told:
    """Ticks of the sensor on a home, and what the receiver got."""

    def __init__(self, home: Home, receiver: Receiver, project: Project = PROJECT) -> None:
        self.home, self.receiver, self.project = home, receiver, project

    def tick(self, project: Project | None = None) -> SensorExecutionData:
        with dg.DagsterInstance.get() as instance:
            sensor = notifications_sensor(project or self.project, TELLERS)
            return sensor.evaluate_tick(dg.build_sensor_context(instance=instance))

    def new(self, project: Project | None = None) -> list[dict[str, Any]]:
        """What the receiver gets by two ticks: the second one tells nothing again."""
        before = len(self.receiver.events)
        self.tick(project)
        after = self.receiver.events
        assert self.tick(project).skip_message == "nothing to deliver" and len(self.receiver.requests) == len(after)
        return after[before:]

    def one(self, project: Project | None = None) -> dict[str, Any]:
        (event,) = self.new(project)
        return event

    def observed(self, asset: str) -> list[tuple[str, str]]:
        """Kind and id of the events on an asset's page, oldest first."""
        with dg.DagsterInstance.get() as instance:
            records = instance.fetch_observations(dg.AssetKey(asset.split("/")), limit=20).records
        observations = [record.asset_observation for record in reversed(records)]
        return [(str(o.metadata["event"].value), str(o.metadata["notification"].value)) for o in observations if o]


@pytest.fixture
def told(pumps_copy: Home, use_home: Use, webhook: Receiver) -> Told:
    use_home(pumps_copy.path)
    return Told(pumps_copy, webhook)


@pytest.fixture
def moved(moved_home: Home) -> ChampionAlias:
    history = PromotionHistory(moved_home, "pumps", "pump_repair")
    return ChampionAlias(history=history, door=MlflowDoor(moved_home, "pumps"), name="pumps.pump_repair")


@pytest.fixture
def told_of_moves(moved: ChampionAlias, moved_home: Home, webhook: Receiver) -> Told:
    found = Told(moved_home, webhook)
    assert [event["kind"] for event in found.new()] == ["promotion", "promotion"]
    return found


def test_a_promotion_is_told(told: Told) -> None:
    event, history = told.one(), PromotionHistory(told.home, "pumps", "pump_repair")
    ((digest, move),) = history.entries()
    assert (event["kind"], event["model"], event["by"], event["at"]) == ("promotion", "pump_repair", "tests", move.at)
    assert event["version"] == {"about": "1", "from": None, "to": "1"} and event["reason"] == move.reason
    assert event["digests"] == {"entry": digest, "verdict": move.verdict, "checkpoint": move.checkpoint}
    assert event["links"] == {"dagster_run": f"/runs/{move.run_id}"} and event["environment"] == "dev"
    assert told.observed(CHAMPION_ASSET) == [("promotion", event["id"])]


def test_a_version_that_a_live_model_refused_is_told(told: Told) -> None:
    told.new()
    program = checkpoint_of(told.home, "1").folder / "program.onnx"
    flip_a_bit(program)
    live = LiveModel(told.home, PROJECT, PROJECT.models[0], every=None)
    live.refresh()
    event = told.one()
    assert (event["kind"], event["model"]) == ("version_refused", "pump_repair")
    told_in = "did not verify or warm (CorruptArtifactError): no version answers."
    assert event["reason"] == f"Version 1, alias champion, {told_in}"
    assert str(told.home.path) not in str(told.receiver.requests)
    assert ("version_refused", event["id"]) in told.observed(CHAMPION_ASSET)


def test_refused_rows_and_unreadable_files_are_told_by_their_counts(told: Told) -> None:
    told.new()
    at = pl.datetime(2024, 5, 30, time_zone="UTC")
    frame = pl.select(pump=pl.lit("P-secret"), at=at, temperature=pl.lit(9999.0), vibration=pl.lit(1))
    frame.write_parquet(told.home.landing / "readings" / "hot.parquet")
    (told.home.landing / "readings" / "broken.parquet").write_bytes(b"no parquet")
    materialize(told.home, PROJECT, RAW)
    events = {event["reason"]: event for event in told.new()}
    assert set(events) == {
        "1 of 1 rows of hot.parquet were refused, 0 were kept",
        "broken.parquet could not be read: nothing of it is in the raw table",
    }
    assert all((e["kind"], e["table"], e["version"]) == ("quarantine", "readings", None) for e in events.values())
    assert "P-secret" not in str([request.body for request in told.receiver.requests])
    assert [kind for kind, _ in told.observed("pumps/raw/readings")] == ["quarantine", "quarantine"]


def test_a_failed_run_is_told_without_its_errors_words(told: Told) -> None:
    told.new()
    for path in told.home.landing.glob("plan/*"):
        path.unlink()
    for path in told.home.raw_table("pumps", "plan").rglob("*.json"):
        path.unlink()
    assert not materialize(told.home, PROJECT, 'key:"pumps/raw/plan"').success
    event = told.one()
    assert event["kind"] == "run_failed" and event["asset"] is None and event["version"] is None
    assert event["reason"] == "1 step failed: pumps/raw/plan (IngestError)"
    assert event["links"]["dagster_run"].startswith("/runs/")
    assert str(told.home.path) not in str(told.receiver.requests)


def test_a_killed_run_is_told_and_one_of_another_project_is_not(told: Told) -> None:
    told.new()
    with dg.DagsterInstance.get() as instance:
        run = begun(instance, **{reaper._PROCESS: killed_process()})
        begun(instance, **{reaper._PROCESS: killed_process(), reaper.PROJECT: "valves"})
        assert len(reaper.end_the_dead(instance)) == 2
    event = told.one()
    assert (event["kind"], event["job"], event["by"]) == ("run_failed", "pumps_data", "pumps_landing")
    assert event["links"] == {"dagster_run": f"/runs/{run.run_id}"} and "process is gone" in event["reason"]


def test_a_run_written_late_is_not_left_out(told: Told) -> None:
    """Its row has an earlier time than that of the run seen before it."""
    told.new()
    with dg.DagsterInstance.get() as instance:
        first, late = begun(instance), begun(instance)
        instance.report_run_failed(first)
        told.one()
        instance.report_run_failed(late)
    with sqlite3.connect(told.home.path / "history" / "runs.db") as database:
        earlier = (datetime.now(UTC) - timedelta(minutes=10)).strftime("%Y-%m-%d %H:%M:%S.%f")
        database.execute("UPDATE runs SET update_timestamp = ? WHERE run_id = ?", (earlier, late.run_id))
    assert told.one()["links"] == {"dagster_run": f"/runs/{late.run_id}"}


@pytest.mark.long
def test_a_rollback_and_a_promotion_by_a_person_are_told(told_of_moves: Told, moved: ChampionAlias) -> None:
    rollback(moved, Asked(by="ada", because="complaints since noon"))
    event = told_of_moves.one()
    assert (event["kind"], event["by"], event["reason"]) == ("rollback", "ada", "complaints since noon")
    assert event["version"] == {"about": "2", "from": "2", "to": "1"} and event["links"] == {}
    assert [kind for kind, _ in told_of_moves.observed(CHAMPION_ASSET)] == ["promotion", "promotion", "rollback"]


@pytest.mark.long
def test_a_rejection_is_told(told_of_moves: Told, moved_home: Home) -> None:
    assert materialize(moved_home, trained(1)).success
    event = told_of_moves.one()
    assert event["kind"] == "rejection" and event["version"] == {"about": "3", "from": "2", "to": "2"}
    assert "champion" in event["reason"]


@pytest.mark.long
def test_an_approval_awaited_is_told_and_then_the_promotion(told_of_moves: Told, moved: ChampionAlias) -> None:
    assert materialize(told_of_moves.home, trained(8, require_approval=True)).success
    event = told_of_moves.one()
    assert event["kind"] == "awaiting_approval" and "mlops promote pump_repair --version 3" in event["reason"]
    promote(moved, Asked(by="ada", because="reviewed"), version="3")
    assert told_of_moves.one()["kind"] == "promotion"


@pytest.mark.long
def test_an_alias_moved_by_hand_is_told(told_of_moves: Told, moved: ChampionAlias) -> None:
    moved.door.client.set_registered_model_alias(moved.name, CHAMPION, "1")
    assert materialize(told_of_moves.home, BETTER, f'key:"{CHAMPION_ASSET}"').success
    event = told_of_moves.one()
    assert event["kind"] == "alias_moved" and event["version"] == {"about": "1", "from": "2", "to": "2"}
    assert "put back" in event["reason"] and event["by"] == "unknown"


def test_what_is_live_already_is_not_rejected(told: Told) -> None:
    """A second verdict on the champion itself keeps it."""
    told.new()
    history = PromotionHistory(told.home, "pumps", "pump_repair")
    (move,) = history.moves()
    history.append(type(move)(**{**vars(move), "action": "keep", "previous": "1", "verdict": "another"}))
    assert told.new() == []


def test_a_bad_address_fails_the_tick_and_loses_nothing(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, "ftp://receiver.example")
    with pytest.raises(Exception) as raised:
        told.tick()
    assert isinstance(raised.value.__cause__ or raised.value, PlatformError) and "scheme 'ftp'" in str(
        raised.value.__cause__ or raised.value
    )
    assert [each.state for each in Outbox(told.home, "pumps").newest(5)] == ["waiting"]
    monkeypatch.setenv(URL, told.receiver.url)
    assert told.one()["kind"] == "promotion"
    assert len(told.observed(CHAMPION_ASSET)) == 1


def test_the_words_of_a_verdict_that_slices_by_personal_data_are_withheld(told: Told) -> None:
    readings, *others = PROJECT.raw_tables
    pump, *columns = readings.columns
    guarded = replace(readings, columns=(replace(pump, personal=True), *columns))
    event = told.one(replace(PROJECT, raw_tables=(guarded, *others)))
    assert event["reason"] == "The verdict's words are withheld, since it slices by personal data: pump."


@pytest.mark.long
def test_with_no_hand_on_it_a_daemon_tells(told: Told) -> None:
    workspace, port = told.home.path.parent / "workspace.yaml", free_port()
    workspace.write_text(WORKSPACE)
    command = ("-m", "dagster", "dev", "-w", str(workspace), "--host", HOST, "--port", str(port))
    with program(told.home.path, command, [port]):
        wait_for_events(told.receiver, {"promotion"})
        (told.home.landing / "readings" / "broken.parquet").write_bytes(b"no parquet")
        wait_for_events(told.receiver, {"promotion", "quarantine"})
    assert len(told.receiver.events) == 2


def wait_for_events(receiver: Receiver, kinds: set[str]) -> None:
    deadline = time.monotonic() + 150
    while {event["kind"] for event in receiver.events} != kinds:
        assert time.monotonic() < deadline, receiver.events
        time.sleep(0.2)


def test_a_damaged_history_silences_no_other_record(told: Told) -> None:
    told.new()
    (entry,) = (told.home.history / "pumps" / "pump_repair").glob("*.json")
    entry.with_name("000009.json").write_bytes(entry.read_bytes())
    with dg.DagsterInstance.get() as instance:
        instance.report_run_failed(begun(instance))
    before = len(told.receiver.events)
    with pytest.raises(PlatformError, match="000009"):
        told.tick()
    assert [event["kind"] for event in told.receiver.events[before:]] == ["run_failed"]
