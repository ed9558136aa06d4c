"""One real study, through Dagster, that several tests look at."""

from collections.abc import Iterator

import dagster as dg
import pytest

from mlops_platform_tests.training.tiny import Shop
from mlops_platform_tests.training.tuning.shops import tune, tuning_shop


@pytest.fixture(scope="session")
def tuned_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop that declares a tuning; its environment variables are taken back afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLOPS_HOME", "DAGSTER_HOME", "MLOPS_ENV", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
            patch.delenv(name, raising=False)
        yield tuning_shop(tmp_path_factory.mktemp("tuned"))


@pytest.fixture(scope="session")
def tuned(tuned_shop: Shop) -> dg.ExecuteInProcessResult:
    """The run that tuned."""
    done = tune(tuned_shop)
    assert done.success
    return done
