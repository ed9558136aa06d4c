"""One run of the graph in this process, and what came of it."""

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlops_platform.cli.context import EXIT_FAILED, EXIT_RED
from mlops_platform.cli.outline import BY_THEMSELVES
from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home
from mlops_platform.spec import Project

if TYPE_CHECKING:
    import dagster as dg

    from mlops_platform.resources.station import Progress

# The console logger would print every event; they are all in the instance's event log.
_NO_CONSOLE = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_LOUD_METADATA = 120
_STOPPED = "stopped as asked; the same command goes on from there"


@dataclass(frozen=True, kw_only=True)
class RedCheck:
    """A check that did not pass.

    Attributes:
        station: Asset key, joined by slashes.
        name: Of the check.
        severity: ``ERROR`` or ``WARN``.
        blocking: Whether it held back what comes after.
        figures: Its metadata, as text.
    """

    station: str
    name: str
    severity: str
    blocking: bool
    figures: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A station whose work failed.

    Attributes:
        step: Name of the step, ``flights/flight_delay/dataset``.
        message: The innermost error in words.
    """

    step: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Run:
    """What came of a run.

    Attributes:
        run_id: Dagster run; empty where it never began.
        finished: Stations that came to an end, in that order.
        failures: Stations that failed.
        not_reached: Stations that were selected and not tried, since something before them failed or a blocking
            check was red.
        skipped: Why stations had nothing to make, by station.
        checks: How many checks were evaluated.
        red: Those that did not pass.
    """

    run_id: str
    finished: tuple["Progress", ...]
    failures: tuple[Failure, ...]
    not_reached: tuple[str, ...]
    checks: int
    red: tuple[RedCheck, ...]
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 fine; 1 a station failed; 3 a check of severity ERROR is red."""
        if self.failures:
            return EXIT_FAILED
        return EXIT_RED if any(check.severity == "ERROR" for check in self.red) else 0


@dataclass(frozen=True)
class Graph:
    """A project's definitions, loaded once for several runs.

    Attributes:
        project: The declaration.
        definitions: Its Dagster definitions.
        rooms: Group of each station.
        compute: What overrides the models' declared compute.
    """

    project: Project
    definitions: "dg.Definitions"
    rooms: Mapping[str, str] = field(default_factory=dict)
    compute: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, project: Project, compute: Mapping[str, Any] | None = None) -> "Graph":
        """Builds the definitions; this is what imports Dagster."""
        import dagster as dg

        from mlops_platform.lineage import build_definitions

        warnings.filterwarnings("ignore", category=dg.BetaWarning)
        warnings.filterwarnings("ignore", category=dg.PreviewWarning)
        definitions = build_definitions(project)
        specs = definitions.resolve_all_asset_specs()
        rooms = {"/".join(spec.key.path): spec.group_name or "" for spec in specs}
        return cls(project, definitions, rooms, compute or {})

    @property
    def resources(self) -> Mapping[str, Any]:
        """Of the definitions, compute as it is overridden."""
        from mlops_platform.resources.compute import ComputeResource

        found: Mapping[str, Any] = self.definitions.resources or {}
        return {**found, "compute": ComputeResource(**self.compute)} if self.compute else found

    def select(self, selection: str) -> list["dg.AssetKey"]:
        """The stations that a selection names; one that works by itself only where it is named so (``BY_THEMSELVES``).

        Raises:
            PlatformError: It cannot be read, or names none.
        """
        import dagster as dg

        remedy = "write for example --select '*' or --select 'key:\"%s\"+'; mlops graph lists the stations"
        remedy = remedy % next(iter(self.rooms))
        required = "--select to be a Dagster asset selection that names at least one station"
        try:
            graph = self.definitions.resolve_asset_graph()
            keys = dg.AssetSelection.from_string(selection).resolve(graph)
        except dg.DagsterError as error:
            found = f"--select {selection!r}: {str(error).splitlines()[0]}"
            raise PlatformError(required=required, found=found, remedy=remedy) from error
        if not keys:
            raise PlatformError(required=required, found=f"--select {selection!r}: no station", remedy=remedy)
        named = {tuple(key.path[1:]) for key in keys}
        return sorted(key for key in keys if (key.path[1], BY_THEMSELVES.get(key.path[-1])) not in named)

    def run(self, home: Home, keys: list["dg.AssetKey"], listen: Callable[["Progress"], None],
            config: Mapping[str, Mapping[str, Any]] | None = None) -> Run:  # fmt: skip
        """Materializes stations and evaluates their checks, in this process.

        Args:
            home: Made ready; its folder becomes the Dagster instance.
            keys: What to materialize.
            listen: Hears when each station begins and ends.
            config: Configuration of stations, by asset key joined by slashes.
        """
        import dagster as dg

        from mlops_platform.resources.station import listeners

        finished: list[Progress] = []
        skipped: dict[str, str] = {}

        def hear(progress: "Progress") -> None:
            if progress.skipped is not None:
                skipped[progress.station] = progress.skipped
            elif progress.seconds is not None and progress.error is None:
                finished.append(progress)
            listen(progress)

        ops = {station.replace("/", "__"): {"config": dict(told)} for station, told in (config or {}).items()}
        run_config = {**_NO_CONSOLE, "ops": ops, **self._overridden()}
        job = self.definitions.resolve_job_def(f"{self.project.name}_everything")
        listeners.append(hear)
        try:
            with dg.DagsterInstance.get() as instance:
                result = job.execute_in_process(instance=instance, asset_selection=keys, raise_on_error=False,
                                                run_config=run_config)  # fmt: skip
        finally:
            listeners.remove(hear)
        return _outcome(result, ["/".join(key.path) for key in keys], finished, skipped)

    def _overridden(self) -> Mapping[str, Any]:
        return {"resources": {"compute": {"config": dict(self.compute)}}} if self.compute else {}


