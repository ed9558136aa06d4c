"""A warm start takes what is known to mean the same, by value and by name, and refuses what is not what it seems."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_platform.errors import CorruptArtifactError, TrainingError
from mlops_platform.manifest import Manifest, Produced, Recipe, canonical_json, digest_bytes, digest_file
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.launchers import PROGRAM
from mlops_platform.scoring import Encoding
from mlops_platform.scoring.encoding import Vocabulary
from mlops_platform.training.job import TRAIN, VALIDATION, Device, Job, Start
from mlops_platform.training.record import CURVES, TRAINING, Rows, Training, WarmStart, read_curves
from mlops_platform_tests.training.tiny import CATEGORIES, NETWORKS, NUMERIC, Shop, network

COLOURS, SHELVES = ("blue", "green", "red"), (3, 4, 5)


def encoding(name: str = "Tiny", *, numeric: tuple[str, ...] = ("size", "level"), colours: tuple[str, ...] = COLOURS,
             shelves: tuple[int, ...] = SHELVES, turned: bool = False, **parameters: int) -> Encoding:  # fmt: skip
    categories = (Vocabulary("colour", "string", colours), Vocabulary("shelf", "integer", shelves))
    network = {"module": f"{NETWORKS}:{name}", "parameters": parameters}
    return Encoding(numeric, categories[::-1] if turned else categories, network)


def program(of: Encoding, seed: int) -> Any:
    import torch

    from mlops_platform.training.program.network import Normaliser, ScoringProgram, build

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(of.network["module"], of.network["parameters"], numeric=len(of.numeric),
                        cardinalities=of.cardinalities)  # fmt: skip
    width = len(of.numeric)
    return ScoringProgram(Normaliser(torch.full((width,), float(seed)), torch.ones(width)), network)


def kept(folder: Path, of: Encoding, told: Encoding | None = None) -> Start:
    """A checkpoint of fresh weights, which are as good as learned ones here."""
    from safetensors.torch import save

    scoring = canonical_json((told or of).to_json())
    files = {"weights.safetensors": save(program(of, 1).state_dict()), "scoring.json": scoring}
    manifest = Manifest(
        kind="checkpoint", station="s", environment="dev", table=None, content={},
        files={name: digest_bytes(data) for name, data in files.items()},
        recipe=Recipe(station="s", functions=(), code="", config={}, software={}, inputs={}),
        produced=Produced(at="", seconds=0, run_id="", correlation_id="", actor="test"),
    )  # fmt: skip
    for name, data in {**files, "manifest.json": manifest.to_json()}.items():
        (folder / name).write_bytes(data)
    return Start(folder=folder, digest=manifest.digest)


@pytest.fixture
def begun(tmp_path: Path) -> Callable[[Encoding, Encoding], tuple[dict[str, Any], dict[str, Any], Any, WarmStart]]:
    """Weights of the old, of the fresh and of the warm-started program, and what was taken."""

    def begin(old: Encoding, new: Encoding) -> tuple[dict[str, Any], dict[str, Any], Any, WarmStart]:
        from mlops_platform.training.program.start import warm

        started = program(new, 2)
        taken = warm(started, new, kept(tmp_path, old))
        return program(old, 1).state_dict(), program(new, 2).state_dict(), started.state_dict(), taken

    return begin


def rows(weights: dict[str, Any], place: int) -> list[Any]:
    return weights[f"network.embeddings.{place}.weight"].tolist()


def test_equal_inputs_are_taken_whole_but_for_the_statistics(begun: Callable) -> None:
    old, fresh, warm, taken = begun(encoding(), encoding())
    assert all(value.equal(old[name]) for name, value in warm.items() if name.startswith("network."))
    assert warm["normaliser.mean"].equal(fresh["normaliser.mean"])
    assert taken.fresh == 0 and taken.embeddings["colour"] == Rows(carried=3, new=0, dropped=0)


def test_rows_follow_their_values_wherever_their_codes_went(begun: Callable) -> None:
    old, fresh, warm, taken = begun(encoding(), encoding(colours=("amber", "green", "red", "white"), shelves=(5, 4, 3)))
    was, new, now = rows(old, 0), rows(fresh, 0), rows(warm, 0)
    assert now == [was[0], new[1], was[2], was[3], new[4]]
    assert rows(warm, 1) == [rows(old, 1)[place] for place in (0, 3, 2, 1)]
    assert warm["network.layers.0.weight"].equal(old["network.layers.0.weight"])
    assert taken.embeddings == {"colour": Rows(carried=2, new=2, dropped=1), "shelf": Rows(carried=3, new=0, dropped=0)}
    assert taken.fresh == 2 * 3


@pytest.mark.parametrize(
    "new",
    [
        encoding(numeric=("level", "size")),
        encoding(numeric=("size", "weight")),
        encoding(turned=True),
        encoding("Crossed", colours=("amber", "green", "red")),
    ],
    ids=["numbers in another order", "another number", "categories in another order", "codes past their table"],
)
def test_where_inputs_mean_something_else_only_rows_are_taken(begun: Callable, new: Encoding) -> None:
    old_encoding = encoding(new.network["module"].partition(":")[2])
    old, fresh, warm, taken = begun(old_encoding, new)
    others = [name for name in warm if not name.startswith("network.embeddings")]
    assert all(warm[name].equal(fresh[name]) for name in others)
    place = [vocabulary.name for vocabulary in new.vocabularies].index("shelf")
    assert rows(warm, place) == rows(old, 1)
    assert taken.fresh > 0 and taken.embeddings["shelf"].carried == 3


def test_a_changed_layer_begins_fresh_and_the_rest_does_not(begun: Callable) -> None:
    old, fresh, warm, taken = begun(encoding(), encoding(hidden=16))
    assert rows(warm, 0) == rows(old, 0)
    assert warm["network.layers.0.weight"].equal(fresh["network.layers.0.weight"])
    assert warm["network.layers.4.bias"].equal(old["network.layers.4.bias"]) and taken.fresh > 0


def test_a_shared_table_is_taken_only_while_every_value_is_the_same(begun: Callable) -> None:
    old, _, warm, taken = begun(encoding("Shared"), encoding("Shared"))
    assert warm["network.table.weight"].equal(old["network.table.weight"]) and taken.embeddings == {}
    with pytest.raises(TrainingError, match="none of equal name, shape and inputs"):
        begun(encoding("Shared"), encoding("Shared", colours=("amber", "green", "red")))


def test_a_networks_own_normaliser_is_not_mistaken_for_the_scorers(begun: Callable) -> None:
    old, fresh, warm, _ = begun(encoding("Centred"), encoding("Centred"))
    assert warm["network.normaliser.mean"].equal(old["network.normaliser.mean"])
    assert warm["normaliser.mean"].equal(fresh["normaliser.mean"])


def test_another_network_is_refused(begun: Callable) -> None:
    with pytest.raises(TrainingError, match=r"a warm start from a checkpoint of .*:Tiny"):
        begun(encoding("Shared"), encoding())


def test_a_network_that_no_longer_takes_the_champions_parameters_is_refused(tmp_path: Path) -> None:
    from mlops_platform.training.program.start import warm

    start = kept(tmp_path, encoding(), told=encoding(depth=3))
    with pytest.raises(TrainingError, match=r"parameters of the champion's checkpoint, \{'depth': 3\}"):
        warm(program(encoding(), 2), encoding(), start)


@pytest.mark.parametrize("name", ["weights.safetensors", "scoring.json", "manifest.json"])
def test_a_start_whose_bytes_are_others_is_refused(tmp_path: Path, name: str) -> None:
    from mlops_platform.training.program.start import warm

    start = kept(tmp_path, encoding())
    path = tmp_path / name
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptArtifactError):
        warm(program(encoding(), 2), encoding(), start)


def test_a_start_of_another_digest_is_refused(tmp_path: Path) -> None:
    from mlops_platform.training.program.start import warm

    start = replace(kept(tmp_path, encoding()), digest="sha256:" + "1" * 64)
    with pytest.raises(CorruptArtifactError, match="to begin from"):
        warm(program(encoding(), 2), encoding(), start)


def test_looking_for_tables_leaves_the_network_and_chance_as_they_were() -> None:
    import torch

    from mlops_platform.training.program.probe import tables

    of = encoding(shelves=())
    network, before = program(of, 1).network, program(of, 1).network.state_dict()
    chance = torch.random.get_rng_state()
    assert tables(network, 4, of.cardinalities) == {"embeddings.0.weight": 0, "embeddings.1.weight": 1}
    assert network.training and torch.random.get_rng_state().equal(chance)
    assert all(value.equal(before[name]) for name, value in network.state_dict().items())


def test_the_same_job_from_the_same_start_gives_the_same_bytes(
    tiny_shop: Shop, checkpoint: Artifact, tmp_path: Path
) -> None:
    written = []
    for place in ("here", "there"):
        moved = shutil.copytree(checkpoint.folder, tmp_path / place / "start")
        output = tmp_path / place / "output"
        output.mkdir()
        job = Job(
            train=tiny_shop.dataset.file(TRAIN), validation=tiny_shop.dataset.file(VALIDATION), output=output,
            numeric=NUMERIC, categories=CATEGORIES, network=network(epochs=1, warm_start=True),
            device=Device(threads=1), start=Start(folder=moved, digest=checkpoint.manifest.digest),
        ).write(tmp_path / place / "job.json")  # fmt: skip
        subprocess.run([sys.executable, "-m", PROGRAM, "--job", str(job)], check=True, cwd=Path(__file__).parents[2])
        written.append({path.name: digest_file(path) for path in output.iterdir()})
    assert written[0] == written[1]
    training = Training.from_json((output / TRAINING).read_bytes())
    assert training.warm_start is not None and training.warm_start.fresh == 0
    cold = read_curves(checkpoint.file(CURVES).read_bytes())
    assert training.validation_loss < cold[0].validation_loss


def test_a_cold_record_says_nothing_of_a_start_and_a_warm_one_is_read_back() -> None:
    figures = dict.fromkeys(("epochs", "steps", "best_epoch", "parameters", "seed", "train_rows", "validation_rows"), 1)
    losses = dict.fromkeys(
        ("train_loss", "validation_loss", "validation_auc", "constant_loss", "export_max_difference"), 0.5
    )
    cold = Training(**figures, **losses)  # type: ignore[arg-type]
    assert "warm_start" not in cold.to_json() and Training.from_json(canonical_json(cold.to_json())) == cold
    begun = WarmStart(taken=3, fresh=1, embeddings={"colour": Rows(carried=2, new=1, dropped=0)})
    warm = replace(cold, warm_start=begun)
    assert Training.from_json(canonical_json(warm.to_json())) == warm
