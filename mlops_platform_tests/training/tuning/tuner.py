"""Tunes a shop in a process of its own, so that tests can kill it: ``python -m ... FOLDER``."""

import sys
from pathlib import Path

from mlops_platform.training.tuning.record import Trial
from mlops_platform.training.tuning.study import Study
from mlops_platform.training.tuning.trials import watchers
from mlops_platform_tests.training.tiny import Shop, network, project
from mlops_platform_tests.training.tuning.shops import TUNING, declared, tune


def _say(study: Study, trial: Trial) -> None:
    print(f"done {trial.number}", flush=True)


if __name__ == "__main__":
    from mlops_platform.resources.home import Home
    from mlops_platform.resources.refs import Refs

    watchers.append(_say)
    folder = Path(sys.argv[1])
    home = Home(folder / "home")
    made = Shop(home, Refs(home).read("shop/sells/dataset"), project(folder, network()))
    sys.exit(0 if tune(declared(made, tuning=TUNING)).success else 1)
