"""Materializes a project's whole graph in a process of its own, so that tests can kill it: ``run.py HOME PROJECT``.

Prints one line when a station begins (``begin KEY``) and one when it ends (``end KEY hit|made DIGEST``).
"""

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from mlops_platform.lineage import build_definitions
from mlops_platform.resources.home import Home
from mlops_platform.resources.source_code import resolve
from mlops_platform.resources.station import Progress, listeners
from mlops_platform.spec import Project

PUMPS = "mlops_platform_tests.lineage.pumps.project:PROJECT"


def land(home: Home, project: Project, through: str) -> None:
    """Delivers the project's files up to a month."""
    assert project.upstream is not None
    for table, month, frame in resolve(project.upstream)(through):
        folder = home.landing / table
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / f"{table}-{month}.parquet"
        if not target.exists():
            draft = folder / f".{target.name}"
            frame.write_parquet(draft)
            draft.rename(target)


def materialize(home: Home, project: Project, selection: str = "*") -> dg.ExecuteInProcessResult:
    """Runs the graph here; failures are told by the result, not raised."""
    home.prepare()
    defs = build_definitions(project)
    job = defs.resolve_implicit_global_asset_job_def()
    keys = dg.AssetSelection.from_string(selection).resolve(defs.resolve_asset_graph())
    with dg.DagsterInstance.get() as instance:
        return job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=list(keys))


def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    """Error text of each failed step."""
    found = {}
    for event in result.all_events:
        if event.is_step_failure and event.step_key:
            error = event.step_failure_data.error
            found[event.step_key] = str((error.cause or error).message) if error else ""
    return found


def red_checks(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, object]]:
    """Metadata of each check that did not pass, by ``asset/key:check``."""
    return {
        f"{check.asset_key.to_user_string()}:{check.check_name}": {k: v.value for k, v in check.metadata.items()}
        for check in result.get_asset_check_evaluations()
        if not check.passed
    }


def full_disk_in(station: str, limit: int = 4_000) -> Callable[[Progress], None]:
    """A listener that lets no file grow beyond ``limit`` bytes while a station works."""

    def listen(progress: Progress) -> None:
        if progress.station == station:
            hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit if progress.seconds is None else hard, hard))

    return listen


def _say(progress: Progress) -> None:
    if progress.seconds is None:
        print(f"begin {progress.station}", flush=True)
    elif progress.manifest is not None:
        made = "hit" if progress.hit else "made"
        print(f"end {progress.station} {made} {progress.manifest.digest}", flush=True)


if __name__ == "__main__":
    os.environ["MLOPS_HOME"] = sys.argv[1]
    listeners.append(_say)
    if "FULL_DISK_IN" in os.environ:
        listeners.append(full_disk_in(os.environ["FULL_DISK_IN"]))
    outcome = materialize(Home(Path(sys.argv[1])), resolve(sys.argv[2]))
    for step, message in failures(outcome).items():
        print(f"failed {step}: {message}", flush=True)
    sys.exit(0 if outcome.success else 1)
