"""The scorer: an exported program run by ONNX Runtime on encoded rows."""

import json
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from mlops_platform.errors import CorruptArtifactError, MissingArtifactError
from mlops_platform.manifest import Manifest, digest_file
from mlops_platform.scoring.encoding import Encoding

PROGRAM = "program.onnx"
SCORING = "scoring.json"


class Checkpoint(Protocol):
    """An artifact as a scorer needs it: files whose bytes were compared with a manifest."""

    def file(self, name: str) -> Path:
        """Path of a file, verified."""
        ...


class Scorer:
    """A trained model: rows in, scores out.

    Attributes:
        encoding: How rows become its inputs.
    """

    def __init__(self, encoding: Encoding, program: bytes, *, threads: int = 1) -> None:
        """Makes the session.

        Args:
            encoding: Of the rows.
            program: The bytes of an ONNX model with inputs ``numeric`` and ``categories`` and output ``score``.
            threads: Of the session; one is fastest for single rows.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads burn a core that other stations of the same machine need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.encoding = encoding
        self._session = onnxruntime.InferenceSession(program, options, providers=["CPUExecutionProvider"])

    @classmethod
    def load(cls, checkpoint: Checkpoint | Path, *, threads: int = 1) -> "Scorer":
        """The scorer in a checkpoint, whose files are first compared with its manifest.

        Args:
            checkpoint: The artifact, or its folder.
            threads: Of the session.

        Raises:
            MissingArtifactError: The folder has no manifest, or the manifest no such file.
            CorruptArtifactError: A file's bytes are not those that the manifest names.
        """
        source = _Folder(checkpoint) if isinstance(checkpoint, Path) else checkpoint
        encoding = Encoding.from_json(json.loads(source.file(SCORING).read_bytes()))
        return cls(encoding, source.file(PROGRAM).read_bytes(), threads=threads)

    def encode(self, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Numeric float32 [N, F] and categories int64 [N, C]; see ``Encoding.encode``."""
        return self.encoding.encode(frame)

    def score(self, frame: pl.DataFrame) -> np.ndarray:
        """Scores of rows.

        Args:
            frame: N rows with the columns of the encoding; values never seen in training are allowed.

        Returns:
            float32 [N], each between 0 and 1; of a forecast [N, H], in the label's unit.

        Raises:
            InputError: A column is missing or of another type than in training.
        """
        return self.score_encoded(*self.encode(frame))

    def score_encoded(self, numeric: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """Scores float32 [N] or [N, H] of inputs that ``encode`` gave."""
        if len(numeric) == 0:
            _, *steps = self._session.get_outputs()[0].shape
            return np.empty((0, *steps), dtype=np.float32)
        (scores,) = self._session.run(["score"], {"numeric": numeric, "categories": categories})
        return scores


class _Folder:
    """An artifact known only by its folder, as on a machine without a home."""

    def __init__(self, path: Path) -> None:
        manifest = path / "manifest.json"
        if not manifest.is_file():
            raise MissingArtifactError(
                required=f"a checkpoint in {path}", found="no manifest.json there",
                remedy="name the folder of a committed checkpoint",
            )  # fmt: skip
        self._path = path
        self._files = Manifest.from_json(manifest.read_bytes(), source=str(manifest)).files

    def file(self, name: str) -> Path:
        """Path of a file, verified."""
        path = self._path / name
        found = digest_file(path) if path.is_file() else "no such file"
        if found != self._files.get(name):
            raise CorruptArtifactError(
                required=f"{path} of digest {self._files.get(name, 'in its manifest')}", found=found,
                remedy=f"fetch or train the checkpoint {self._path.name[:12]} again",
            )  # fmt: skip
        return path
