"""Stands in for the training program where its variables and its logs matter: says where it runs, without torch."""

import argparse
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext, open_dagster_pipes

from mlops_platform.training.program.leash import follow_parent
from mlops_platform.training.program.rank import Rank

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS", "TOKEN", "BUCKET")


@contextlib.contextmanager
def pipes_of(rank: int) -> Iterator[PipesContext | None]:
    """Dagster Pipes, for rank 0."""
    if rank != 0:
        yield None
    else:
        with open_dagster_pipes() as pipes:
            yield pipes


def main() -> int:
    """Does what the job's file says of this rank: ``{"wait": 0, "fails": 1}``, and so on."""
    follow_parent()
    parser = argparse.ArgumentParser()
    parser.add_argument("--job", type=Path)
    path, rank = parser.parse_args().job, Rank.here().number
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(75))
    job: dict[str, Any] = json.loads(path.read_bytes())
    print(f"rank {rank} prints", flush=True)
    with pipes_of(rank) as pipes:
        if pipes is not None:
            pipes.log.info("rank 0 logs")
        told = {name: os.environ.get(name) for name in NAMES}
        whole = path.parent / f"{rank}.json"
        whole.with_suffix(".half").write_text(json.dumps({**told, "pid": os.getpid(), "node": os.getppid()}))
        whole.with_suffix(".half").rename(whole)
        if job.get("wait") == rank:
            time.sleep(60)
        if job.get("fails") == rank:
            Rank.here().fail(ValueError("no such thing"))
            return 1
        if job.get("saves") == rank:
            return 75
        if job.get("killed") == rank:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.get("frozen") == rank:
            os.kill(os.getpid(), signal.SIGSTOP)
        if pipes is not None:
            pipes.report_custom_message({"event": "finished", "rank": rank})
    return 0


if __name__ == "__main__":
    sys.exit(main())
