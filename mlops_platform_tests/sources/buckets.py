"""A bucket of one test: S3 as moto serves it, in this process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer
from pyarrow.fs import S3FileSystem

NOWHERE = "http://127.0.0.1:9"
KEY, SECRET = "the-name-of-a-key", "the-secret-of-a-key"
_ACCOUNT = "123456789012"


class Bucket:
    """The bucket ``lake``, beside the door that the platform reads it through."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint, self._backend = endpoint, s3_backends[_ACCOUNT]["aws"]

    def put(self, key: str, data: bytes) -> None:
        self._backend.put_object("lake", key, data)

    def get(self, key: str) -> bytes:
        return bytes(self._backend.get_object("lake", key).value)

    def delete(self, key: str) -> None:
        self._backend.delete_object("lake", key)


@contextmanager
def served() -> Iterator[Bucket]:
    """A server with the bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    door = S3FileSystem(endpoint_override=endpoint, allow_bucket_creation=True, access_key="any", secret_key="any")
    door.create_dir("lake")
    yield Bucket(endpoint)
    server.stop()


def environment(patch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Names a store and who we are, as users do."""
    for name, value in {"ACCESS_KEY_ID": KEY, "SECRET_ACCESS_KEY": SECRET, "ENDPOINT_URL": endpoint}.items():
        patch.setenv(f"AWS_{name}", value)
    patch.setenv("AWS_REGION", "us-east-1")
    for name in ("PROFILE", "SESSION_TOKEN", "ENDPOINT_URL_S3"):
        patch.delenv(f"AWS_{name}", raising=False)


@contextmanager
def requests() -> Iterator[list[str]]:
    """What is asked of servers of this process meanwhile, such as ``GET /lake/a``."""
    heard: list[str] = []

    class Hears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage().partition('"')[2].partition(" HTTP/")[0])

    handler, logger = Hears(), logging.getLogger("werkzeug")
    logger.addHandler(handler)
    yield heard
    logger.removeHandler(handler)
