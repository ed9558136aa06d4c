"""The program's face: told by Dagster Pipes which job to do, or by hand with ``--job job.json``.

Of several processes each does the same job, by torchrun's variables; only the first one speaks to Dagster.
"""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, open_dagster_pipes

from mlops_platform.errors import RESUME_ME, OutOfMemoryError, PlatformError
from mlops_platform.training.job import Job
from mlops_platform.training.program.leash import follow_parent
from mlops_platform.training.program.pulse import PULSE
from mlops_platform.training.program.rank import Rank
from mlops_platform.training.program.stop import STOP, StoppedError
from mlops_platform.training.record import Epoch


def main() -> int:
    """Does one job; 0 when its files are written, 1 on a mistake of the user, 75 when it is saved and was to stop."""
    STOP.listen()
    follow_parent()
    parser = argparse.ArgumentParser(prog="python -m mlops_platform.training.program", description=__doc__)
    parser.add_argument("--job", type=Path, help="job file to do; else Dagster Pipes tells it")
    job, rank = parser.parse_args().job, Rank.here()
    by_hand = rank.number > 0 or DAGSTER_PIPES_CONTEXT_ENV_VAR not in os.environ
    if by_hand and job is None:
        parser.error("--job is needed, since Dagster Pipes tells of none")
    if rank.number > 0:
        return _work(job, rank, lambda text: None, lambda message: None)
    if by_hand:
        return _work(job, rank, lambda text: print(text, flush=True), lambda message: None)
    with open_dagster_pipes() as pipes, PULSE.beating(pipes.report_custom_message, pipes.log.info):
        return _work(Path(pipes.get_extra("job")), rank, pipes.log.info, pipes.report_custom_message)


def _work(job: Path, rank: Rank, say: Callable[[str], None], send: Callable[[dict[str, Any]], None]) -> int:
    def report(epoch: Epoch) -> None:
        losses = f"train {epoch.train_loss:.5f} validation {epoch.validation_loss:.5f}"
        what, value = epoch.figure
        say(f"epoch {epoch.epoch + 1}: loss {losses}, {what} {value:.5f}")
        send({"event": "epoch", **epoch.to_json()})

    # Seconds of imports: by now the launcher hears a pulse, and a launcher that died is followed.
    from mlops_platform.training.program.fit import train
    from mlops_platform.training.program.trials import run_trials

    try:
        told = Job.read(job)
        if told.trials is not None:
            send({"event": "finished", "trials": run_trials(told.trials, leads=rank.number == 0, say=say)})
            return 0
        done = train(told, report, say)
    except StoppedError as stopped:
        say(str(stopped))
        send({"event": "stopped", "step": stopped.step})
        return RESUME_ME
    except PlatformError as error:
        said = {"required": error.required, "found": error.found, "remedy": error.remedy}
        ran_out = isinstance(error, OutOfMemoryError)
        send({"event": "failed", **said, "check": getattr(error, "check", None), "out_of_memory": ran_out})
        rank.fail(error)
        return 1
    except Exception as error:
        rank.fail(error)
        raise
    if done is None:
        return 0
    training, timing = done
    say(f"best epoch {training.best_epoch + 1}, {timing.rows_per_second:,.0f} rows/s")
    send({"event": "finished", **asdict(timing)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
