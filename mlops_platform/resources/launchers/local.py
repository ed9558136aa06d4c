"""The launcher that starts one process on this machine."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mlops_platform.resources.devices import gpus
from mlops_platform.resources.launchers import Launch
from mlops_platform.resources.launchers.near import run
from mlops_platform.resources.launchers.outcome import require_finished


class LocalLauncher:
    """A process of this machine, which ends with this one."""

    near = True

    def gpus(self) -> Mapping[str, str]:
        """Those of this machine."""
        return gpus()

    def launch(self, context: dg.AssetExecutionContext, launch: Launch) -> tuple[Mapping[str, Any], ...]:
        """See ``Launcher``."""
        code, messages = run(context, launch, ["-m", launch.program], {})
        require_finished(code, messages)
        return messages
