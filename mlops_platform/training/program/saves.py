"""The folder of saves of one training: each save whole, known by its digests, and the newest good one found again.

step-000000123-epoch-00002/state.pt     what the processes share
step-000000123-epoch-00002/rank-0.pt    what each has of its own: its random number generators
step-000000123-epoch-00002/shard-0.pt   where the network is sharded: the part of weights and optimizer of each process
step-000000123-epoch-00002/save.json    written last: of which training and step it is, and each file's digest
attempts/0001.json                      what each attempt at the training has spent
lock                                    held by whoever writes here
"""

import fcntl
import hashlib
import json
import os
import pickle
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import torch

from mlops_platform.errors import CorruptArtifactError, TrainingError
from mlops_platform.manifest import digest_file, short
from mlops_platform.resources.artifacts import sync
from mlops_platform.resources.locks import WRITER
from mlops_platform.training.attempts import save_name, saved
from mlops_platform.training.program.shards import file_of, whole

FORMAT = 1
RECORD, STATE = "save.json", "state.pt"
_WRITING, _REFUSED = ".writing-", ".refused-"
_LOCK_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Save:
    """What ``save.json`` says.

    Attributes:
        identity: Of the training.
        step, steps, epoch, delivered: Its place.
        processes: How many it ran as.
        attempt: Number of the attempt that wrote it.
        seconds: What that attempt had spent by then, by part.
        files: Digest of each file.
        format: Of the folder.
    """

    identity: str
    step: int
    steps: int
    epoch: int
    delivered: int
    processes: int
    attempt: int
    seconds: Mapping[str, float]
    files: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT


class Saves:
    """The saves of one training.

    Attributes:
        folder: Where.
        identity: Of the training; saves of another one are refused.
    """

    def __init__(self, folder: Path, identity: str, *, keep: int, say: Callable[[str], None]) -> None:
        """Makes the folder.

        Args:
            folder: Where.
            identity: Of the training.
            keep: How many saves stay.
            say: Hears why a save is refused.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.identity = folder, identity
        self._keep, self._say = keep, say
        self._lock: BinaryIO | None = None

    def hold(self) -> None:
        """Keeps every other writer off until this process is gone, and removes what dead ones had begun to write.

        Raises:
            TrainingError: Another process holds the folder.
        """
        self._lock = (self.folder / WRITER).open("wb")
        until = time.monotonic() + _LOCK_SECONDS
        while not _locked(self._lock):
            if time.monotonic() > until:
                raise TrainingError(
                    required=f"to be the only training that saves in {self.folder}", found="another that still does",
                    remedy="end that process, or wait for it: the artifact it makes is the one that is wanted",
                )  # fmt: skip
            time.sleep(0.1)
        for begun in self.folder.glob(f"{_WRITING}*"):
            shutil.rmtree(begun)

    def write(
        self, save: Save, states: Mapping[str, Any], parts: Callable[[Path], Mapping[str, str]] | None = None
    ) -> Path:
        """Writes a save, which is there whole or not at all, and removes those that are not kept any more.

        Args:
            save: What it is of.
            states: What each file holds: nested tensors and plain values.
            parts: Puts more files into a folder and tells their digests; see ``shards.Handing``.
        """
        draft = self.folder / f"{_WRITING}{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        files = {name: written(draft / name, state) for name, state in states.items()}
        files |= parts(draft) if parts is not None else {}
        record = json.dumps({**asdict(save), "files": files}, indent=1).encode()
        with (draft / RECORD).open("wb") as file:
            file.write(record)
            _synced(file)
        sync(draft)
        path = self.folder / save_name(save.step, save.epoch)
        draft.rename(path)
        sync(self.folder)
        for name in saved(self.folder)[self._keep :]:
            shutil.rmtree(self.folder / name)
        return path

    def newest(self, rank: int) -> tuple[Save, dict[str, Any], dict[str, Any] | None] | None:
        """The newest save that is whole and of this training; the others before it are named, and put aside.

        Args:
            rank: Of this process; only that of rank 0 puts aside.

        Returns:
            Its record, the shared state and that of the rank (None where the save has none of that rank); None
            where there is no save.
        """
        for name in saved(self.folder):
            path = self.folder / name
            try:
                save = self._record(path)
                # Every process reads all files, so that all go on from the same save.
                states = {name: _read(path / name, digest) for name, digest in {STATE: None, **save.files}.items()}
                parts = [states[file_of(n)] for n in range(save.processes) if file_of(n) in states]
                return save, whole(states[STATE], parts) if parts else states[STATE], states.get(f"rank-{rank}.pt")
            except CorruptArtifactError as damaged:
                if rank == 0:
                    self._say(f"save {path.name} is refused: {damaged.required}; found {damaged.found}")
                    aside = self.folder / f"{_REFUSED}{path.name}"
                    shutil.rmtree(aside, ignore_errors=True)
                    path.rename(aside)
        return None

    def _record(self, path: Path) -> Save:
        file = path / RECORD
        try:
            raw = json.loads(file.read_bytes())
            save = Save(**raw)
        except (OSError, ValueError, TypeError) as error:
            raise _damaged(f"a record that can be read in {file.name}", f"{type(error).__name__}: {error}") from error
        if (save.format, save.identity) != (FORMAT, self.identity):
            found = f"format {save.format} of training {short(save.identity)}"
            raise _damaged(f"format {FORMAT} of training {short(self.identity)} in {file.name}", found)
        return save


class _Digested:
    """A file that is only appended to, digested on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def write(self, data: Any) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    @property
    def digest(self) -> str:
        return "sha256:" + self._hash.hexdigest()


def written(path: Path, state: Any) -> str:
    """Writes nested tensors and plain values to a file, which is on the disk then; returns its digest."""
    with path.open("wb") as file:
        digested = _Digested(file)
        torch.save(state, cast(IO[bytes], digested))
        _synced(file)
    return digested.digest


def _read(path: Path, digest: str | None) -> dict[str, Any]:
    try:
        found = digest_file(path)
    except FileNotFoundError:
        found = "no such file"
    if found != digest:
        raise _damaged(f"{path.name} of digest {digest}", found)
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, pickle.UnpicklingError, RuntimeError) as error:
        raise _damaged(f"tensors and plain values in {path.name}", str(error)) from error
    return state


def _damaged(required: str, found: str) -> CorruptArtifactError:
    return CorruptArtifactError(required=required, found=found, remedy="the save before it is used")


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _synced(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
