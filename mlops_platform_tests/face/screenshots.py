"""Takes the README's screenshots: ``python -m mlops_platform_tests.face.screenshots docs/images``.

Shows the home that ``MLOPS_HOME`` names, if it is materialized; else lands and materializes one in a temporary folder.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page

from mlops_platform_tests.face.live import (
    CHROMIUM,
    HOST,
    ROOT,
    browser_page,
    free_port,
    graphql,
    greet,
    open_lineage,
    open_pictures,
    program,
)

MODEL = "flights/flight_delay"
WIDTH = 1600
LARGEST = 300_000
_EDGE = 24
# Short nodes, so that the whole graph fits a page.
_FACETS = "() => localStorage.setItem('asset-node-facets', '[\"checks\"]')"
_CORNERS = """() => {
    const found = [...document.querySelectorAll("svg foreignObject")].map(each => each.getBoundingClientRect());
    const shown = found.filter(each => each.width > 0 && each.height > 0);
    return [Math.min(...shown.map(each => each.left)), Math.min(...shown.map(each => each.top)),
            Math.max(...shown.map(each => each.right)), Math.max(...shown.map(each => each.bottom))];
}"""


def main(folder: Path) -> None:
    """Writes every picture into a folder."""
    assert CHROMIUM, "chromium is required: make system"
    folder.mkdir(parents=True, exist_ok=True)
    with home() as shown, interfaces(shown) as (dagster, mlflow):
        explained(shown, folder / "why.png")
        greet(dagster)
        lineage(dagster, folder / "lineage.png")
        with browser_page(WIDTH, 1000) as page:
            open_pictures(page, dagster, f"{MODEL}/evaluation")
            page.wait_for_timeout(1_000)
            save(page.screenshot(), folder / "evaluation.png")
            page.goto(f"{dagster}/assets/{MODEL}/dataset?view=checks&checkDetail=nothing_leaks")
            page.get_by_text("facts_changed").last.wait_for()
            page.wait_for_timeout(2_000)
            save(page.screenshot(), folder / "checks.png")
            page.goto(f"{dagster}/runs/{whole_run(dagster)}")
            page.get_by_text("RUN_SUCCESS").first.wait_for()
            page.wait_for_timeout(2_000)
            save(page.screenshot(), folder / "run.png")
            model_page(page, mlflow)
            save(page.screenshot(), folder / "model.png")


@contextmanager
def home() -> Iterator[Path]:
    """A materialized home."""
    named = os.environ.get("MLOPS_HOME", "")
    if named and (Path(named) / "dev" / "refs" / MODEL / "predictions.json").is_file():
        yield Path(named).absolute()
        return
    with tempfile.TemporaryDirectory(prefix="mlops-screenshots-") as temporary:
        environment = {**os.environ, "MLOPS_HOME": temporary}
        for arguments in (["land", "flights", "--through", "2013-06"], ["materialize"]):
            command = [sys.executable, "-m", "mlops_platform.cli", *arguments]
            subprocess.run(command, env=environment, cwd=ROOT, check=True)
        yield Path(temporary)


@contextmanager
def interfaces(shown: Path) -> Iterator[tuple[str, str]]:
    """Addresses of Dagster's and MLflow's interfaces, as ``mlops dev`` starts them."""
    port, mlflow_port = free_port(), free_port()
    command = ("-m", "mlops_platform.cli", "dev", "--port", str(port), "--mlflow-port", str(mlflow_port))
    with program(shown, command, [port, mlflow_port]):
        yield f"http://{HOST}:{port}", f"http://{HOST}:{mlflow_port}"


def explained(shown: Path, target: Path) -> None:
    """The upper part of the page that explains the newest answer, as ``mlops serve`` gives it."""
    from mlops_platform.cli.why_tree import newest
    from mlops_platform.projects.flights.project import PROJECT
    from mlops_platform.provenance.page import page
    from mlops_platform.provenance.walk import why
    from mlops_platform.resources.home import Home

    where = Home(shown)
    text = page(why(where, PROJECT, newest(PROJECT, where, [PROJECT.model(MODEL.partition("/")[2])])))
    with browser_page(1280, 1180) as opened:
        opened.set_content(text)
        save(opened.screenshot(), target)


def lineage(address: str, target: Path) -> None:
    """The global asset lineage, all groups open, cut to the graph."""
    with browser_page(WIDTH + 500, 3600) as page:
        open_lineage(page, address)
        page.locator("button:has([aria-label=panel_show_right])").last.click()
        page.evaluate(_FACETS)
        page.reload()
        page.locator("[aria-label=unfold_less]").first.wait_for()
        page.wait_for_timeout(3_000)
        left, top, right, bottom = (round(edge) for edge in page.evaluate(_CORNERS))
        box = (max(left - _EDGE, 0), max(top - _EDGE, 0), right + _EDGE, bottom + _EDGE)
        cut = Image.open(BytesIO(page.screenshot())).crop(box)
    height = round(cut.height * WIDTH / cut.width)
    buffer = BytesIO()
    cut.resize((WIDTH, height), Image.Resampling.LANCZOS).save(buffer, "PNG")
    save(buffer.getvalue(), target, colours=64)


def whole_run(address: str) -> str:
    """Id of the successful run of most steps; of several, the longest."""
    query = """{ runsOrError(limit: 50, filter: {statuses: [SUCCESS]}) {
        ... on Runs { results { runId startTime endTime stepStats { stepKey } } } } }"""
    runs = graphql(address, query)["runsOrError"]["results"]
    longest = max(runs, key=lambda run: (len(run["stepStats"]), run["endTime"] - run["startTime"]))
    found: str = longest["runId"]
    return found


def model_page(page: Page, address: str) -> None:
    """Opens the registered model in MLflow, with what covers it put away."""
    page.goto(f"{address}/#/models/{MODEL.replace('/', '.')}")
    page.get_by_text("Version 1").first.wait_for()
    page.wait_for_timeout(2_000)
    for label in ("Model training", "Close"):
        for button in page.get_by_role("button", name=label).all():
            if button.is_visible():
                button.click()
                page.wait_for_timeout(1_000)
    page.wait_for_timeout(1_000)


def save(data: bytes, target: Path, *, colours: int = 160) -> None:
    """Writes a picture with few colours, which is how it stays small."""
    picture = Image.open(BytesIO(data)).convert("RGB").quantize(colours, Image.Quantize.MAXCOVERAGE)
    picture.save(target, optimize=True)
    size = target.stat().st_size
    assert size < LARGEST, f"{target} has {size:,} bytes, more than {LARGEST:,}"
    print(f"{target}  {picture.width} x {picture.height}, {size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
