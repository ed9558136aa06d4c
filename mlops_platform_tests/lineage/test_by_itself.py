"""Files arrive beside a running `dagster dev`, and nobody presses a button: a verdict follows, or a reason.

Watched from outside: Dagster's GraphQL, MLflow's registry, and the bytes in the home.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_platform.projects.flights.project import PROJECT
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.sources.ingest import ledger
from mlops_platform_tests.face.live import HOST, free_port, graphql, program
from mlops_platform_tests.lineage.run import land
from mlops_platform_tests.lineage.test_kills import digests

pytestmark = pytest.mark.long

NAME = "flights.flight_delay"
DATA, TRAINING, OTHER = "flights_data", "flights_flight_delay_training", "flights_airport_congestion_training"
RUNS = """query { runsOrError(limit: 50) { ... on Runs { results {
  runId jobName status assetSelection { path } tags { key value } } } } }"""
LATEST = """query ($keys: [AssetKeyInput!]) { assetNodes(assetKeys: $keys) {
  assetKey { path } assetMaterializations(limit: 1) { runId metadataEntries {
    label ... on TextMetadataEntry { text } ... on BoolMetadataEntry { boolValue } } }
  assetChecksOrError { ... on AssetChecks { checks { name executionForLatestMaterialization {
    evaluation { success severity } } } } } } }"""


class Watched:
    """A home beside its `dagster dev`."""

    def __init__(self, home: Home, address: str) -> None:
        self.home, self.address = home, address

    def runs(self) -> list[dict[str, Any]]:
        """Dagster's runs, newest first."""
        return list(graphql(self.address, RUNS)["runsOrError"]["results"])

    def latest(self, *station: str) -> dict[str, Any]:
        """A station's node: run and metadata of its newest materialization, and its checks."""
        (node,) = graphql(self.address, LATEST, keys=[{"path": ["flights", *station]}])["assetNodes"]
        (newest,) = node["assetMaterializations"]
        told = {entry["label"]: entry.get("text", entry.get("boolValue")) for entry in newest["metadataEntries"]}
        checks = {check["name"]: check["executionForLatestMaterialization"] for check in
                  node["assetChecksOrError"]["checks"]}  # fmt: skip
        passed = {name: found["evaluation"]["success"] for name, found in checks.items() if found}
        return {"run": newest["runId"], "metadata": told, "passed": passed}

    def wait(self, holds: Callable[[], bool], seconds: float, what: str) -> None:
        """Waits until something holds and no run is at work."""
        deadline = time.monotonic() + seconds
        while not holds() or any(run["status"] not in ("SUCCESS", "FAILURE") for run in self.runs()):
            told = [(run["jobName"], run["status"], run["runId"]) for run in self.runs()][:5]
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s; runs: {told}"
            time.sleep(0.5)

    def history(self, model: str = "flight_delay") -> PromotionHistory:
        return PromotionHistory(self.home, "flights", model)

    def moves(self) -> list[int]:
        """How many decisions there are on each model."""
        return [len(self.history(model.name).moves()) for model in PROJECT.models]


def tags(run: dict[str, Any]) -> dict[str, str]:
    """Of a run."""
    return {tag["key"]: tag["value"] for tag in run["tags"]}


def deliver_at_once(home: Home, through: str) -> None:
    """Every file of a month appears within milliseconds, so that one tick sees all of them."""
    aside = Home(home.path.parent / "aside")
    land(aside, PROJECT, through)
    for path in sorted(aside.landing.rglob("*.parquet")):
        target = home.landing / path.relative_to(aside.landing)
        if not target.exists():
            path.rename(target)


