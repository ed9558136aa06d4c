"""From ``mlops land`` into a bucket over the sensor's request to the raw tables, and what the commands say of it."""

import os
from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import polars as pl
import pytest

from mlops_platform.cli.doctor import landing
from mlops_platform.cli.execution import Graph
from mlops_platform.cli.landing import THERE, WRITTEN, deliver
from mlops_platform.cli.planning import FAILS, RUNS, TAKEN, plan
from mlops_platform.cli.standing import standings
from mlops_platform.lineage import build_definitions
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.sources.ingest import ledger
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import failures
from mlops_platform_tests.sources.ticks import Prefix

RAW = [dg.AssetKey(["pumps", "raw", table.name]) for table in PROJECT.raw_tables]
READINGS = "pumps/raw/readings"


@pytest.fixture
def far(home: Home, bucket: Prefix, use_home: Callable) -> Home:
    """A home whose landing is the bucket."""
    use_home(home.path)
    return replace(home, landing_at=os.environ["MLOPS_LANDING"])


def ask_and_run(defs: dg.Definitions, cursor: str | None = None) -> str | None:
    """One tick of the landing sensor, and the run that it asks for, of the raw tables alone."""
    with dg.DagsterInstance.get() as instance:
        context = dg.build_sensor_context(instance=instance, cursor=cursor, definitions=defs)
        done = defs.resolve_sensor_def("pumps_landing").evaluate_tick(context)
        assert done.run_requests and len(done.run_requests) == 1, done.skip_message
        job = defs.resolve_job_def("pumps_data")
        tags = done.run_requests[0].tags
        run = job.execute_in_process(instance=instance, tags=tags, asset_selection=RAW, raise_on_error=False)
        assert run.success, failures(run)
        return done.cursor


def test_what_is_landed_in_a_bucket_is_asked_for_and_ingested(far: Home, bucket: Prefix) -> None:
    delivered = list(deliver(PROJECT, far, "pumps", through="2024-04"))
    assert {each.outcome for each in delivered} == {WRITTEN}
    assert {each.outcome for each in deliver(PROJECT, far, "pumps", through="2024-04")} == {THERE}
    assert pl.read_parquet(bucket.get("readings-2024-04.parquet")).height > 0
    assert not far.root.joinpath("landing").exists()

    defs = build_definitions(PROJECT)
    cursor = ask_and_run(defs)
    for table in PROJECT.raw_tables:
        raw = DeltaDoor(far.raw_table("pumps", table.name))
        landed = {each.path.name: each.rows for each in delivered if each.table == table.name}
        assert {entry.name: entry.rows for entry in ledger(raw)} == landed
        assert raw.scan().collect().height == sum(landed.values())

    graph = Graph.load(PROJECT)
    told = {each.station: each for each in standings(PROJECT, far)}
    assert {told[key.to_user_string()].state for key in RAW} == {"fresh"}
    assert {step.state for step in plan(graph, far, RAW)} == {TAKEN}

    bucket.put("late.parquet", b"no parquet")
    told = {each.station: each for each in standings(PROJECT, far)}
    assert told[READINGS].why == ("1 file landed and not ingested",)
    assert {step.station for step in plan(graph, far, RAW) if step.state == RUNS} == {READINGS}
    ask_and_run(defs, cursor)
    assert [entry.name for entry in ledger(DeltaDoor(far.raw_table("pumps", "readings")))][-1] == "late.parquet"
    assert landing(far).state == "ok"


def test_a_bucket_that_is_not_there_is_told_by_each_command(far: Home, use_home: Callable) -> None:
    nowhere = replace(far, landing_at="s3://no-such-lake/x")
    found = landing(nowhere)
    assert found.state == "fail" and "no-such-lake" in found.found and found.remedy
    nowhere.export()
    steps = plan(Graph.load(PROJECT), nowhere, RAW[:1])
    assert [step.state for step in steps] == [FAILS] and "the bucket no-such-lake" in steps[0].why[0]
