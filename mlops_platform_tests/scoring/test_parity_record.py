"""Which gaps between a module and its exported program are closed."""

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_platform.errors import CorruptArtifactError
from mlops_platform.scoring.parity import PARITY, TOLERANCE, DifferentProgramError, Gap, Parity

CLOSED = Gap(largest=TOLERANCE, mean=1e-7, unlike=0)
HOLDS = Parity(rows=3, tolerance=TOLERANCE, program=CLOSED, torch_program=CLOSED)


def checkpoint(folder: Path, *files: str) -> Any:
    """A checkpoint as far as its record goes."""
    return SimpleNamespace(
        manifest=SimpleNamespace(files=files, station="pumps/pump_repair/checkpoint"), file=lambda name: folder / name
    )


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / PARITY).write_text(json.dumps(HOLDS.to_json()))
    found = Parity.of(checkpoint(tmp_path, PARITY))
    assert found == HOLDS and found.holds
    found.require()


@pytest.mark.parametrize(
    "other",
    [
        replace(HOLDS, program=replace(CLOSED, largest=1.1 * TOLERANCE)),
        replace(HOLDS, program=replace(CLOSED, largest=math.nan)),
        replace(HOLDS, torch_program=replace(CLOSED, largest=0.1)),
        replace(HOLDS, program=replace(CLOSED, unlike=1)),
        replace(HOLDS, rows=0),
        replace(HOLDS, tolerance=1.0),
    ],
)
def test_what_is_beyond_the_tolerance_is_refused_with_its_figures(other: Parity) -> None:
    assert not other.holds
    with pytest.raises(DifferentProgramError, match=f"rows {other.rows}.*largest {other.program.largest:g}"):
        other.require()


def test_a_checkpoint_without_a_record_is_to_be_trained_again(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifactError, match=r"mlops materialize --select .*pumps/pump_repair/checkpoint"):
        Parity.of(checkpoint(tmp_path, "program.onnx"))
