"""Stands in for the training program where only its process matters: the same face, without torch.

What it does is in the job's file: ``{"rank": 1, "act": "refuse"}`` says which rank does what; the others finish, or
wait for each other as ranks of a training do.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from dagster_pipes import open_dagster_pipes

from mlops_platform.errors import TrainingError
from mlops_platform.training.program.leash import follow_parent
from mlops_platform.training.program.pulse import PULSE
from mlops_platform.training.program.rank import Rank


def main() -> int:
    """Acts as the job says."""
    follow_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", type=Path)
    path, rank = parser.parse_args().job, Rank.here()
    if rank.number > 0:
        return act(path, rank)
    with open_dagster_pipes() as pipes, PULSE.beating(pipes.report_custom_message, pipes.log.info):
        code = act(Path(pipes.get_extra("job")), rank)
        event = {0: {"event": "finished", "rows_per_second": 1.0}, 75: {"event": "stopped"}}.get(code)
        event = event or {"event": "failed", "required": "a good job", "found": "rank 0", "remedy": "mend it"}
        pipes.report_custom_message(event)
    return code


def act(path: Path, rank: Rank) -> int:
    """Does this rank's part, after it has noted its process id."""
    job = json.loads(path.read_text())
    Path(os.environ["STAND_IN_FOLDER"], f"pid-{rank.number}").write_text(str(os.getpid()))
    if job["rank"] != rank.number:
        return 0 if job["act"] == "finish" else wait()
    return ACTS[job["act"]](rank)


def wait() -> int:
    """What a rank does while another one is at work: nothing that ends by itself."""
    time.sleep(300)
    return 0


def refuse(rank: Rank) -> int:
    """A mistake of the user."""
    rank.fail(TrainingError(required="a good job", found=f"rank {rank.number}", remedy="mend it"))
    return 1


def crash(rank: Rank) -> int:
    """A mistake of ours."""
    try:
        raise ValueError("no such thing")
    except ValueError as error:
        rank.fail(error)
        raise


def kill(rank: Rank) -> int:
    """As the kernel ends what took too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def freeze(rank: Rank) -> int:
    """A process that does nothing any more, its threads neither."""
    os.kill(os.getpid(), signal.SIGSTOP)
    return 0


def deaf(rank: Rank) -> int:
    """A process with a child of its own, and both ignore requests to stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", "300"])
    Path(os.environ["STAND_IN_FOLDER"], "pid-child").write_text(str(child.pid))
    return wait()


ACTS = {
    "finish": lambda rank: 0, "wait": lambda rank: wait(), "save": lambda rank: 75,
    "refuse": refuse, "crash": crash, "kill": kill, "freeze": freeze, "deaf": deaf,
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(main())