def _outcome(result: "dg.ExecuteInProcessResult", stations: list[str], finished: list["Progress"],
             skipped: Mapping[str, str]) -> Run:  # fmt: skip
    failures = tuple(_failures(result.all_events))
    tried = {*(progress.station for progress in finished), *(failure.step for failure in failures), *skipped}
    checks = result.get_asset_check_evaluations()
    return Run(
        run_id=result.run_id, finished=tuple(finished), failures=failures, checks=len(checks), skipped=skipped,
        not_reached=tuple(station for station in stations if station not in tried),
        red=tuple(red_check(check) for check in checks if not check.passed),
    )  # fmt: skip


def _failures(events: Iterable[Any]) -> Iterable[Failure]:
    for event in events:
        if not event.is_step_failure:
            continue
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        if error is not None and error.cls_name == "DagsterExecutionInterruptedError":
            yield Failure(step=event.step_key.replace("__", "/"), message=_STOPPED)
        elif error is None or error.cls_name != "DagsterAssetCheckFailedError":
            said = re.sub(r"^[\w.]+: ", "", error.message.strip(), count=1) if error else "no error was recorded"
            name = "" if error is None or said.startswith("Required:") else f"{error.cls_name}: "
            yield Failure(step=event.step_key.replace("__", "/"), message=name + said)


def red_check(check: "dg.AssetCheckEvaluation") -> RedCheck:
    """A check that did not pass, as people read it."""
    figures = {name: _figure(found.value) for name, found in check.metadata.items()}
    return RedCheck(
        station="/".join(check.asset_key.path), name=check.check_name, severity=check.severity.value,
        blocking=bool(check.blocking), figures={name: text for name, text in figures.items() if text is not None},
    )  # fmt: skip


def _figure(value: Any) -> str | None:
    """A figure on one line; tables and pictures are for the UI."""
    if value is None or value == [] or value == {}:
        return None
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LOUD_METADATA and "\n" not in text else None
