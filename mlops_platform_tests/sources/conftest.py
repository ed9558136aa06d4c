"""Landings that the tests of the sensor share."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256

import dagster as dg
import pytest

from mlops_platform.resources.home import Home
from mlops_platform_tests.sources.buckets import Bucket, environment, served
from mlops_platform_tests.sources.ticks import Disk, Place, Prefix, Ticks


@pytest.fixture(scope="session")
def _server() -> Iterator[Bucket]:
    with served() as bucket:
        yield bucket


@pytest.fixture
def bucket(_server: Bucket, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Prefix:
    """A prefix of its own for one test, which is then the landing."""
    prefix = sha256(request.node.nodeid.encode()).hexdigest()[:12]
    environment(monkeypatch, _server.endpoint)
    monkeypatch.setenv("MLOPS_LANDING", f"s3://lake/{prefix}")
    return Prefix(_server, prefix)


@pytest.fixture
def on_disk(home: Home, use_home: Callable) -> Iterator[Ticks]:
    """The sensor over the home's own landing."""
    with sensor(home, use_home, Disk(home)) as ticks:
        yield ticks


@pytest.fixture
def on_bucket(home: Home, use_home: Callable, bucket: Prefix) -> Iterator[Ticks]:
    """The sensor over a prefix of a bucket."""
    with sensor(replace(home, landing_at=os.environ["MLOPS_LANDING"]), use_home, bucket) as ticks:
        yield ticks


@pytest.fixture(params=["on_disk", "on_bucket"])
def ticks(request: pytest.FixtureRequest) -> Ticks:
    """The sensor over either: what holds of one holds of both."""
    return request.getfixturevalue(request.param)


@contextmanager
def sensor(home: Home, use_home: Callable, place: Place) -> Iterator[Ticks]:
    """The sensor, in a process that knows the home."""
    with dg.instance_for_test() as instance:
        use_home(home.path)
        yield Ticks(home, instance, place)
