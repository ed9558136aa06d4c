"""The online path over a store of its own: the packing, the columnar read, the encoding and the program of live
answers."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mlops_platform.monitoring.skew.replay import Packed
from mlops_platform.online_store import OnlineFeatures, PackedView
from mlops_platform.online_store.keys import key_bytes
from mlops_platform.online_store.packed import FEAST_TYPE
from mlops_platform.online_store.rows import pack
from mlops_platform.resources.online import OnlineDoor
from mlops_platform.scoring import Scorer
from mlops_platform.spec import FeatureTable, Model


@dataclass(frozen=True)
class TemporaryDoor(OnlineDoor):
    """The online door over an empty store of our own kind.

    Attributes:
        path: File of the store.
    """

    path: Path = field(kw_only=True)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """What ``feature_store.yaml`` would say of such a store."""
        return {"project": self.project.name, "online_store": {"type": FEAST_TYPE, "path": str(self.path)}}


class PackedPath:
    """The online path of one model over one store."""

    def __init__(self, door: TemporaryDoor, model: Model, scorer: Scorer) -> None:
        """Takes what a live model has.

        Args:
            door: To the store.
            model: The declaration.
            scorer: The program that answers.
        """
        self.door, self.model, self.scorer = door, model, scorer
        self._views: dict[str, PackedView] = {}

    def pack(self, table: FeatureTable, rows: pl.DataFrame) -> Packed:
        """Rows of a feature table, as its store has them."""
        view = self._views[table.name] = self.door.view(table)
        # As when Feast's registry is applied: a view that has no row yet is online too.
        self.door.packed.declare(view)
        return key_bytes(view.keys, rows), pack(view, rows)

    def write(self, table: FeatureTable, packed: Packed) -> None:
        """Puts rows into the store."""
        self.door.packed.write_packed(self._views[table.name], *packed)

    def read(self, examples: pl.DataFrame) -> OnlineFeatures:
        """The features of examples, as a live model reads them."""
        return self.door.read(self.model, examples)

    def encode(self, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Inputs of the program."""
        return self.scorer.encode(frame)

    def score(self, numeric: np.ndarray, categories: np.ndarray) -> np.ndarray | None:
        """Scores of a program of rows; None of one of sequences."""
        return None if self.scorer.encoding.carried is not None else self.scorer.score_encoded(numeric, categories)

    def close(self) -> None:
        """Lets go of the store's file."""
        self.door.packed.close()