@pytest.fixture(scope="module")
def watched(flights_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    home = Home(tmp_path_factory.mktemp("by_itself") / "home")
    shutil.copytree(flights_home, home.path)
    workspace, port = home.path.parent / "workspace.yaml", free_port()
    workspace.write_text("load_from:\n  - python_module: mlops_platform.definitions\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_HOME", str(home.path))
        patch.setenv("DAGSTER_HOME", str(home.path))
        command = ("-m", "dagster", "dev", "-w", str(workspace), "--host", HOST, "--port", str(port))
        with program(home.path, command, [port]):
            yield Watched(home, f"http://{HOST}:{port}")


def test_a_new_month_becomes_a_verdict(watched: Watched) -> None:
    before, decided = digests(watched.home.path), watched.moves()
    known = len(watched.runs())
    deliver_at_once(watched.home, "2013-04")

    def all_decided() -> bool:
        return all(now > then for now, then in zip(watched.moves(), decided, strict=True))

    watched.wait(all_decided, 300, "a verdict of each model on the new month")
    new = watched.runs()[: len(watched.runs()) - known]
    assert all(run["status"] == "SUCCESS" for run in new)
    # Where the last training was less than the cooldown ago, the policy is asked a second time.
    landed = [run for run in new if tags(run)["dagster/sensor_name"] == "flights_landing"]
    trained = [run for run in new if run["jobName"] == TRAINING]
    assert len(landed) == len(trained) == 1, [(run["jobName"], tags(run)) for run in new]
    asked = sorted(run["jobName"] for run in new if run["jobName"] != DATA)
    assert asked == sorted([TRAINING, OTHER]), "no condition asks for what these runs have made"

    after = digests(watched.home.path)
    same = {station for station in after if after[station] == before.get(station)}
    assert same == {"flights/raw/planes", "flights/raw/airports", "flights/raw/airlines", "flights/features/aircraft",
                    "flights/feast/registry"}  # fmt: skip
    training, data = trained[0]["runId"], landed[0]["runId"]
    ran = {station: watched.latest(*station)["run"] for station in (
        ("raw", "flights"), ("features", "origin_delays"), ("feast", "online"), ("flight_delay", "dataset"),
        ("flight_delay", "checkpoint"), ("flight_delay", "evaluation"), ("flight_delay", "gate"),
        ("flight_delay", "registered_model"), ("flight_delay", "champion"), ("flight_delay", "predictions"),
    )}  # fmt: skip
    assert list(ran.values()) == [data] * 4 + [training] * 6

    decision = tags(trained[0])
    assert decision["mlops/because"].startswith("yes: ") and "new labelled rows" in decision["mlops/because"]
    assert watched.latest("flight_delay", "retrain_decision")["metadata"]["retrain"] is False, "it is trained now"

    move, live = watched.history().moves()[-1], watched.history().live()
    client = MlflowDoor(watched.home, "flights").client
    aliases = {
        alias: str(client.get_model_version_by_alias(NAME, alias).version) for alias in ("challenger", "champion")
    }
    assert live is not None and aliases == {"challenger": "2", "champion": live.champion} and move.version == "2"
    gate = watched.latest("flight_delay", "gate")["metadata"]
    assert move.reason and gate["passed"] is (move.action == "promote")


def test_the_same_bytes_under_another_name_change_nothing(watched: Watched) -> None:
    before, runs = digests(watched.home.path), watched.runs()
    folder = watched.home.landing / "flights"
    shutil.copyfile(sorted(folder.glob("*.parquet"))[-1], folder / "again.parquet")
    time.sleep(25)
    assert watched.runs() == runs and digests(watched.home.path) == before


def test_a_truncated_file_is_quarantined_and_all_else_stays(watched: Watched) -> None:
    before, moves = digests(watched.home.path), watched.history().moves()
    known = len(watched.runs())
    folder = watched.home.landing / "flights"
    whole = sorted(folder.glob("*.parquet"))[-1].read_bytes()
    (folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    raw = DeltaDoor(watched.home.raw_table("flights", "flights"))
    watched.wait(lambda: any(entry.name == "cut.parquet" for entry in ledger(raw)), 120, "the quarantine")
    refused = DeltaDoor(watched.home.quarantine_table("flights", "flights")).scan().collect()
    assert "not a readable Parquet file" in refused.filter(file="cut.parquet")["reason"].item()
    node = watched.latest("raw", "flights")
    assert not all(node["passed"].values()), node["passed"]
    time.sleep(12)
    after = digests(watched.home.path)
    assert {station for station in after if after[station] != before[station]} == {"flights/raw/flights"}
    new = watched.runs()[: len(watched.runs()) - known]
    assert [run["jobName"] for run in new] == [DATA], [run["assetSelection"] for run in new]
    assert watched.history().moves() == moves
