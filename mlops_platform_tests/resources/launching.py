"""A run of one asset that launches the stand-in program: ``launching.py FOLDER LAUNCHER RANKS RANK ACT``, or called."""

import json
import os
import sys
from pathlib import Path

import dagster as dg

from mlops_platform.resources.devices import lease
from mlops_platform.resources.launchers import Launch, launcher

PROGRAM = "mlops_platform_tests.resources.stand_in"


def run(folder: Path, name: str, ranks: int, rank: int, act: str, **limits: float) -> dg.ExecuteInProcessResult:
    """Launches the stand-in in this process; arguments as of ``launching``."""
    return dg.materialize([launching(folder, name, ranks, rank, act, **limits)], raise_on_error=False)


def launching(folder: Path, name: str, ranks: int, rank: int, act: str, **limits: float) -> dg.AssetsDefinition:
    """An asset that launches the stand-in on leased devices.

    Args:
        folder: Receives the job, the process ids of the ranks and, under ``leases``, the locks.
        name: Of the launcher.
        ranks: How many processes.
        rank, act: Which of them does what; see ``stand_in``.
        limits: Seconds, as of ``Launch``.
    """
    os.environ["STAND_IN_FOLDER"] = str(folder)
    job = folder / "job.json"
    job.write_text(json.dumps({"rank": rank, "act": act}))
    beat = {"MLOPS_HEARTBEAT_SECONDS": "0.2", "OMP_NUM_THREADS": "1"}

    @dg.asset(key=["shop", "sells", "checkpoint"])
    def checkpoint(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        devices = [str(index) for index in range(ranks)]
        with lease(folder / "leases", "cuda", devices, ranks, wait_seconds=0, run_id=context.run.run_id,
                   model="shop/sells") as held:  # fmt: skip
            launch = Launch(job=job, devices=ranks, env=beat, hold=held.handles, program=PROGRAM, **limits)
            messages = launcher(name).launch(context, launch)
        return dg.MaterializeResult(metadata={"messages": dg.MetadataValue.json(list(messages))})

    return checkpoint


if __name__ == "__main__":
    run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5], grace_seconds=1.0)
