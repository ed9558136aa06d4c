"""Where a run of the graph spends its time, told from outside: listeners, step events, and the MLflow door."""

import cProfile
import functools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from mlops_platform.resources.station import Progress

_TRAINING = "checkpoint"


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What one part of a run cost.

    Attributes:
        what: Station, check or other part.
        kind: ``station``, ``check``, ``around`` or ``training``.
        seconds, cpu: Wall and CPU time, of this process.
    """

    what: str
    kind: str
    seconds: float
    cpu: float


@dataclass(frozen=True)
class Instant:
    """A moment on the wall and on this process's CPU clock; their differences are spans."""

    seconds: float
    cpu: float

    def __sub__(self, other: "Instant") -> "Instant":
        return Instant(self.seconds - other.seconds, self.cpu - other.cpu)

    def __add__(self, other: "Instant") -> "Instant":
        return Instant(self.seconds + other.seconds, self.cpu + other.cpu)


_NOTHING = Instant(0.0, 0.0)


class Timeline:
    """Watches one run of the graph in this process, as a context manager; give ``hear`` to the run as a listener.

    A step holds a station's work, MLflow's record of it and what Dagster does with its result; a check is a step of its
    own; what lies between steps is Dagster's.
    """

    def __init__(self, profile: Path | None = None) -> None:
        self.made: list[str] = []
        self._profile = profile
        self._profiler = cProfile.Profile()
        self._begun: dict[str, Instant] = {}
        self._spans: dict[tuple[str, str], Instant] = defaultdict(lambda: _NOTHING)
        self._patches: list[Any] = []
        self._whole = _NOTHING
        self._start = _NOTHING

    @staticmethod
    def now() -> Instant:
        """This moment."""
        return Instant(time.perf_counter(), time.process_time())

    def __enter__(self) -> "Timeline":
        import dagster as dg

        from mlops_platform.resources.mlflow import MlflowDoor

        self._patches = [
            mock.patch.object(dg.DagsterInstance, "handle_new_event", self._events(dg.DagsterInstance)),
            mock.patch.object(MlflowDoor, "record", self._timed(MlflowDoor.record, "mlflow")),
        ]
        for patch in self._patches:
            patch.start()
        self._start = self.now()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._whole = self.now() - self._start
        for patch in self._patches:
            patch.stop()

    def hear(self, progress: "Progress") -> None:
        """Notes a station's begin or end."""
        station = progress.station
        if progress.seconds is None:
            self._begun[station] = self.now() - self._spans["mlflow", ""]
            if self._profile is not None:
                self._profiler = cProfile.Profile()
                self._profiler.enable()
            return
        if self._profile is not None:
            self._profiler.disable()
            self._profile.mkdir(parents=True, exist_ok=True)
            self._profiler.dump_stats(self._profile / f"{station.replace('/', '-')}.pstats")
        # What MLflow took since the station began is MLflow's, not the station's.
        self._spans["station", station] += self.now() - self._spans["mlflow", ""] - self._begun[station]
        if not progress.hit:
            self.made.append(station)

    def spent(self) -> list[Spent]:
        """Every part, the longest first within its kind; together they are the whole run."""
        stations = self._of("station")
        work = sum(stations.values(), _NOTHING)
        checks = {step: span for step, span in self._of("step").items() if _is_check(step)}
        steps = sum((span for step, span in self._of("step").items() if not _is_check(step)), _NOTHING)
        mlflow, checked = self._spans["mlflow", ""], sum(checks.values(), _NOTHING)
        around = {
            "(MLflow's record)": mlflow,
            "(Dagster and metadata, within steps)": steps - work - mlflow,
            "(Dagster, between steps)": self._whole - steps - checked,
        }
        return [
            *_parts(stations, "station"),
            *_parts({_short(step): span for step, span in checks.items()}, "check"),
            *_parts(around, "around"),
        ]

    def _of(self, kind: str) -> dict[str, Instant]:
        return {name: span for (found, name), span in self._spans.items() if found == kind}

    def _events(self, owner: type) -> Callable[..., None]:
        original = owner.handle_new_event  # type: ignore[attr-defined]

        @functools.wraps(original)
        def handle(instance: Any, event: Any, **options: Any) -> None:
            told = event.dagster_event
            if told is not None and told.event_type_value == "STEP_START":
                self._begun[f"step {told.step_key}"] = self.now()
            original(instance, event, **options)
            if told is not None and told.event_type_value in ("STEP_SUCCESS", "STEP_FAILURE"):
                self._spans["step", told.step_key] += self.now() - self._begun[f"step {told.step_key}"]

        return handle

    def _timed(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self._span(kind):
                return function(*arguments, **named)

        return timed

    @contextmanager
    def _span(self, kind: str) -> Iterator[None]:
        begun = self.now()
        yield
        self._spans[kind, ""] += self.now() - begun


def _parts(spans: dict[str, Instant], kind: str) -> list[Spent]:
    ordered = sorted(spans.items(), key=lambda entry: -entry[1].seconds)
    return [Spent(what=what, kind="training" if what.endswith(f"/{_TRAINING}") else kind, seconds=span.seconds,
                  cpu=span.cpu) for what, span in ordered]  # fmt: skip


def _is_check(step: str) -> bool:
    return step.endswith("_checks") or step.endswith("_check")


def _short(step: str) -> str:
    return step.replace("__", "/")
