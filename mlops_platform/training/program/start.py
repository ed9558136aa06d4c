"""A warm start: what a network takes from the weights of an earlier checkpoint.

Only what is known to mean the same is taken:

- An embedding table that is one category's (see ``probe``) is taken row by row, by the category's values: a value that
  both know keeps what was learned of it, a new one begins fresh, one that is no more is left behind. The table of a
  category is found by its column, whatever its parameter is called, and must be as wide.
- All else is taken by equal name and shape, and only if both networks read the same inputs: the same numeric columns
  and the same categories, each in the same order, through tables of the same names and widths. A category whose values
  changed and whose codes reach the answer past such tables (as a one-hot input, or by a table that several categories
  share) is one that cannot be followed: then nothing else is taken.

The statistics that standardise the numbers are the new rows' own: a column that the start knew as constant or missing
would otherwise arrive raw. Figures of both ways: docs/adr/0018-warm-start.md.
"""

import json
from dataclasses import dataclass
from typing import Any

import torch
from safetensors.torch import load as tensors_of
from torch import Tensor, nn

from mlops_platform.errors import CorruptArtifactError, TrainingError
from mlops_platform.manifest import Manifest, digest_bytes
from mlops_platform.scoring import SCORING, Encoding
from mlops_platform.scoring.encoding import UNKNOWN, Vocabulary
from mlops_platform.training.job import Start
from mlops_platform.training.program.network import ScoringProgram, build, normalised_width
from mlops_platform.training.program.probe import read_elsewhere, tables
from mlops_platform.training.record import WEIGHTS, Rows, WarmStart

_MANIFEST = "manifest.json"
_NETWORK = "network."


@dataclass(frozen=True)
class _Side:
    """One of the two networks.

    Attributes:
        encoding: Of its inputs.
        network: With the weights it has.
        weights: By name within the network.
        belongs: Place of the category of each embedding table; see ``probe.tables``.
    """

    encoding: Encoding
    network: nn.Module
    weights: dict[str, Tensor]
    belongs: dict[str, int]

    @property
    def inputs(self) -> tuple[object, ...]:
        """What it reads and through which tables, however many values a category has."""
        widths = {name: (place, self.weights[name].shape[1:]) for name, place in self.belongs.items()}
        return self.encoding.numeric, [v.name for v in self.encoding.vocabularies], widths

    def table(self, column: str, like: str) -> str | None:
        """Name of a category's table: the one of that very name, else the only one there is."""
        own = [name for name, place in self.belongs.items() if self.encoding.vocabularies[place].name == column]
        return like if like in own else own[0] if len(own) == 1 else None


def warm(program: ScoringProgram, encoding: Encoding, start: Start) -> WarmStart:
    """Puts into a fresh program what it can take from a checkpoint.

    Args:
        program: On the CPU; its network's weights are overwritten.
        encoding: Of its inputs.
        start: The checkpoint.

    Returns:
        What was taken.

    Raises:
        CorruptArtifactError: The checkpoint's bytes are not those that its digest stands for.
        TrainingError: It is of another network, or nothing of it can be taken.
    """
    old = _read(start, encoding)
    state = program.network.state_dict()
    belongs = tables(program.network, program.normaliser.width, encoding.cardinalities)
    new = _Side(encoding, program.network, state, belongs)
    taken: dict[str, int] = {}
    told: dict[str, Rows] = {}
    with torch.no_grad():
        for name, place in new.belongs.items():
            vocabulary = encoding.vocabularies[place]
            source = old.table(vocabulary.name, name)
            if source is None or old.weights[source].shape[1:] != state[name].shape[1:]:
                continue
            before = old.encoding.vocabularies[old.belongs[source]]
            told[vocabulary.name] = _carry(state[name], vocabulary, old.weights[source], before)
            taken[name] = (told[vocabulary.name].carried + 1) * state[name][0].numel()
        if _followed(old, new):
            for name, value in state.items():
                earlier = old.weights.get(name)
                if name not in new.belongs and earlier is not None and earlier.shape == value.shape:
                    value.copy_(earlier)
                    taken[name] = value.numel()
    return _told(program.network, taken, told, start)


