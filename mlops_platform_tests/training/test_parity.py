"""The exported program is compared with the trained module on every holdout row, and what differs goes no further."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import polars as pl
import pytest

from mlops_platform.errors import TrainingError
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.scoring import PROGRAM, SCORING, Encoding
from mlops_platform.scoring.parity import PARITY, DifferentProgramError, Parity
from mlops_platform.scoring.torch_archive import ARCHIVE
from mlops_platform_tests.training.queues import job, network
from mlops_platform_tests.training.tiny import SPLITS, Shop, rows, shop
from mlops_platform_tests.training.tiny import network as of_rows

# Lightning asks torch about a class that torch is about to retire; the training program silences it likewise.
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")


def test_every_holdout_row_is_compared(checkpoint: Artifact) -> None:
    found = Parity.of(checkpoint)
    assert found.rows == SPLITS["holdout"] and found.holds
    assert 0 <= found.program.mean <= found.program.largest <= 1e-5
    assert found.program.largest + found.torch_program.largest > 0, "ONNX Runtime and torch sum in different orders"


@pytest.fixture(scope="module")
def queues(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a training on sequences left, whose holdout has no label."""
    from mlops_platform.training.program.fit import train

    asked = job(tmp_path_factory.mktemp("parity"), network())
    assert asked.holdout is not None
    pl.read_parquet(asked.holdout).drop("label").write_parquet(asked.holdout)
    train(asked, lambda epoch: None)
    return asked.output.parent


def test_sequences_are_compared_after_all_rows_before_and_without_a_label(queues: Path) -> None:
    told = json.loads((queues / "output" / PARITY).read_bytes())
    assert told["rows"] == 80 and told["program"]["largest"] <= 1e-5 and told["torch_program"]["largest"] <= 1e-5


def test_the_module_that_is_compared_walks_as_the_scorer_does(queues: Path) -> None:
    import torch
    from safetensors.torch import load_file

    from mlops_platform.training.program.network import Normaliser, ScoringProgram
    from mlops_platform.training.program.parity import compare
    from mlops_platform.training.program.stepping import OneStep
    from mlops_platform_tests.training.recurrences import Gated

    folder = queues / "output"
    encoding = Encoding.from_json(json.loads((folder / SCORING).read_bytes()))
    exported, archive = (folder / PROGRAM).read_bytes(), (folder / ARCHIVE).read_bytes()
    program = ScoringProgram(Normaliser(torch.zeros(1), torch.ones(1)), Gated(numeric=2, cardinalities=(3,)))
    program.load_state_dict(load_file(folder / "weights.safetensors"))
    net = network(window=None, parallel=2)
    (queues / "again").mkdir()
    asked = replace(job(queues / "again", net), output=folder)
    assert compare(asked, OneStep(program.eval()), encoding, exported, archive).program.closed
    with torch.no_grad():
        program.network.answer.bias += 0.01
    gap = compare(asked, OneStep(program), encoding, exported, archive).program
    # A logit moved by 0.01 moves a probability by at most a quarter of that.
    assert not gap.closed and 0.0005 < gap.mean <= gap.largest <= 0.0026


@pytest.fixture(scope="module")
def two_faced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, dg.ExecuteInProcessResult]]:
    """A shop of whose holdout one row is far out, and its run: the network answers that row in two ways."""
    far = pl.when(pl.int_range(pl.len()) == 7).then(1e9).otherwise("shelves__size").alias("shelves__size")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("MLOPS_HOME", "DAGSTER_HOME", "MLOPS_ENV", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
            patch.delenv(name, raising=False)
        held = shop(tmp_path_factory.mktemp("two-faced"), of_rows("TwoFaced"), rows(50, seed=2).with_columns(far))

        @dg.asset(key=["shop", "sells", "evaluation"], deps=[["shop", "sells", "checkpoint"]])
        def evaluation() -> None:
            pass

        yield held, held.materialize(after=[evaluation])


def test_one_row_that_differs_stops_what_follows(two_faced: tuple[Shop, dg.ExecuteInProcessResult]) -> None:
    _, run = two_faced
    verdicts = {check.check_name: check for check in run.get_asset_check_evaluations()}
    red = verdicts["program_equals_module"]
    assert not red.passed and red.blocking and red.metadata["rows"].value == 50
    assert float(str(red.metadata["largest"].value)) > 1e-3 > 1e-5 == red.metadata["tolerance"].value
    assert verdicts["program_matches_weights"].passed, "no such row is among those of the validation"
    made = {event.asset_key.path[-1] for event in run.get_asset_materialization_events() if event.asset_key}
    assert not run.success and made == {"checkpoint"}, "the training is kept, nothing follows"


def test_it_is_not_packaged_either(two_faced: tuple[Shop, dg.ExecuteInProcessResult], tmp_path: Path) -> None:
    from mlops_platform.registry.package import write_package

    kept = two_faced[0].checkpoint()
    assert kept is not None
    with pytest.raises(DifferentProgramError, match=r"every holdout row(.|\n)*rows 50"):
        write_package(kept, rows(5, seed=2), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_scores_that_are_no_numbers_on_one_side_only_are_counted() -> None:
    from mlops_platform.training.program.parity import _Sums

    sums = _Sums(np.array([2.0, 1.0]))
    nan, inf = np.nan, np.inf
    sums.add(np.array([[1.0, nan], [inf, 0.0]]), np.array([[1.5, nan], [inf, 0.5]]))
    assert sums.gap.unlike == 0 and sums.gap.largest == 0.5 and sums.gap.mean == pytest.approx(0.375)
    sums.add(np.array([[1.0, nan], [inf, 0.0]]), np.array([[nan, 1.0], [-inf, 0.0]]))
    assert sums.gap.unlike == 3 and not sums.gap.closed


def test_a_network_that_cannot_be_traced_is_refused_in_words() -> None:
    import torch

    from mlops_platform.training.program.export import export
    from mlops_platform.training.program.inputs import Rows
    from mlops_platform.training.program.network import Normaliser, ScoringProgram
    from mlops_platform_tests.training.networks import Deciding

    program = ScoringProgram(Normaliser(torch.zeros(3), torch.ones(3)), Deciding(numeric=6, cardinalities=(4, 5)))
    some = Rows(torch.zeros(4, 3), torch.zeros(4, 2, dtype=torch.int64), torch.zeros(4))
    with pytest.raises(TrainingError, match=r"torch\.export can trace(.|\n)*data-dependent"):
        export(program.eval(), some, "networks:Deciding")
