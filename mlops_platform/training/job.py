"""The job: all that the training program is told, as one JSON file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mlops_platform.manifest import canonical_json
from mlops_platform.spec import Binary, Network, Saving, Task, task_of

TRAIN = "train.parquet"
VALIDATION = "validation.parquet"
HOLDOUT = "holdout.parquet"
CONTEXT = "context.parquet"
LABEL = "label"
_USUAL_SAVING, _BINARY = Saving(), Binary()


@dataclass(frozen=True, kw_only=True)
class Device:
    """What the program runs on, decided before it starts.

    Attributes:
        accelerator: Of Lightning: ``cpu`` or ``cuda``.
        devices: How many of them on each node, each with a process.
        nodes: How many machines.
        precision: Lightning's name of the numeric precision.
        strategy: How several processes share the work: ``ddp`` or ``fsdp2``.
        compile: Whether the network is compiled.
        threads: CPU threads of each process.
    """

    accelerator: Literal["cpu", "cuda"] = "cpu"
    devices: int = 1
    nodes: int = 1
    precision: str = "32-true"
    strategy: Literal["ddp", "fsdp2"] = "ddp"
    compile: bool = False
    threads: int = 1


@dataclass(frozen=True, kw_only=True)
class Start:
    """The checkpoint that a training begins from.

    Attributes:
        folder: Of the artifact.
        digest: Of the artifact; its files are compared with what that stands for.
    """

    folder: Path
    digest: str


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training.

    Attributes:
        train, validation: Parquet files of the two splits.
        output: Existing folder that receives the checkpoint's files, once all of them are known.
        numeric: Numeric columns, in order.
        categories: Category columns, in order.
        network: The network and its recipe.
        task: What the model answers.
        device: What it runs on.
        start: The checkpoint to begin from; None for fresh weights.
        saves: Folder in which this very training is saved on the way and from which it resumes; None for neither.
        saving: How often, and how many are kept.
        context: Parquet file of further rows, without a label, that only move the state of a network of sequences.
        holdout: Parquet file of the rows that the model will be judged on; only what comes out is compared with its
            exported program there, and no label is read. None for a checkpoint that will not be registered.
        pieces: How many pieces each batch is divided into, where a whole one does not fit into memory.
        identity: What tells this training from any other; empty: the digest of what is said here and of the rows.
        trials: Folder in which a study asks for trials instead of a checkpoint; None for a checkpoint.
    """

    train: Path
    validation: Path
    output: Path
    numeric: tuple[str, ...]
    categories: tuple[str, ...]
    network: Network
    task: Task = _BINARY
    device: Device = Device()
    start: Start | None = None
    saves: Path | None = None
    saving: Saving = _USUAL_SAVING
    context: Path | None = None
    holdout: Path | None = None
    identity: str = ""
    pieces: int = 1
    trials: Path | None = None

    @property
    def micro_batch(self) -> int:
        """Rows whose gradients are computed at once, the most."""
        return -(-self.network.batch_size // self.pieces)

    @property
    def parameters(self) -> dict[str, Any]:
        """Keyword arguments of the network's class, those of the task among them."""
        return {**self.network.parameters, **self.task.arguments}

    def write(self, path: Path) -> Path:
        """Writes the job where the program will read it."""
        told = {**asdict(self), "task": self.task.recipe()}
        path.write_bytes(canonical_json(json.loads(json.dumps(told, default=str))))
        return path

    @classmethod
    def read(cls, path: Path) -> "Job":
        """Reads a written job."""
        raw: dict[str, Any] = json.loads(path.read_bytes())
        start = raw["start"]
        return cls(
            train=Path(raw["train"]), validation=Path(raw["validation"]), output=Path(raw["output"]),
            numeric=tuple(raw["numeric"]), categories=tuple(raw["categories"]),
            network=Network.from_json(raw["network"]), task=task_of(raw["task"]), device=Device(**raw["device"]),
            start=Start(folder=Path(start["folder"]), digest=start["digest"]) if start else None,
            saves=Path(raw["saves"]) if raw["saves"] else None, saving=Saving(**raw["saving"]),
            context=Path(raw["context"]) if raw["context"] else None, pieces=raw["pieces"],
            holdout=Path(raw["holdout"]) if raw["holdout"] else None,
            identity=raw["identity"], trials=Path(raw["trials"]) if raw["trials"] else None,
        )  # fmt: skip
