"""What lies in torch's archive of an exported program (``.pt2``), read without torch and without unpickling anything.

The form is that of ``torch.export.pt2_archive`` of torch 2.13: a zip of JSON, short texts, and weights and constants as
raw bytes. Its loader unpickles whatever a payload's configuration calls pickled, every constant that is no tensor, and
the example inputs; MLflow 3.17's loader insists on a pickle of these. So that nothing can be called by reading it, an
archive has neither of the first two, and its example inputs are an empty dict.
"""

import io
import json
import pickletools
import zipfile
from typing import Any

ARCHIVE = "program.pt2"
_TEXTS = {"archive_format", "archive_version", "version", "byteorder", "serialization_id"}
_SHORT = 64
_MARKS = {".format_version", ".storage_alignment", *_TEXTS}
_RAW = ("weight_", "tensor_")
# Of an empty dict: none of them names, makes or calls anything.
_IDLE = {"PROTO", "FRAME", "EMPTY_DICT", "BINPUT", "MEMOIZE", "STOP"}


def suspects(archive: bytes) -> list[str]:
    """Records that could be more than weights, texts and JSON; none of an archive that the training program made.

    Args:
        archive: Bytes of the file.
    """
    try:
        records = _records(archive)
    except zipfile.BadZipFile:
        return ["no zip"]
    raw = {name for name in records if name.endswith("_config.json")}
    plain = {record for name in raw for record in _raw_records(name, records[name])}
    return sorted(name for name, data in records.items() if name not in plain and not _harmless(name, data))


def torch_version(archive: bytes) -> str:
    """The version of torch that exported it."""
    told = _records(archive)
    (model,) = (data for name, data in told.items() if name.endswith("models/model.json"))
    return str(json.loads(model)["torch_version"])


def _records(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
        return {name: zipped.read(name) for name in zipped.namelist()}


def _raw_records(name: str, config: bytes) -> list[str]:
    """Payloads that a configuration says are raw bytes."""
    folder = name.rpartition("/")[0]
    if not folder.endswith(("data/weights", "data/constants")):
        return []
    entries: dict[str, dict[str, Any]] = json.loads(config)["config"]
    named = [(str(entry["path_name"]), entry["use_pickle"]) for entry in entries.values()]
    pickled = {path for path, by_pickle in named if by_pickle is not False or not path.startswith(_RAW)}
    return [f"{folder}/{path}" for path, _ in named if path not in pickled and "/" not in path]


def _harmless(name: str, data: bytes) -> bool:
    last = name.rpartition("/")[2]
    if last in _TEXTS:
        return len(data) <= _SHORT and data.isascii()
    if last.endswith(".json"):
        return _is_json(data)
    return name.endswith("data/sample_inputs/model.pt") and _is_empty_dict(data)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def _is_empty_dict(saved: bytes) -> bool:
    """Whether what torch saved is one, told by the opcodes alone."""
    try:
        records = _records(saved)
        (stream,) = (data for name, data in records.items() if name.endswith("/data.pkl"))
        opcodes = [opcode.name for opcode, _, _ in pickletools.genops(stream)]
    except (zipfile.BadZipFile, ValueError):
        return False
    others = {name.rpartition("/")[2] for name in records} - {"data.pkl"}
    return set(opcodes) <= _IDLE and opcodes.count("EMPTY_DICT") == 1 and others <= _MARKS
