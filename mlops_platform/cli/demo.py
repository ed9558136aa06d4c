"""``mlops demo``: the main job from landing to ``why``, then one month more and the verdict on what it taught."""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from mlops_platform.cli.context import console, home, project
from mlops_platform.cli.execution import Graph, Run
from mlops_platform.cli.landing import deliver, delivery_lines
from mlops_platform.cli.run_view import StationLines, show_end
from mlops_platform.cli.terminal import own_terminal
from mlops_platform.cli.why_tree import newest, why_tree
from mlops_platform.cli.words import score, station_name, when
from mlops_platform.errors import PlatformError
from mlops_platform.manifest import Manifest
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.spec import LOWER_IS_BETTER, Model, Project, metrics_in

_IN = "  "


class Demo:
    """One showing of a project in a home.

    Attributes:
        project: Whose models are shown; one prediction of the first is explained.
        home: Where.
    """

    def __init__(self, project: Project, home: Home) -> None:
        self.project, self.home = project, home
        self.model: Model = project.models[0]
        self.graph = Graph.load(project)
        self._step = 0
        self._log = home.root / "logs" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}-demo.log"

    def heading(self, shown: Console, text: str) -> None:
        """Prints the next step's number and name."""
        self._step += 1
        shown.print(f"\n[bold]{self._step}  {escape(text)}[/]")

    def month(self, shown: Console, through: str, *, since: str | None = None, only_made: bool = False) -> Run:
        """Lands months and materializes everything."""
        self.heading(shown, f"land {through}" if since else f"land everything through {through}")
        deliveries = deliver(self.project, self.home, self.project.name, through=through, since=since)
        for line in delivery_lines(deliveries):
            shown.print(f"{_IN}{line}")
        self.heading(shown, "materialize the whole graph" + (": only what changed is made again" if since else ""))
        begun = time.perf_counter()
        with own_terminal(self._log) as live, StationLines(live, self.graph, indent=_IN, only_made=only_made) as lines:
            run = self.graph.run(self.home, self.graph.select("*"), lines)
        taken = [station_name(progress.station) for progress in run.finished if progress.hit]
        if only_made and taken:
            told = ", ".join(taken) if len(taken) < len(run.finished) else f"all {len(taken)} stations"
            _indented(shown, f"[dim]as they were: {told}[/]")
        show_end(shown, run, time.perf_counter() - begun, indent=_IN, log=str(self._log))
        return run

    def evaluation(self, model: Model) -> Manifest:
        """The newest evaluation of a model."""
        from mlops_platform.resources.refs import Refs

        return Refs(self.home).read(f"{self.project.name}/{model.name}/evaluation").manifest

    def champion(self, shown: Console, model: Model) -> None:
        """Prints a model's live version's metrics beside its baselines'."""
        live = PromotionHistory(self.home, self.project.name, model.name).live()
        if live is None:
            self.heading(shown, f"no champion of {model.name} yet")
            return
        manifest = _evaluation_of(self.home, live.checkpoint, self.evaluation(model))
        dataset = ArtifactStore(self.home).open("dataset", manifest.recipe.inputs["dataset"]).manifest
        day = dataset.content["holdout_start"][:10]
        self.heading(shown, f"{model.name} version {live.champion} is champion")
        metrics = manifest.content["metrics"]
        table = metrics_table({"champion": metrics["challenger"], **_baselines(model, metrics)})
        shown.print(f"{_IN}on the {manifest.content['rows']:,} examples from {day} on, of which it learned nothing:")
        _indented(shown, table)

    def answer(self, shown: Console) -> str:
        """Prints how many answers there are and the one with the highest score; its id."""
        prediction = newest(self.project, self.home, [self.model])
        log = DeltaDoor(self.home.prediction_log(self.project.name, self.model.name)).scan()
        row = log.filter(pl.col("prediction_id") == prediction).collect().row(0, named=True)
        count = log.filter(pl.col("batch") == row["batch"]).select(pl.len()).collect().item()
        highest = f"{row['score']:.0%}" if isinstance(row["score"], float) else score(row["score"])
        self.heading(shown, f"{count:,} predictions for the next day; why is the highest one {highest}?")
        return prediction

    def why(self, shown: Console, prediction: str) -> None:
        """Prints the walk behind a prediction."""
        from mlops_platform.provenance.walk import why

        tree = why_tree(why(self.home, self.project, prediction), values=False)
        _indented(shown, tree)

    def verdict(self, shown: Console, model: Model, month: str, run: Run) -> None:
        """Prints the newest decision about a model with its numbers, whichever way it fell."""
        move = PromotionHistory(self.home, self.project.name, model.name).newest_decision()
        if move is None:
            return
        metrics = self.evaluation(model).content["metrics"]
        self.heading(shown, f"the verdict on the candidate for {model.name}, on {month}")
        live = {"champion": metrics["champion"]} if metrics["champion"] else {}
        columns = {"candidate": metrics["challenger"], **live, **_baselines(model, metrics)}
        _indented(shown, metrics_table(columns))
        promoted = move.action == "promote"
        said = f"version {move.version} is promoted" if promoted else f"version {move.champion} stays champion"
        if move.action == "rollout":
            said = f"version {move.version} meets live traffic beside it, {said}"
        said += "" if move.run_id == run.run_id else f" (decided before, {when(move.at)} UTC)"
        style = "bold green" if promoted else "bold yellow"
        _indented(shown, f"[{style}]{said}[/]: {escape(move.reason)}")


