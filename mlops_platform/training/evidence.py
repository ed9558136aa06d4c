"""What the files of a checkpoint prove, without torch."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from mlops_platform.scoring.parity import TOLERANCE, Parity, Recorded
from mlops_platform.scoring.torch_archive import ARCHIVE, suspects
from mlops_platform.training.record import CURVES, TRAINING, WEIGHTS, Epoch, Training, read_curves
from mlops_platform.training.soundness import CHECK, SOUNDNESS, ModuleFinding, read_soundness

_PICKLED = (b"\x80", b"PK\x03\x04")


@dataclass(frozen=True)
class Finding:
    """One verdict and the figures behind it."""

    passed: bool
    facts: dict[str, float | int | str]


def loss_is_finite(curves: tuple[Epoch, ...]) -> Finding:
    """Whether every loss of every epoch is a number."""
    bad = [point.epoch for point in curves if not math.isfinite(point.train_loss + point.validation_loss)]
    return Finding(bool(curves) and not bad, {"epochs": len(curves), "not_finite": len(bad)})


def loss_fell(curves: tuple[Epoch, ...], training: Training) -> Finding:
    """Whether it learnt: the train loss fell, and the best epoch beats the best constant answer."""
    first, last = curves[0].train_loss, curves[-1].train_loss
    fell = len(curves) == 1 or last < first
    facts = {"first": first, "last": last, "validation": training.validation_loss, "constant": training.constant_loss}
    return Finding(fell and training.validation_loss < training.constant_loss, dict(facts))


def program_matches_weights(training: Training) -> Finding:
    """Whether the exported program scored the validation rows as torch did, in the process that wrote both."""
    difference = training.export_max_difference
    return Finding(difference <= TOLERANCE, {"max_difference": difference, "tolerance": TOLERANCE})


def program_equals_module(parity: Parity) -> Finding:
    """Whether the exported program, and torch's form of it, scored every row of the holdout as the module did."""
    return Finding(parity.holds, dict(parity.facts()))


def weights_are_safetensors(folder: Path, names: tuple[str, ...]) -> Finding:
    """Whether the weights are a well-formed safetensors file and no file is a pickle or a zip of pickles."""
    pickles = [name for name in names if name != ARCHIVE and (folder / name).read_bytes()[:4].startswith(_PICKLED)]
    pickles += suspects((folder / ARCHIVE).read_bytes()) if ARCHIVE in names else []
    tensors = _tensors((folder / WEIGHTS).read_bytes()) if WEIGHTS in names else 0
    return Finding(tensors > 0 and not pickles, {"tensors": tensors, "pickles": ", ".join(pickles) or "none"})


def module_is_sound(found: tuple[ModuleFinding, ...]) -> Finding:
    """Whether every check of the module passed that was made before its first epoch."""
    return Finding(bool(found) and all(each.passed for each in found), {each.name: each.found for each in found})


def _tensors(data: bytes) -> int:
    """Tensors named by a safetensors header that accounts for every byte; 0 where it does not."""
    if len(data) < 8:
        return 0
    (length,) = struct.unpack("<Q", data[:8])
    try:
        header = json.loads(data[8 : 8 + length])
    except ValueError:
        return 0
    header.pop("__metadata__", None)
    end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
    return len(header) if 8 + length + end == len(data) else 0


def findings(checkpoint: Recorded, folder: Path, names: tuple[str, ...]) -> dict[str, Finding]:
    """Every finding about a checkpoint, by the name of its check.

    Args:
        checkpoint: Verifies the bytes of each file that is read.
        folder: Of the artifact.
        names: Files that its manifest names.
    """
    curves = read_curves(checkpoint.file(CURVES).read_bytes())
    training = Training.from_json(checkpoint.file(TRAINING).read_bytes())
    for name in names:
        checkpoint.file(name)
    return {
        CHECK: module_is_sound(read_soundness(checkpoint.file(SOUNDNESS).read_bytes())),
        "loss_is_finite": loss_is_finite(curves),
        "loss_fell": loss_fell(curves, training),
        "program_matches_weights": program_matches_weights(training),
        "program_equals_module": program_equals_module(Parity.of(checkpoint)),
        "weights_are_safetensors": weights_are_safetensors(folder, names),
    }
