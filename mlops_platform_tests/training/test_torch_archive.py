"""Torch's form of a program has nothing in it that could call anything; its bytes: see ``test_program_bytes``."""

import io
import zipfile
from pathlib import Path

import pytest

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.scoring.torch_archive import ARCHIVE, suspects, torch_version
from mlops_platform.training.evidence import weights_are_safetensors

INPUTS = "archive/data/sample_inputs/model.pt"
CONFIG = "archive/data/weights/model_weights_config.json"


def changed(archive: bytes, **records: bytes) -> bytes:
    """An archive with other records in the place of some, or beside them."""
    told, buffer = {name.replace("__", "/"): data for name, data in records.items()}, io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(buffer, "w") as new:
        every = {name: old.read(name) for name in old.namelist()}
        for name, data in {**every, **told}.items():
            new.writestr(name, data)
    return buffer.getvalue()


def zipped(stream: bytes, **others: bytes) -> bytes:
    """What torch would have saved, had it written this pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as new:
        for name, data in {"data.pkl": stream, **others}.items():
            new.writestr(f"archive/{name}", data)
    return buffer.getvalue()


def test_a_checkpoint_holds_none_that_could_call_anything(checkpoint: Artifact) -> None:
    archive = checkpoint.file(ARCHIVE).read_bytes()
    assert suspects(archive) == []
    assert torch_version(archive).startswith("2.")
    with zipfile.ZipFile(io.BytesIO(archive)) as records, zipfile.ZipFile(io.BytesIO(records.read(INPUTS))) as saved:
        assert saved.read("archive/data.pkl") == b"\x80\x02}q\x00.", "an empty dict"
    assert changed(archive) != archive and suspects(changed(archive)) == []


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (INPUTS, zipped(b"cos\nsystem\n(S'true'\ntR.")),
        (INPUTS, zipped(b"\x80\x04\x8c\x02os\x8c\x06system\x93.")),
        (INPUTS, zipped(b"\x80\x02}q\x00.", extra=b"cos\nsystem\n.")),
        (INPUTS, zipped(b"\x80\x02}q\x00}.")),
        (INPUTS, b"\x80\x02}q\x00."),
        (INPUTS, b""),
        ("archive/data/aotinductor/model/model.so", b"\x7fELF"),
        ("archive/data/weights/weight_99", b"unnamed"),
        ("archive/data/constants/custom_obj_0", b"cos\nsystem\n."),
        ("archive/extra/notes.json", b"not json"),
        ("archive/version", b"x" * 65),
    ],
)
def test_what_could_is_named(checkpoint: Artifact, name: str, data: bytes) -> None:
    planted = changed(checkpoint.file(ARCHIVE).read_bytes(), **{name: data})
    assert suspects(planted) == [name]


def test_a_payload_that_is_called_pickled_is_named(checkpoint: Artifact) -> None:
    archive = checkpoint.file(ARCHIVE).read_bytes()
    with zipfile.ZipFile(io.BytesIO(archive)) as records:
        config = records.read(CONFIG).replace(b'"use_pickle": false', b'"use_pickle": true', 1)
    assert suspects(changed(archive, **{CONFIG: config})) == ["archive/data/weights/weight_0"]
    assert suspects(b"no archive") == ["no zip"]


def test_the_check_sees_it(checkpoint: Artifact, tmp_path: Path) -> None:
    names = ("weights.safetensors", ARCHIVE)
    for name in names:
        (tmp_path / name).write_bytes(checkpoint.file(name).read_bytes())
    assert weights_are_safetensors(tmp_path, names).passed
    planted = changed((tmp_path / ARCHIVE).read_bytes(), **{INPUTS: zipped(b"cos\nsystem\n(S'true'\ntR.")})
    (tmp_path / ARCHIVE).write_bytes(planted)
    found = weights_are_safetensors(tmp_path, names)
    assert not found.passed and found.facts["pickles"] == INPUTS


def test_what_torch_itself_would_write_is_named_and_a_weight_of_another_class_refused() -> None:
    import torch

    from mlops_platform.errors import TrainingError
    from mlops_platform.training.program.archive import archive
    from mlops_platform_tests.training.networks import Marked

    traced = torch.export.export(torch.nn.Linear(2, 1), (torch.zeros(3, 2),))
    buffer = io.BytesIO()
    torch.export.save(traced, buffer)
    assert suspects(buffer.getvalue()) == [INPUTS], "its example inputs name torch's functions"
    assert suspects(archive(traced, "a")) == []

    module = torch.nn.Linear(2, 1)
    module.register_buffer("mark", torch.ones(1).as_subclass(Marked))
    traced = torch.export.export(module, (torch.zeros(3, 2),))
    traced.state_dict["mark"] = module.mark
    with pytest.raises(TrainingError, match="plain tensors"):
        archive(traced, "a")
