"""What the tests of online stores share."""

from collections.abc import Iterator

import pytest

from mlops_platform_tests.online_store.redis_server import serving


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server's host:port."""
    with serving(tmp_path_factory.mktemp("redis")) as at:
        yield at
