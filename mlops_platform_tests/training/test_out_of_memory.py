"""Memory that really runs out: told with batch and peak, or halved until the batch fits, to the same gradients."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from mlops_platform.errors import KilledError, OutOfMemoryError, SpecError
from mlops_platform.spec import Sequence
from mlops_platform.training.halving import until_it_fits
from mlops_platform.training.job import Job
from mlops_platform.training.record import TRAINING, Training
from mlops_platform_tests.training.bad_input import trained, usual
from mlops_platform_tests.training.tiny import network, shop


@pytest.mark.long
def test_a_batch_that_does_not_fit_is_halved_and_that_is_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("MLOPS_HOME", "DAGSTER_HOME", "MLOPS_ENV", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION"):
        monkeypatch.delenv(variable, raising=False)
    hungry = shop(tmp_path, replace(network("Hungry", epochs=1), on_out_of_memory="halve"))
    instance = dg.DagsterInstance.ephemeral()
    run = hungry.materialize(instance)
    assert run.success
    said = [record.user_message for record in instance.all_logs(run.run_id)]
    (halved,) = (text for text in said if "goes in pieces" in text)
    assert "memory ran out, with a peak of" in halved and "can't allocate memory" in halved
    assert "each batch of 64 goes in pieces of 32 from now on" in halved
    found = hungry.checkpoint()
    assert found is not None
    training = Training.from_json(found.file(TRAINING).read_bytes())
    assert (training.micro_batch, training.halved) == (32, 1)
    (event,) = run.asset_materializations_for_node("shop__sells__checkpoint")
    assert (event.metadata["micro_batch"].value, event.metadata["halved"].value) == (32, 1)
    tracked = hungry.tracked_params(found)
    assert (tracked["micro_batch"], tracked["halved"], tracked["on_out_of_memory"]) == ("32", "1", "halve")


def ran_out(job: Job) -> Job:
    raise OutOfMemoryError(required="memory", found=f"{job.micro_batch} rows", remedy="lower it")


def test_halving_ends_where_it_is_not_declared_and_at_a_single_row(tmp_path: Path) -> None:
    job, said = usual(tmp_path), list[str]()
    with pytest.raises(OutOfMemoryError, match="64 rows"):
        until_it_fits(job, ran_out, said.append)
    assert said == []
    job = replace(job, network=replace(job.network, on_out_of_memory="halve"))
    with pytest.raises(OutOfMemoryError, match="1 rows"):
        until_it_fits(job, ran_out, said.append)
    assert len(said) == 6
    assert Job.read(replace(job, pieces=4).write(tmp_path / "job.json")).micro_batch == 16


def test_who_goes_on_after_a_halving_begins_with_the_halves_whose_saves_are_there(tmp_path: Path) -> None:
    job = usual(tmp_path, saves=tmp_path / "saves")
    job, told = replace(job, network=replace(job.network, on_out_of_memory="halve")), list[int]()

    def run(job: Job) -> Job:
        told.append(job.micro_batch)
        if job.micro_batch > 16:
            return ran_out(job)
        raise KilledError(required="the program to finish", found="it was killed", remedy="run it again")

    for _ in range(2):
        with pytest.raises(KilledError):
            until_it_fits(job, run, lambda text: None)
    assert told == [64, 32, 16, 16]


# No batch statistics and no dropout: nothing but the order of the sums differs.
PLAIN = network("Shared", epochs=2, batch_size=32)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What whole batches give."""
    return trained(usual(tmp_path_factory.mktemp("whole"), net=PLAIN))


@pytest.mark.parametrize("pieces", [3, 64])
def test_pieces_give_the_gradients_of_the_whole_batch(tmp_path: Path, whole: Path, pieces: int) -> None:
    from safetensors.torch import load_file
    from torch.testing import assert_close

    parts = trained(replace(usual(tmp_path / "n", net=PLAIN), pieces=pieces))
    assert_close(*(load_file(path / "weights.safetensors") for path in (whole, parts)), rtol=0, atol=2e-6)
    records = [Training.from_json((path / TRAINING).read_bytes()) for path in (whole, parts)]
    assert records[1].train_loss == pytest.approx(records[0].train_loss, rel=1e-5)
    assert (records[0].micro_batch, records[1].micro_batch) == (None, -(-32 // pieces))


def test_what_fits_is_declared_and_no_recipe_changes_that_does_not() -> None:
    assert "on_out_of_memory" not in network().recipe()
    assert replace(network(), on_out_of_memory="halve").recipe()["on_out_of_memory"] == "halve"
    with pytest.raises(SpecError, match="one of stop, halve"):
        replace(network(), on_out_of_memory="retry")
    with pytest.raises(SpecError, match=r"Sequence\.parallel"):
        replace(network(), on_out_of_memory="halve", sequence=Sequence(entity=("shelf",)))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_what_counts_as_memory_that_ran_out(error: Exception, expected: bool) -> None:
    import torch

    from mlops_platform.training.program.pieces import ran_out

    assert ran_out(error) is expected
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
