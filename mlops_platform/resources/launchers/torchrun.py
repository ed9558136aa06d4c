"""The launcher that starts several processes on this machine, by torchrun."""

import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from mlops_platform.resources.devices import gpus
from mlops_platform.resources.launchers import Launch
from mlops_platform.resources.launchers.near import run
from mlops_platform.resources.launchers.outcome import Ended, require_finished

_AGENT = "mlops_platform.training.program.torchrun"
_ENDED = "ended.json"


class TorchrunLauncher:
    """One process a device, each with a session of its own; torchrun's agent starts them and ends all if one fails.

    It starts none again: whoever asked for the training does, so that it goes on from what is saved, wherever it died.
    """

    near = True

    def gpus(self) -> Mapping[str, str]:
        """Those of this machine."""
        return gpus()

    def launch(self, context: dg.AssetExecutionContext, launch: Launch) -> tuple[Mapping[str, Any], ...]:
        """See ``Launcher``."""
        with tempfile.TemporaryDirectory(prefix="mlops-torchrun-") as folder:
            arguments = [
                "-m", _AGENT, f"--nproc-per-node={launch.devices}", "--standalone", "--local-addr=127.0.0.1",
                "--max-restarts=0", f"--shutdown-timeout={max(round(launch.grace_seconds), 1)}", f"--log-dir={folder}",
                "--module", launch.program, "--job", str(launch.job),
            ]  # fmt: skip
            code, messages = run(context, launch, arguments, _ENVIRONMENT)
            require_finished(code, messages, _ended(Path(folder) / _ENDED))
        return messages


# Gloo looks for the address of the host's name, which containers often cannot resolve.
_ENVIRONMENT = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}


def _ended(path: Path) -> tuple[Ended, ...]:
    """What the agent tells of processes that failed; nothing where all went well, or it was killed."""
    return tuple(Ended(**each) for each in json.loads(path.read_bytes())) if path.is_file() else ()