def _read(start: Start, encoding: Encoding) -> _Side:
    """The start as a network of the class that is declared now, its weights in it as far as they still fit."""
    named = start.folder / _MANIFEST
    manifest = Manifest.from_json(named.read_bytes(), source=str(named))
    _require_equal(manifest.digest, start.digest, str(named))
    weights, scoring = (_verified(start, manifest, name) for name in (WEIGHTS, SCORING))
    before = Encoding.from_json(json.loads(scoring))
    if before.network["module"] != encoding.network["module"]:
        raise TrainingError(
            required=f"a warm start from a checkpoint of {encoding.network['module']}",
            found=f"the champion's is of {before.network['module']}",
            remedy="declare Network(warm_start=False) until a champion is of the new network",
        )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        network = _rebuilt(before)
    all_weights = tensors_of(weights).items()
    tensors = {name.removeprefix(_NETWORK): value for name, value in all_weights if name.startswith(_NETWORK)}
    state = network.state_dict()
    fits = {name: value for name, value in tensors.items() if name in state and state[name].shape == value.shape}
    network.load_state_dict(fits, strict=False)
    width = normalised_width(len(before.numeric))
    belongs = {name: place for name, place in tables(network, width, before.cardinalities).items() if name in fits}
    return _Side(before, network, fits, belongs)


def _rebuilt(encoding: Encoding) -> nn.Module:
    module, parameters = encoding.network["module"], dict(encoding.network["parameters"])
    try:
        return build(module, parameters, numeric=len(encoding.numeric), cardinalities=encoding.cardinalities)
    except TypeError as error:
        raise TrainingError(
            required=f"{module} to take the parameters of the champion's checkpoint, {parameters}", found=str(error),
            remedy="let it take them as before, or declare Network(warm_start=False) until a champion has the new ones",
        ) from error  # fmt: skip


def _carry(table: Tensor, vocabulary: Vocabulary, earlier: Tensor, before: Vocabulary) -> Rows:
    """Copies the rows of the values that both know, and the row of the unknown."""
    code: dict[Any, int] = {value: place + 1 for place, value in enumerate(before.values)}
    both = [(place + 1, code[value]) for place, value in enumerate(vocabulary.values) if value in code]
    pairs = torch.tensor([(UNKNOWN, UNKNOWN), *both])
    table[pairs[:, 0]] = earlier[pairs[:, 1]]
    return Rows(carried=len(both), new=len(vocabulary.values) - len(both), dropped=len(before.values) - len(both))


def _followed(old: _Side, new: _Side) -> bool:
    """Whether all else means the same in both: equal inputs, and no changed category beyond its own tables."""
    if old.inputs != new.inputs:
        return False
    pairs = zip(old.encoding.vocabularies, new.encoding.vocabularies, strict=True)
    changed = [place for place, (before, now) in enumerate(pairs) if before != now]
    width = normalised_width(len(old.encoding.numeric))
    return not read_elsewhere(old.network, width, old.encoding.cardinalities, old.belongs, changed)


def _told(network: nn.Module, taken: dict[str, int], rows: dict[str, Rows], start: Start) -> WarmStart:
    count = {name: weight.numel() for name, weight in network.named_parameters()}
    known = sum(number for name, number in taken.items() if name in count)
    if known == 0:
        raise TrainingError(
            required=f"weights of checkpoint {start.digest} that the network can take",
            found="none of equal name, shape and inputs",
            remedy="declare Network(warm_start=False) until a champion has this network and these inputs",
        )  # fmt: skip
    return WarmStart(taken=known, fresh=sum(count.values()) - known, embeddings=rows)


def _verified(start: Start, manifest: Manifest, name: str) -> bytes:
    """The bytes of a file, once: what is compared is what is loaded."""
    path = start.folder / name
    if not path.is_file():
        _require_equal("no such file", manifest.files.get(name), str(path))
    data = path.read_bytes()
    _require_equal(digest_bytes(data), manifest.files.get(name), str(path))
    return data


def _require_equal(found: str, expected: str | None, what: str) -> None:
    if found != expected:
        raise CorruptArtifactError(
            required=f"{what} of digest {expected}, to begin from", found=found,
            remedy=f"remove the folder of {what}; the next run that needs the checkpoint makes it again",
        )  # fmt: skip
