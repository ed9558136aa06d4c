"""A code location of one asset, whose two trainers do nothing until they are ended."""

import os
from pathlib import Path

import dagster as dg

from mlops_platform_tests.resources.launching import launching

defs = dg.Definitions(
    assets=[launching(Path(os.environ["STAND_IN_FOLDER"]), "torchrun", 2, 1, "deaf", grace_seconds=1.0)],
    jobs=[dg.define_asset_job("training")], executor=dg.in_process_executor,
)  # fmt: skip
