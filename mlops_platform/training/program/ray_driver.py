"""The entrypoint of a training's Ray job: ``python -m mlops_platform.training.program.ray_driver --job job.json``.

A placement group reserves one bundle on each of as many nodes as the job asks for, all of a node's devices in it. An
actor in each bundle runs the node's processes (see ``group``, also for the folder).
"""

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from mlops_platform.errors import PlatformError, TrainingError
from mlops_platform.training.program.group import Ended, Group, Recall, note

REFUSED = "MLOPS-REFUSED "
_POLL_SECONDS = 0.5
_LOST = Ended(-1, -signal.SIGKILL)


def main() -> int:
    """Runs the job's processes; 0 when all ended well."""
    asked = _arguments()
    try:
        if not asked.job.is_file():
            raise _unseen({"the node of the job's driver": [str(asked.job)]})
        ray.init(log_to_driver=False, configure_logging=False)
        # After Ray has set its own handler.
        recall = Recall(asked.folder, asked.orphan)
        group = _reserved(asked, recall)
        nodes = [_actor(group, place, asked.grace) for place in range(asked.nodes)]
        _require_shared(nodes, asked.job)
        ended = _run(nodes, _address(group), asked, recall)
    except PlatformError as error:
        print(REFUSED + json.dumps({"required": error.required, "found": error.found, "remedy": error.remedy}))
        return 1
    except RayError as error:
        print(f"a node is lost: {error}", flush=True)
        ended = [_LOST]
    print(f"exit codes by rank, as they came: {ended}", flush=True)
    return note(asked.folder, ended)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="what passes between here and who submitted the job")
    parser.add_argument("--program", required=True, help="module that each process runs")
    parser.add_argument("--accelerator", choices=("cpu", "cuda"), required=True)
    for name in ("nodes", "devices", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--wait", type=float, required=True, help="seconds to wait for nodes")
    parser.add_argument("--grace", type=float, required=True, help="seconds from the request to stop to the kill")
    parser.add_argument("--orphan", type=float, required=True, help="seconds without a sign of who submitted the job")
    return parser.parse_args()


def _reserved(asked: argparse.Namespace, recall: Recall) -> PlacementGroup:
    """One bundle on each node, once there is room for all of them."""
    processors = float(asked.devices * asked.threads)
    bundle = {"CPU": processors, **({"GPU": float(asked.devices)} if asked.accelerator == "cuda" else {})}
    group = placement_group([bundle] * asked.nodes, strategy="STRICT_SPREAD")
    print(f"waiting for {asked.nodes} node(s) with {bundle} each; there are {_there()}", flush=True)
    deadline = time.monotonic() + asked.wait
    while not group.wait(_POLL_SECONDS):
        if recall.over() or time.monotonic() > deadline:
            raise TrainingError(
                required=f"{asked.nodes} node(s) of the Ray cluster with {bundle} free on each",
                found=f"{_there()}, within {asked.wait:g} s",
                remedy="declare fewer nodes, devices or threads, or raise wait_seconds in clusters.toml",
            )
    return group


def _actor(group: PlacementGroup, place: int, grace: float) -> Any:
    where, bundle = PlacementGroupSchedulingStrategy(group, place), group.bundle_specs[place]
    # Several calls at once, so that ``stop`` is heard while ``run`` waits.
    options = {"num_cpus": bundle["CPU"], "num_gpus": bundle.get("GPU", 0), "max_concurrency": 4}
    return ray.remote(Group).options(scheduling_strategy=where, **options).remote(grace)


def _address(group: PlacementGroup) -> str:
    """Of the node that holds the first bundle."""
    node = placement_group_table(group)["bundles_to_node_id"][0]
    return next(n["NodeManagerAddress"] for n in ray.nodes() if n["NodeID"] == node)


def _there() -> str:
    alive = [node for node in ray.nodes() if node["Alive"]]
    each = (f"{n['NodeManagerAddress']} with " + ", ".join(
        f"{name} {n['Resources'].get(name, 0):g}" for name in ("CPU", "GPU")) for n in alive)  # fmt: skip
    return f"{len(alive)} node(s): {'; '.join(each)}"


def _require_shared(nodes: list[Any], path: Path) -> None:
    job = json.loads(path.read_bytes())
    named = [job.get(name) for name in ("train", "validation", "context", "output")]
    needed = [str(path), *filter(None, (*named, (job.get("start") or {}).get("folder")))]
    answers = ray.get([node.missing.remote(needed) for node in nodes])
    unseen = {f"node {place}": paths for place, paths in enumerate(answers) if paths}
    if unseen:
        raise _unseen(unseen)


def _unseen(unseen: dict[str, list[str]]) -> TrainingError:
    return TrainingError(
        required="the job's file and the files it names on every node, at the paths they have where Dagster runs",
        found="; ".join(f"{node} does not see {', '.join(paths)}" for node, paths in unseen.items()),
        remedy="put the home (MLOPS_HOME) on a filesystem that all nodes mount at that same path",
    )  # fmt: skip


def _run(nodes: list[Any], address: str, asked: argparse.Namespace, recall: Recall) -> list[Ended]:
    """The processes as they ended; of a node that is lost, rank -1 and a kill."""
    meet = address, ray.get(nodes[0].free_port.remote())
    world = asked.devices * asked.nodes
    running = {}
    for place, node in enumerate(nodes):
        ranks = list(range(place * asked.devices, (place + 1) * asked.devices))
        answer = node.run.remote(asked.program, str(asked.job), str(asked.folder), ranks, world, meet)
        running[answer] = node
    ended: list[Ended] = []
    deadline: float | None = None
    while running:
        done, _ = ray.wait(list(running), timeout=_POLL_SECONDS)
        for answer in done:
            del running[answer]
            ended += _codes(answer)
        if deadline is None and (recall.over() or any(each.code != 0 for each in ended)):
            deadline = time.monotonic() + 2 * asked.grace
            # Kept, since an answer that nobody keeps is an error that nobody hears of.
            stops = [node.stop.remote() for node in running.values()]
            ray.wait(stops, num_returns=len(stops), timeout=asked.grace) if stops else None
        elif deadline is not None and time.monotonic() > deadline:
            ended += [_LOST] * len(running)
            for node in running.values():
                ray.kill(node)
            break
    return ended


def _codes(answer: Any) -> list[Ended]:
    try:
        return [Ended(*each) for each in ray.get(answer)]
    except RayError as error:
        print(f"a node is lost: {error}", file=sys.stderr, flush=True)
        return [_LOST]


if __name__ == "__main__":
    sys.exit(main())
