"""How far an exported program's scores are from those of the module that was trained, over a whole holdout."""

import json
from dataclasses import asdict, dataclass
from typing import Protocol

from mlops_platform.errors import CorruptArtifactError, PlatformError
from mlops_platform.manifest import Manifest
from mlops_platform.scoring.scorer import Checkpoint

PARITY = "parity.json"
TOLERANCE = 1e-5
"""Largest difference of two scores that stand for one: of probabilities, or in standard deviations of the label."""


class DifferentProgramError(PlatformError):
    """An exported program scores otherwise than the module that was trained."""


class Recorded(Checkpoint, Protocol):
    """A checkpoint whose manifest is known."""

    @property
    def manifest(self) -> Manifest:
        """Names its files."""
        ...


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Between two scorers of the same rows.

    Attributes:
        largest, mean: Of the absolute differences of finite scores; of a forecast in standard deviations of each step.
        unlike: Scores that are finite of one scorer and not of the other, or not the same infinity.
    """

    largest: float
    mean: float
    unlike: int

    @property
    def closed(self) -> bool:
        """Whether the two scorers are one within ``TOLERANCE``."""
        return self.unlike == 0 and self.largest <= TOLERANCE


@dataclass(frozen=True, kw_only=True)
class Parity:
    """What a trainer found when it scored every row of its dataset's holdout; labels were not read.

    Attributes:
        rows: How many.
        tolerance: That the gaps were held against.
        program: Between the trained module and the exported program, each row as evaluation scores it: of sequences
            after all rows before.
        torch_program: Between the exported program and torch's form of it, read back from the bytes that are kept; of
            sequences from the holdout's first step on.
    """

    rows: int
    tolerance: float
    program: Gap
    torch_program: Gap

    @property
    def holds(self) -> bool:
        """Whether all three are one model."""
        return self.rows > 0 and self.tolerance == TOLERANCE and self.program.closed and self.torch_program.closed

    @classmethod
    def of(cls, checkpoint: Recorded) -> "Parity":
        """What a checkpoint's trainer recorded.

        Raises:
            CorruptArtifactError: It recorded nothing: the checkpoint is older than the record.
        """
        if PARITY not in checkpoint.manifest.files:
            raise CorruptArtifactError(
                required=f"{PARITY} in the checkpoint: its program compared with its module on the whole holdout",
                found=f"only {', '.join(sorted(checkpoint.manifest.files))}: made before trainers compared them",
                remedy=f"train it again: mlops materialize --select 'key:\"{checkpoint.manifest.station}\"'; a "
                "champion that is live goes on answering meanwhile",
            )  # fmt: skip
        raw = json.loads(checkpoint.file(PARITY).read_bytes())
        program, torch_program = (Gap(**raw.pop(name)) for name in ("program", "torch_program"))
        return cls(program=program, torch_program=torch_program, **raw)

    def to_json(self) -> dict[str, object]:
        """What ``parity.json`` holds."""
        return asdict(self)

    def facts(self) -> dict[str, float | int]:
        """The figures, flat."""
        gaps = {"": self.program, "torch_program_": self.torch_program}
        told = {f"{prefix}{name}": value for prefix, gap in gaps.items() for name, value in asdict(gap).items()}
        return {"rows": self.rows, "tolerance": self.tolerance, **told}

    def require(self) -> None:
        """Refuses a checkpoint whose program is another model than the one that was trained.

        Raises:
            DifferentProgramError: It is.
        """
        if not self.holds:
            raise DifferentProgramError(
                required=f"an exported program that scores every holdout row within {TOLERANCE} of the trained module",
                found=", ".join(f"{name} {value:g}" for name, value in self.facts().items()),
                remedy="let the network depend neither on how it is called nor on chance; train again",
            )  # fmt: skip
