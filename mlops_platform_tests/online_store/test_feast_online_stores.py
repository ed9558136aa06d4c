"""Our store, Feast's own and Feast's Redis keep one contract, and where they differ it is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from mlops_platform.online_store.packed import FEAST_TYPE
from mlops_platform_tests.contracts.online_stores import OnlineCase, Store, online_cases

OURS = Store(name="packed", settings={"type": FEAST_TYPE, "path": "{folder}/packed.db"}, keeps="event and created",
             enforces_ttl=True, microseconds=True, asynchronous=True)  # fmt: skip
SQLITE = Store(name="sqlite", settings={"type": "sqlite", "path": "{folder}/sqlite.db"})
REDIS = Store(name="redis", settings={"type": "redis"}, keeps="event", microseconds=True, asynchronous=True,
              tells_missing=False)  # fmt: skip


@pytest.mark.parametrize("case", online_cases(OURS, SQLITE), ids=str)
def test_stores_of_a_file_keep_the_contract(case: OnlineCase, tmp_path: Path) -> None:
    case.require(tmp_path)


@pytest.mark.parametrize("case", online_cases(REDIS), ids=str)
def test_redis_keeps_the_contract(case: OnlineCase, tmp_path: Path, redis_server: str) -> None:
    settings = {**case.store.settings, "connection_string": redis_server}
    replace(case, store=replace(case.store, settings=settings)).require(tmp_path)
