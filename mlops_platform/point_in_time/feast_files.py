"""Parquet files at a place, on this machine or on an object store: what is there, and writing files whole."""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem, S3FileSystem

from mlops_platform.point_in_time.errors import PointInTimeError

_COPY_BYTES = 8 * 2**20
_S3_SETTINGS = {
    "aws_access_key_id": "access_key",
    "aws_secret_access_key": "secret_key",
    "aws_session_token": "session_token",
    "aws_default_region": "region",
    "aws_region": "region",
    "aws_endpoint_url": "endpoint_override",
}


def is_remote(location: str) -> bool:
    """Return whether a location is a URI of an object store and not a path of this machine."""
    return "://" in location


def new_file_name() -> str:
    """Return a name for a new file of a folder: files are read by name, and this one sorts after all older ones."""
    return f"zz-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"


class Place:
    """A file or a folder at an absolute path or a URI."""

    def __init__(self, location: str, options: Mapping[str, str] | None = None) -> None:
        """Name a place; nothing is read.

        Args:
            location: An absolute path, or a URI such as `s3://bucket/folder`.
            options: Storage options as polars and deltalake take them; None means the environment's.

        Raises:
            PointInTimeError: A URI of a kind of store that Arrow does not write to.
        """
        self.location = location.rstrip("/")
        self.remote = is_remote(location)
        self._files, self._root = _filesystem(self.location, options or {})

    def exists(self) -> bool:
        """Return whether a file or a folder is there."""
        return self._files.get_file_info(self._root).type != FileType.NotFound

    def is_folder(self) -> bool:
        """Return whether the place is a folder; on an object store its name decides, and may end in `.parquet`."""
        return not self.location.endswith(".parquet") if self.remote else Path(self.location).is_dir()

    def parquet_files(self) -> list[str]:
        """Return the paths, below the place, of all Parquet files in it and in its folders, in the order of reading."""
        found = self._files.get_file_info(FileSelector(self._root, recursive=True, allow_not_found=True))
        start = len(self._root) + 1
        return sorted(info.path[start:] for info in found if info.is_file and info.path.endswith(".parquet"))

    def fingerprint(self) -> tuple[tuple[str, int, int], ...]:
        """Return path, size and time of change of each Parquet file: equal as long as none was written anew."""
        root = self._files.get_file_info(self._root)
        found = [root]
        if root.type == FileType.Directory or (self.remote and not root.is_file):
            found = self._files.get_file_info(FileSelector(self._root, recursive=True, allow_not_found=True))
        files = [info for info in found if info.is_file and (info is root or info.path.endswith(".parquet"))]
        return tuple(sorted((info.path, info.size or 0, info.mtime_ns or 0) for info in files))

    def read(self, name: str = "") -> pa.Table:
        """Return one file: the place itself, or the one of that name below it."""
        return pq.read_table(self._path(name), filesystem=self._files, partitioning=None)

    def schema(self, name: str = "") -> pa.Schema:
        """Return the Arrow schema of one file."""
        return pq.read_schema(self._path(name), filesystem=self._files)

    def write(self, tables: Mapping[str, pa.Table]) -> None:
        """Write files by their names below the place ("" is the place itself); each appears whole or not at all.

        On this machine all are written beside their places before the first is renamed; a store takes each in one
        request that is complete or nothing.
        """
        if self.remote:
            for name, table in tables.items():
                sink = pa.BufferOutputStream()
                pq.write_table(table, sink)
                with self._files.open_output_stream(self._path(name)) as stream:
                    stream.write(sink.getvalue())
            return
        drafts: dict[Path, Path] = {}
        for name, table in tables.items():
            target = Path(self._path(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            drafts[target] = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            pq.write_table(table, drafts[target])
        for target, draft in drafts.items():
            os.replace(draft, target)

    def replace(self, parts: Iterable[pa.Table]) -> None:
        """Put rows in place of whatever is there: one file if the name ends in `.parquet`, else a folder with one.

        A file is replaced in one step. A folder is not: it is missing for a moment, and a process killed then leaves
        it so.
        """
        if self.location.endswith(".parquet") and (self.remote or not Path(self.location).is_dir()):
            self._put("", parts)
        elif self.remote:
            if self.exists():
                self._files.delete_dir_contents(self._root, missing_dir_ok=True)
            self._put("part-0.parquet", parts)
        else:
            self._replace_local(parts)

    def _put(self, name: str, parts: Iterable[pa.Table]) -> None:
        """Write one file; it grows in a draft on this machine, and appears whole."""
        if not self.remote:
            target = Path(self._path(name))
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
            _write_parts(draft, parts)
            os.replace(draft, target)
            return
        with tempfile.NamedTemporaryFile(suffix=".parquet") as draft_file:
            _write_parts(Path(draft_file.name), parts)
            with self._files.open_output_stream(self._path(name)) as stream:
                shutil.copyfileobj(draft_file, stream, _COPY_BYTES)

    def _replace_local(self, parts: Iterable[pa.Table]) -> None:
        target = Path(self.location)
        draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
        Place(str(draft))._put("" if target.suffix == ".parquet" else "part-0.parquet", parts)
        if target.is_dir():
            shutil.rmtree(target)
        elif draft.is_dir():
            target.unlink(missing_ok=True)
        os.replace(draft, target)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root


def _write_parts(file: Path, parts: Iterable[pa.Table]) -> None:
    try:
        writer = None
        for part in parts:
            writer = writer or pq.ParquetWriter(file, part.schema)
            writer.write_table(part)
        if writer is not None:
            writer.close()
    except BaseException:  # a killed or failed retrieval leaves no half-written file
        file.unlink(missing_ok=True)
        raise


def _filesystem(location: str, options: Mapping[str, str]) -> tuple[FileSystem, str]:
    if not is_remote(location):
        return LocalFileSystem(), location
    scheme, _, path = location.partition("://")
    if scheme in ("s3", "s3a"):
        settings = {_S3_SETTINGS[name]: value for name, value in options.items() if name in _S3_SETTINGS}
        return S3FileSystem(**settings), path
    try:
        return FileSystem.from_uri(location)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as found:
        raise PointInTimeError(
            f"{location}: required is a local path or a URI of a store that Arrow writes to (s3, gs, abfss, hdfs); "
            f"found {scheme}: {found}"
        ) from found
