"""torchrun with one word more: how each process ended, as a file that the launcher reads.

``python -m mlops_platform.training.program.torchrun`` takes torchrun's own arguments; ``--log-dir`` receives
``ended.json``.
"""

import json
import sys
from pathlib import Path
from signal import SIGKILL
from typing import Any

from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.run import parse_args, run


def main() -> int:
    """0 when every process ended well, 1 when one did not, 128 and a signal's number when one stopped this agent."""
    arguments = parse_args(sys.argv[1:])
    try:
        run(arguments)
    except ChildFailedError as error:
        # Whole seconds are all that torchrun notes, and who was killed is never a consequence.
        failures = sorted(error.failures.items(), key=lambda item: (item[1].exitcode != -SIGKILL, item[1].timestamp))
        told = [{"rank": rank, "code": failure.exitcode, "said": _said(failure)} for rank, failure in failures]
        (Path(arguments.log_dir) / "ended.json").write_text(json.dumps(told), encoding="utf-8")
        return 1
    except SignalException as stopped:
        return 128 + int(stopped.sigval)
    return 0


def _said(failure: ProcessFailure) -> dict[str, Any]:
    """What a process wrote before it went; see ``rank.Rank.fail``."""
    message = failure.message
    return dict(message.get("said", {})) if isinstance(message, dict) else {}


if __name__ == "__main__":
    sys.exit(main())
