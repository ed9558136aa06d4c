"""Dagster's UI as a new user meets it: the lineage, a run from a button, pictures and checks, in a real browser."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="playwright is not installed: pip install '.[test]'")

from mlops_platform.resources.home import Home
from mlops_platform_tests.face.live import (
    CHROMIUM,
    HOST,
    browser_page,
    free_port,
    graphql,
    greet,
    open_lineage,
    open_pictures,
    processes_of,
    program,
)

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: make system, or apt-get install chromium"),
]

MODEL = "pumps/pump_repair"
STATIONS = ("readings", "pump_state", "dataset", "checkpoint", "evaluation", "gate", "skew", "registered_model",
            "champion", "predictions")  # fmt: skip
WORKSPACE = "load_from:\n  - python_module: mlops_platform_tests.face.pumps_definitions\n"
RUN_STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
NEWEST_RUN = "{ runsOrError(limit: 1) { ... on Runs { results { runId } } } }"


@pytest.fixture
def address(pumps_copy: Home, tmp_path: Path) -> Iterator[str]:
    """Dagster's UI on a materialized home of the pumps."""
    workspace, port = tmp_path / "workspace.yaml", free_port()
    workspace.write_text(WORKSPACE)
    command = ("-m", "dagster", "dev", "-w", str(workspace), "--host", HOST, "--port", str(port))
    with program(pumps_copy.path, command, [port]):
        greet(f"http://{HOST}:{port}")
        yield f"http://{HOST}:{port}"
    assert processes_of(pumps_copy.path) == []


def newest_run(address: str) -> str:
    """Id of the newest run."""
    found: str = graphql(address, NEWEST_RUN)["runsOrError"]["results"][0]["runId"]
    return found


def wait_for_end(address: str, run: str) -> str:
    """Status in which a run ends."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        status: str = graphql(address, RUN_STATUS, id=run)["runOrError"]["status"]
        if status in {"SUCCESS", "FAILURE", "CANCELED"}:
            return status
        time.sleep(0.5)
    raise AssertionError(f"run {run} did not end within 120 s")


def test_a_new_user_sees_the_lineage_runs_it_and_finds_pictures_and_checks(address: str) -> None:
    with browser_page(1600, 1800) as page:
        open_lineage(page, address)
        shown = page.locator("body").inner_text()
        assert [name for name in STATIONS if name not in shown] == []

        before = newest_run(address)
        page.goto(f"{address}/assets/{MODEL}/gate")
        page.locator("button", has_text="Materialize").first.click()
        page.get_by_text("Launched run").first.wait_for()
        run = newest_run(address)
        assert run != before
        assert wait_for_end(address, run) == "SUCCESS"
        page.goto(f"{address}/runs/{run}")
        page.get_by_text("RUN_SUCCESS").first.wait_for()

        open_pictures(page, address, f"{MODEL}/evaluation")
        picture = page.locator("img[src^='data:image/png']").first
        assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

        page.goto(f"{address}/assets/{MODEL}/dataset?view=checks")
        for name in ("nothing_leaks", "rows_are_conserved", "parts_do_not_overlap", "label_balance"):
            page.get_by_text(name, exact=True).first.wait_for()
        assert page.get_by_text("Succeeded").count() >= 4
