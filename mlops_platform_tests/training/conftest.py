"""One real training, through Dagster, that several tests look at."""

from collections.abc import Iterator

import dagster as dg
import pytest

from mlops_platform.resources.artifacts import Artifact
from mlops_platform_tests.training.tiny import Shop, network, shop


@pytest.fixture(scope="session")
def tiny_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A shop whose environment variables are taken back afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLOPS_HOME", "DAGSTER_HOME", "MLOPS_ENV", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
            patch.delenv(name, raising=False)
        yield shop(tmp_path_factory.mktemp("shop"), network())


@pytest.fixture(scope="session")
def trained(tiny_shop: Shop) -> dg.ExecuteInProcessResult:
    """The run that trained."""
    return tiny_shop.materialize()


@pytest.fixture(scope="session")
def checkpoint(tiny_shop: Shop, trained: dg.ExecuteInProcessResult) -> Artifact:
    """What it left."""
    assert trained.success
    found = tiny_shop.checkpoint()
    assert found is not None
    return found
