"""The program's face: told by Dagster Pipes which job to do, or by hand with ``--job job.json``."""

import argparse
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from dagster_pipes import open_dagster_pipes

from mlops_platform.errors import PlatformError
from mlops_platform.training.job import Job
from mlops_platform.training.program.fit import train
from mlops_platform.training.program.leash import follow_parent
from mlops_platform.training.record import Epoch


def main() -> int:
    """Does one job; 0 when the checkpoint's files are written, 1 on a mistake of the user."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    follow_parent()
    parser = argparse.ArgumentParser(prog="python -m mlops_platform.training.program", description=__doc__)
    parser.add_argument("--job", type=Path, help="job file to do without Dagster")
    arguments = parser.parse_args()
    if arguments.job is not None:
        return _work(arguments.job, lambda text: print(text, flush=True), lambda message: None)
    with open_dagster_pipes() as pipes:
        return _work(Path(pipes.get_extra("job")), pipes.log.info, pipes.report_custom_message)


def _work(job: Path, say: Callable[[str], None], send: Callable[[dict[str, Any]], None]) -> int:
    def report(epoch: Epoch) -> None:
        losses = f"train {epoch.train_loss:.5f} validation {epoch.validation_loss:.5f}"
        what, value = epoch.figure
        say(f"epoch {epoch.epoch + 1}: loss {losses}, {what} {value:.5f}")
        send({"event": "epoch", **epoch.to_json()})

    try:
        training, timing = train(Job.read(job), report)
    except PlatformError as error:
        said = {"required": error.required, "found": error.found, "remedy": error.remedy}
        send({"event": "failed", **said, "check": getattr(error, "check", None)})
        print(error, file=sys.stderr)
        return 1
    say(f"best epoch {training.best_epoch + 1}, {timing.rows_per_second:,.0f} rows/s")
    send({"event": "finished", **asdict(timing)})
    return 0


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
