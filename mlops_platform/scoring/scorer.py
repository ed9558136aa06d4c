"""The scorer: an exported program run by ONNX Runtime on encoded rows."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from mlops_platform.errors import CorruptArtifactError, MissingArtifactError
from mlops_platform.manifest import Manifest, digest_file
from mlops_platform.scoring.encoding import Encoding
from mlops_platform.scoring.steps import TIME, Carried, walk

PROGRAM = "program.onnx"
SCORING = "scoring.json"
_DTYPES = {"tensor(float)": "float32", "tensor(int64)": "int64"}


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

    def __init__(self, encoding: Encoding, program: bytes | Path, *, threads: int = 1) -> None:
        """Makes the session.

        Args:
            encoding: Of the rows.
            program: The bytes of an ONNX model, or the file of one whose weights lie beside it, with inputs ``numeric``
                and ``categories`` and output ``score``; one of sequences takes one step of each: a further input
                ``state`` and a further output ``next_state``.
            threads: Of the session; one is fastest for single rows.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Spinning threads burn a core that other stations of the same machine need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.encoding = encoding
        told = str(program) if isinstance(program, Path) else program
        self._session = onnxruntime.InferenceSession(told, options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]

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

    def score(self, frame: pl.DataFrame, history: pl.DataFrame | None = None) -> np.ndarray:
        """Scores of rows.

        Args:
            frame: N rows with the columns of the encoding; values never seen in training are allowed.
            history: Further rows that only move the state of a program of sequences, each at its time; where it has a
                row of the entity and the time of one of ``frame``, the latter stands. A program of rows ignores it.

        Returns:
            float32 [N], each between 0 and 1; of a forecast [N, H], in the label's unit.

        Raises:
            InputError: A column is missing or of another type than in training, or two rows are one step.
        """
        if self.encoding.carried is None:
            return self.score_encoded(*self.encode(frame))
        columns = list(self.encoding.columns)
        if frame.is_empty():
            return self._no_scores()
        own = frame if history is None else _with_history(frame, history, self.encoding.carried, columns)
        path = walk(own, self.encoding.carried.entity)
        numeric, categories = self.encode(own)
        begun = self.encoding.carried.initial_states(int(path.sizes[0]))
        steps = self.steps(numeric[path.order], categories[path.order], path.sizes, begun)
        walked = np.concatenate([told["score"] for _, told in steps])
        scores = np.empty_like(walked)
        scores[path.order] = walked
        return scores[: frame.height]

    def score_encoded(self, numeric: np.ndarray, categories: np.ndarray) -> np.ndarray:
        """Scores float32 [N] or [N, H] of inputs that ``encode`` gave; of sequences, of each row as a first step."""
        if len(numeric) == 0:
            return self._no_scores()
        return self.answer(self.inputs(numeric, categories))["score"]

    def inputs(self, numeric: np.ndarray, categories: np.ndarray) -> dict[str, np.ndarray]:
        """What the program is fed with for rows that ``encode`` gave; in the state before any row, if it has one."""
        carried = self.encoding.carried
        state = {} if carried is None else {"state": carried.initial_states(len(numeric))}
        return {"numeric": numeric, "categories": categories, **state}

    def answer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the program answers: ``score`` and, of sequences, ``next_state``."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))

    def steps(self, numeric: np.ndarray, categories: np.ndarray, sizes: np.ndarray, state: np.ndarray
              ) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:  # fmt: skip
        """What a program of sequences answers, a step of all its sequences at a time.

        Args:
            numeric, categories: Of N rows in the order of a walk.
            sizes: Of the walk.
            state: Before the first step, float32 [sizes[0], ...].

        Yields:
            Which of the rows, and the answer to them.
        """
        begun = 0
        for size in sizes.tolist():
            rows = slice(begun, begun + size)
            told = self.answer({"numeric": numeric[rows], "categories": categories[rows], "state": state[:size]})
            yield rows, told
            state, begun = told["next_state"], rows.stop

    def signature(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """Name, dtype and shape of each input of the program; -1 where a dimension is free."""
        return [
            (each.name, _DTYPES.get(each.type, each.type), tuple(d if isinstance(d, int) else -1 for d in each.shape))
            for each in self._session.get_inputs()
        ]

    def _no_scores(self) -> np.ndarray:
        (shape,) = (output.shape[1:] for output in self._session.get_outputs() if output.name == "score")
        return np.empty((0, *shape), dtype=np.float32)


def _with_history(frame: pl.DataFrame, history: pl.DataFrame, carried: Carried, columns: list[str]) -> pl.DataFrame:
    """The rows of a frame, and after them those of its history that come before the last of them."""
    earlier = history.filter(pl.col(TIME) < frame[TIME].max())
    others = earlier.join(frame, on=list(carried.columns), how="anti", nulls_equal=True)
    return pl.concat([frame.select(columns), others.select(columns)], how="vertical_relaxed")


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
