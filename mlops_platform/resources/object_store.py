"""Object stores: S3 and whatever speaks its protocol, through Arrow's client behind ``universal_pathlib``.

Who we are, where and which region is said by the usual variables: ``AWS_ACCESS_KEY_ID`` and its kin or a profile or the
machine's role, ``AWS_ENDPOINT_URL``, ``AWS_REGION``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from fsspec.implementations.arrow import ArrowFile, ArrowFSWrapper
from pyarrow.fs import AwsStandardS3RetryStrategy, FileSelector, FileType, S3FileSystem
from upath import UPath

from mlops_platform.errors import StoreError
from mlops_platform.resources.artifacts import write_whole

_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_REFUSED = (
    "ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_CLIENT_TOKEN_ID",
    "UNRECOGNIZED_CLIENT", "MISSING_AUTHENTICATION_TOKEN", "INVALID_SIGNATURE", "REQUEST_EXPIRED",
    "ExpiredToken", "InvalidToken", "HTTP status 401", "HTTP status 403",
)  # fmt: skip
# A sensor's tick has sixty seconds: a store that does not answer is given up well before.
_CONNECT_SECONDS, _REQUEST_SECONDS, _ATTEMPTS = 5, 15, 2


class Facts(NamedTuple):
    """What a listing says of an object.

    Attributes:
        name: The last part of its key.
        size: In bytes.
        modified: When it was written, in nanoseconds; S3 counts whole seconds.
    """

    name: str
    size: int
    modified: int


class Opened(NamedTuple):
    """An object about to be read.

    Attributes:
        stream: Of its bytes.
        size: In bytes.
        modified: When it was written, in whole seconds.
        tag: Its ETag, another one for other bytes.
    """

    stream: Any
    size: int
    modified: int
    tag: str


class ObjectStore(ArrowFSWrapper):
    """The store that the environment names, as ``fsspec`` has it; what it refuses is told without any secret."""

    cachable = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        # fsspec's own takes a name with # or ? for a URL with a fragment or a query.
        return str(path).removeprefix("s3://").rstrip("/")

    def _open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> "_File":
        with _refusals(path):
            if mode == "rb":
                return _File(self, self.fs.open_input_file(path), path, mode, None)
            return _File(self, self.fs.open_output_stream(path, compression=None), path, mode, None)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """What the store says of one key."""
        with _refusals(path):
            return dict(super().info(path, **options))


class _File(ArrowFile):
    def read(self, *arguments: Any) -> bytes:
        with _refusals(self.path):
            return bytes(self.stream.read(*arguments))

    def close(self) -> None:
        with _refusals(self.path):
            self.stream.close()


def object_path(uri: str) -> UPath:
    """A key, or a prefix of keys, ``s3://bucket/prefix``.

    Raises:
        StoreError: It names no bucket, or more than a bucket and a prefix.
    """
    bucket, _, _ = uri.removeprefix("s3://").partition("/")
    # Neither is repeated in the error: what precedes an @ may be a key, and what follows a ? too.
    if not bucket or "@" in bucket or "?" in uri:
        raise StoreError(required="s3://BUCKET/PREFIX, without credentials or options", found="another form",
                         remedy="put credentials into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile, the "
                                "endpoint into AWS_ENDPOINT_URL")  # fmt: skip
    path = UPath(uri.rstrip("/"))
    # Not registered with fsspec as its "s3": code beside ours may want another client there.
    path._fs_cached = ObjectStore(_client(*(os.environ.get(name) or None for name in _CHOSEN_BY)))
    return path


_CHOSEN_BY = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
              "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE")  # fmt: skip


@lru_cache(maxsize=4)
def _client(special: str | None, endpoint: str | None, region: str | None, default: str | None, *_: str | None) -> Any:
    """One client for one environment; it finds the credentials itself."""
    options = {"endpoint_override": special or endpoint, "region": region or default}
    return S3FileSystem(
        connect_timeout=_CONNECT_SECONDS, request_timeout=_REQUEST_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        **{name: value for name, value in options.items() if value},
    )  # fmt: skip


def listed_objects(folder: UPath) -> list[Facts]:
    """The objects right below a prefix, a thousand with each request; none where nothing has that prefix.

    Raises:
        StoreError: The store does not answer, refuses, or has no such bucket.
    """
    with _refusals(folder.path):
        try:
            # Were a missing prefix allowed, a missing bucket would be taken for an empty one.
            found = folder.fs.fs.get_file_info(FileSelector(folder.path, allow_not_found=False))
        except FileNotFoundError:
            return []
    return [Facts(info.base_name, info.size, info.mtime_ns) for info in found if info.type is FileType.File]


@contextmanager
def opened(path: UPath) -> Iterator[Opened]:
    """Opens an object for reading.

    Raises:
        FileNotFoundError: It is gone.
        StoreError: The store does not answer, or refuses.
    """
    with _refusals(path.path), path.fs.fs.open_input_file(path.path) as stream:
        told = {name.lower(): value.decode() for name, value in stream.metadata().items()}
        modified = datetime.fromisoformat(told["last-modified"])
        yield Opened(stream, stream.size(), int(modified.timestamp()), told["etag"])


def put(path: Path | UPath, data: bytes) -> None:
    """Writes a file, or an object, that nobody ever sees in part."""
    if isinstance(path, Path):
        write_whole(path, data, replace=True)
    else:
        path.write_bytes(data)


@contextmanager
def _refusals(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refusal(path, str(error)) from None


def _refusal(path: str, said: str) -> StoreError:
    bucket, found = path.partition("/")[0], _without_secrets(said)
    if "NO_SUCH_BUCKET" in said:
        return StoreError(required=f"the bucket {bucket}", found=found,
                          remedy="make it, or correct the s3:// URI (MLOPS_LANDING)")  # fmt: skip
    if any(mark in said for mark in _REFUSED):
        return StoreError(required=f"credentials that may use the bucket {bucket}", found=found,
                          remedy="export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE")  # fmt: skip
    return StoreError(required=f"an object store that answers for s3://{path}", found=found,
                      remedy="look at the network, AWS_ENDPOINT_URL and AWS_REGION, then try again")  # fmt: skip


def _without_secrets(said: str) -> str:
    for name in _SECRETS:
        if value := os.environ.get(name):
            said = said.replace(value, f"<{name}>")
    return " ".join(said.split())
