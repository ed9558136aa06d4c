"""Stations that only look: the shells of assets run as ever, up to where the work would begin."""

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from mlops_platform.resources.home import Home
from mlops_platform.resources.memo import Looked, look
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Stations

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Skips:
    """A station that has nothing to make yet.

    Attributes:
        why: In words.
    """

    why: str


class PlanningStations(Stations):
    """Takes the place of ``Stations`` where nothing is to be done: a shell's recipe is put together and looked up.

    Its path and environment are always given.
    """

    _skipped: Skips | None = PrivateAttr(default=None)

    @property
    def home(self) -> Home:
        """The home that is named; a plan makes no folder."""
        home = Home(Path(self.path), self.environment, Home.from_environment().landing_at)
        home.export()
        return home

    @property
    def skipped(self) -> Skips | None:
        """What the shell asked last would not make."""
        return self._skipped

    def skip(self, context: Any, why: str) -> None:
        """Notes why a station has nothing to make."""
        self._skipped = Skips(why)

    def make(  # type: ignore[override]
        self,
        context: Any,
        *,
        code: tuple[str, ...],
        config: Mapping[str, Any],
        inputs: Mapping[str, str],
        software: Mapping[str, str] | None = None,
        redo: bool | str = False,
        outside: bool = False,
        **_: Any,
    ) -> Looked:
        """What ``Stations.make`` would find before it works."""
        return look(Refs(self.home), "/".join(context.asset_key.path), code=code, config=config, inputs=inputs,
                    software=software, redo=redo, outside=outside)  # fmt: skip


@dataclass(frozen=True)
class PlanningRun:
    """The run of which a shell may ask before its work."""

    run_id: str = "plan"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlanningContext:
    """What a shell may ask of its context before its work."""

    asset_key: dg.AssetKey
    run: PlanningRun = PlanningRun()
    job_name: str = "plan"
    log: logging.Logger = _LOG


def look_through(
    asset: dg.AssetsDefinition, stations: PlanningStations, resources: Mapping[str, Any]
) -> Looked | Skips | None:
    """Runs an asset's shell up to its work.

    Args:
        asset: Of one key.
        stations: What the shell gets as ``stations``.
        resources: Whatever else it may ask for, by name.

    Returns:
        What it found; None where the asset is no station of ours, so that only Dagster can tell what it does.
    """
    given = {**resources, "stations": stations}
    shell = getattr(getattr(asset.op, "compute_fn", None), "decorated_fn", None)
    parameters = inspect.signature(shell).parameters if shell is not None else {}
    asked = list(parameters)[1:]
    if "config" in parameters:
        # A plan asks for nothing out of the ordinary: the configuration's own defaults.
        given["config"] = parameters["config"].annotation()
    if shell is None or "stations" not in asked or not set(asked) <= set(given) or len(asset.keys) != 1:
        return None
    found = shell(PlanningContext(asset.key), **{name: given[name] for name in asked})
    if inspect.isgenerator(found):
        found = next(found, None) or stations.skipped
    return found if isinstance(found, Looked | Skips) else None