def run_demo(through: str, then: str) -> int:
    """The whole showing.

    Returns:
        The exit code of the run that went worse.
    """
    begun = time.perf_counter()
    if then <= through:
        raise PlatformError(required="--then to be a month after --through", found=f"--through {through} --then {then}",
                            remedy="mlops demo --through 2013-06 --then 2013-07")  # fmt: skip
    shown, where = console(), home()
    where.prepare()
    demo = Demo(project(), where)
    shown.print(f"[bold]{demo.project.name}[/] in {where.path} ({where.environment}); nothing leaves this machine")
    first = demo.month(shown, through)
    if first.failures or first.not_reached:
        return first.exit_code
    for model in demo.project.models:
        demo.champion(shown, model)
    prediction = demo.answer(shown)
    demo.why(shown, prediction)
    second = demo.month(shown, then, since=_next_month(through), only_made=True)
    if not second.failures:
        for model in demo.project.models:
            demo.verdict(shown, model, then, second)
    _show_next(shown, prediction, demo.model.name)
    shown.print(f"\n{time.perf_counter() - begun:.0f} s in all", style="bold")
    return first.exit_code or second.exit_code


def _baselines(model: Model, metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {words: metrics[name] for name, words in model.task.baselines.items()}


def _indented(shown: Console, what: RenderableType) -> None:
    shown.print(Padding(what, (0, 0, 0, len(_IN))))


def metrics_table(columns: dict[str, Any]) -> Table:
    """Metrics of models side by side, the best of each green."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 3, 0, 0))
    table.add_column("")
    for name in columns:
        table.add_column(name, justify="right")
    for metric in metrics_in(next(iter(columns.values()), {})):
        figures = [found[metric] for found in columns.values()]
        known = [figure for figure in figures if figure is not None]
        if metric == "bias":
            best = min(known, key=abs, default=None)
        else:
            best = (min if metric in LOWER_IS_BETTER else max)(known, default=None)
        table.add_row(_metric_name(metric), *(_figure(figure, figure == best) for figure in figures))
    return table


def _metric_name(metric: str) -> str:
    return metric + (" (lower is better)" if metric in LOWER_IS_BETTER else "")


def _figure(figure: float | None, best: bool) -> str:
    text = "none" if figure is None else f"{figure:.4f}"
    return f"[green]{text}[/]" if best else text


def _evaluation_of(home: Home, checkpoint: str | None, newest_one: Manifest) -> Manifest:
    """The evaluation in which a checkpoint was the challenger: the newest, unless that judged another one."""
    if newest_one.recipe.inputs.get("checkpoint") == checkpoint:
        return newest_one
    return max(_evaluations(home, checkpoint), key=lambda manifest: manifest.produced.at)


def _evaluations(home: Home, checkpoint: str | None) -> Iterable[Manifest]:
    for path in sorted((home.artifacts / "evaluation").glob("*/manifest.json")):
        manifest = Manifest.from_json(path.read_bytes(), source=str(path))
        if manifest.recipe.inputs.get("checkpoint") == checkpoint:
            yield manifest


def _next_month(month: str) -> str:
    year, number = int(month[:4]), int(month[5:])
    return f"{year + number // 12}-{number % 12 + 1:02d}"


def _show_next(shown: Console, prediction: str, model: str) -> None:
    shown.print("\n[bold]try next[/]")
    commands = {
        "make dev": "Dagster's and MLflow's UI on this home",
        f"mlops why {prediction}": "the same walk with every feature's value and rows",
        f"mlops history {model}": "who was champion when, and why",
    }
    width = max(map(len, commands))
    for command, meaning in commands.items():
        shown.print(f"{_IN}{command:<{width}}   [dim]{meaning}[/]")
