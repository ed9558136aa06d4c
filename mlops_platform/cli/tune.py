"""``mlops tune``: looks for better values of a model's network, one line a trial, and says how to declare them."""

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from mlops_platform.cli.context import EXIT_FAILED, console, emit
from mlops_platform.cli.execution import Graph, Run
from mlops_platform.cli.terminal import own_terminal
from mlops_platform.errors import PlatformError
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Project, duration

if TYPE_CHECKING:
    from mlops_platform.training.tuning.record import Trial
    from mlops_platform.training.tuning.study import Study

_STYLES = {"complete": "", "pruned": "dim", "refused": "yellow", "died": "red"}


def show_tuning(project: Project, home: Home, model: str, *, trials: int, parallel: int, timeout: str | None,
                as_json: bool) -> int:  # fmt: skip
    """Tunes a model and prints the best configuration.

    Args:
        project: The declaration.
        home: Where everything is recorded.
        model: Its name.
        trials: How many in all; zero for what is declared.
        parallel: How many at a time; zero for what is declared.
        timeout: After which no further trial begins, as ``2h``; None for never.
        as_json: Whether a program reads it.

    Returns:
        The exit code.

    Raises:
        PlatformError: The model declares no tuning, or its dataset was never made.
    """
    if project.model(model, asked_by="MODEL").tuning is None:
        raise PlatformError(
            required=f"a model that declares what may vary, for mlops tune {model}", found="Model(tuning=None)",
            remedy="declare Model(tuning=Tuning(space={'learning_rate': Between(1e-4, 1e-1, log=True)}))",
        )  # fmt: skip
    seconds = duration(timeout, name="--timeout").total_seconds() if timeout is not None else 0.0
    home.prepare()
    Refs(home).read(f"{project.name}/{model}/dataset")
    asked = {"trials": trials, "parallel": parallel, "timeout_seconds": seconds}
    station, begun = f"{project.name}/{model}/tuning", time.perf_counter()
    run = _run(project, home, station, asked, quiet=as_json)
    if run.failures:
        for failure in run.failures:
            console().print(f"failed: {failure.message}", style="red", markup=False, soft_wrap=True)
        console().print(f"The trials that are done stand; the same command goes on: mlops tune {model}", soft_wrap=True)
        return EXIT_FAILED
    found, hit = Refs(home).read(station), any(progress.hit for progress in run.finished)
    if as_json:
        emit({"model": model, "digest": found.manifest.digest, **found.manifest.content})
    else:
        _show(console(), model, found, hit=hit, seconds=time.perf_counter() - begun)
    return run.exit_code


def _run(project: Project, home: Home, station: str, asked: dict[str, Any], *, quiet: bool) -> Run:
    from mlops_platform.training.tuning.record import line
    from mlops_platform.training.tuning.trials import watchers

    graph = Graph.load(project)
    log = home.root / "logs" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.log"
    with own_terminal(log) as shown:

        def watch(study: "Study", trial: "Trial") -> None:
            if not quiet:
                told = escape(line(trial, of=study.wanted, best=study.best()))
                shown.print(told, style=_STYLES[trial.state], soft_wrap=True)

        if not quiet:
            shown.print(f"tuning {station.split('/')[1]}; Ctrl-C and the same command again goes on", style="dim")
        watchers.append(watch)
        try:
            return graph.run(home, graph.select(f'key:"{station}"'), lambda progress: None, config={station: asked})
        finally:
            watchers.remove(watch)


def _show(shown: Console, model: str, found: Artifact, *, hit: bool, seconds: float) -> None:
    from mlops_platform.training.tuning.record import BEST, values

    content, best = found.manifest.content, json.loads(found.file(BEST).read_bytes())
    done = "stands already" if hit else f"took {seconds:.0f} s"
    counts = ", ".join(f"{content[state]} {state}" for state in ("complete", "pruned", "refused", "died"))
    shown.print(f"[bold]best of {content['trials']} trials[/], {counts}; it {done}")
    declared = content["declared_validation_loss"]
    against = f"; the values declared had {declared:.5f}" if declared is not None else ""
    shown.print(f"  trial {best['trial'] + 1}, validation loss {best['validation_loss']:.5f}{against}")
    shown.print(f"  {values(best['parameters'])}")
    shown.print('Declare it, and the next training takes these values; with "latest" it follows each tuning:')
    shown.print(f'  Network(..., tuned="{found.manifest.digest}")', markup=False, soft_wrap=True)
    shown.print(f"More trials go on from here: mlops tune {model} --trials {2 * content['trials']}", style="dim")
