"""Whether a run would change nothing: then it is not launched, and what it would tell is told from the records.

Each station selected must stand for the artifact that its recipe gives, Dagster must know it by that version, and each
check must have been evaluated on that very materialization with no error. A check that is red as an error is launched
again, since what it looks at may have been mended.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_platform.cli.execution import Graph, Run, red_check
from mlops_platform.cli.planning import Step, plan
from mlops_platform.resources.home import Home

if TYPE_CHECKING:
    import dagster as dg

_VERSION = "dagster/data_version"


def standing_run(graph: Graph, home: Home, keys: Sequence["dg.AssetKey"]) -> Run | None:
    """What a run over stations that all stand would come to; None where a run has to be launched.

    Args:
        graph: The project's.
        home: Its Dagster instance is read.
        keys: The stations selected.
    """
    import dagster as dg

    if not (home.path / "history").is_dir():
        return None
    steps = plan(graph, home, keys)
    if not all(step.stands for step in steps):
        return None
    with dg.DagsterInstance.get() as instance:
        recorded = _materializations(instance, keys, steps)
        if recorded is None:
            return None
        return _checked(graph, instance, recorded)


def _materializations(
    instance: "dg.DagsterInstance", keys: Sequence["dg.AssetKey"], steps: Sequence[Step]
) -> dict["dg.AssetKey", int] | None:
    """Storage id of each station's last materialization; None where Dagster knows one by another version, or not."""
    digests = {step.station: step.digest for step in steps}
    found: dict[dg.AssetKey, int] = {}
    for record in instance.get_asset_records(list(keys)):
        entry = record.asset_entry
        event, place = entry.last_materialization, entry.last_materialization_storage_id
        tags = event.asset_materialization.tags if event and event.asset_materialization else None
        if place is not None and tags and tags.get(_VERSION) == digests["/".join(entry.asset_key.path)]:
            found[entry.asset_key] = place
    return found if len(found) == len(set(keys)) else None


def _checked(graph: Graph, instance: "dg.DagsterInstance", recorded: dict["dg.AssetKey", int]) -> Run | None:
    every = graph.definitions.resolve_asset_graph().asset_check_keys
    wanted = [check for check in every if check.asset_key in recorded]
    red = []
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(wanted)
    for check in wanted:
        event = latest[check].event if check in latest else None
        found = event.asset_check_evaluation if event else None
        seen = found.target_materialization_data if found else None
        if found is None or seen is None or seen.storage_id != recorded[check.asset_key]:
            return None
        if not found.passed:
            red.append(red_check(found))
    if any(check.severity == "ERROR" for check in red):
        return None
    return Run(run_id="", finished=(), failures=(), not_reached=(), checks=len(wanted), red=tuple(red))
