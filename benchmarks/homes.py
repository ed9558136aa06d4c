"""Homes for benchmarks: landed and materialized through the platform's own code, as ``mlops`` does it."""

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_platform.resources.home import Home

if TYPE_CHECKING:
    from mlops_platform.cli.execution import Graph, Run
    from mlops_platform.resources.station import Progress

ROOT = Path(__file__).parents[1]


def use(path: Path) -> Home:
    """The home in a folder, made ready; this process and its children use it."""
    os.environ |= {"MLOPS_ENV": "dev", "MLOPS_ACTOR": "benchmarks"}
    home = Home(path.absolute())
    home.prepare()
    for name in ("dagster", "mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return home


@contextlib.contextmanager
def fresh(keep: Path | None = None) -> Iterator[Home]:
    """An empty home: one that is removed in the end, or that folder, which must be empty."""
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise SystemExit(f"{keep} is not empty: name another folder")
        keep.mkdir(parents=True, exist_ok=True)
        yield use(keep)
        return
    with tempfile.TemporaryDirectory(prefix="mlops-benchmark-") as folder:
        yield use(Path(folder))


def land(home: Home, through: str) -> None:
    """Lands the flights up to a month; what already lies there stays."""
    from mlops_platform.cli.landing import deliver
    from mlops_platform.projects.flights.project import PROJECT

    for _ in deliver(PROJECT, home, PROJECT.name, through=through):
        pass


def load() -> "Graph":
    """The flights project's graph."""
    from mlops_platform.cli.execution import Graph
    from mlops_platform.projects.flights.project import PROJECT

    return Graph.load(PROJECT)


def materialize(home: Home, graph: "Graph", selection: str = "*", *, without: str | None = None,
                listen: Callable[["Progress"], None] | None = None) -> "Run":  # fmt: skip
    """Runs stations of the graph in this process, with nothing of it on standard output.

    Args:
        home: Made ready.
        graph: From ``load``.
        selection: Dagster's asset selection.
        without: A station to leave out of the selection.
        listen: Hears of each station's begin and end.
    """
    keys = [key for key in graph.select(selection) if "/".join(key.path) != without]
    with contextlib.redirect_stdout(sys.stderr):
        done = graph.run(home, keys, listen or (lambda progress: None))
    if done.failures:
        raise SystemExit(f"the graph failed: {done.failures}")
    return done
