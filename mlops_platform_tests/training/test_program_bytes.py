"""The program run by hand gives the bytes that it gave under Dagster, and torch agrees with the exported program."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from mlops_platform.manifest import digest_file
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.launchers import PROGRAM
from mlops_platform.scoring import Scorer
from mlops_platform.training.job import Device, Job
from mlops_platform_tests.training.tiny import CATEGORIES, NUMERIC, Shop, rows


def test_two_programs_write_the_same_bytes(tiny_shop: Shop, checkpoint: Artifact, tmp_path: Path) -> None:
    output = tmp_path / "output"
    output.mkdir()
    job = Job(
        train=tiny_shop.dataset.file("train.parquet"), validation=tiny_shop.dataset.file("validation.parquet"),
        holdout=tiny_shop.dataset.file("holdout.parquet"), output=output, numeric=NUMERIC, categories=CATEGORIES,
        network=tiny_shop.project.models[0].network, device=Device(threads=1),
    ).write(tmp_path / "job.json")  # fmt: skip
    subprocess.run([sys.executable, "-m", PROGRAM, "--job", str(job)], check=True, cwd=Path(__file__).parents[2])
    assert {path.name: digest_file(path) for path in output.iterdir()} == dict(checkpoint.manifest.files)


def test_the_scorer_gives_what_torch_gives(checkpoint: Artifact) -> None:
    import torch
    from safetensors.torch import load_file

    from mlops_platform.training.program.network import Normaliser, ScoringProgram
    from mlops_platform_tests.training.networks import Tiny

    scorer = Scorer.load(checkpoint)
    encoding = scorer.encoding
    normaliser = Normaliser(torch.zeros(len(NUMERIC)), torch.ones(len(NUMERIC)))
    program = ScoringProgram(normaliser, Tiny(numeric=normaliser.width, cardinalities=encoding.cardinalities))
    program.load_state_dict(load_file(checkpoint.file("weights.safetensors")))
    frame = rows(200, seed=7).with_columns(pl.col("shelves__size") * 1e6, colour=pl.lit("never seen"))
    numeric, categories = encoding.encode(frame)
    with torch.inference_mode():
        expected = program.eval()(torch.from_numpy(numeric), torch.from_numpy(categories)).numpy()
    assert np.abs(scorer.score(frame) - expected).max() <= 1e-5
    assert encoding.network["module"].endswith(":Tiny")


def test_no_file_names_this_machine(checkpoint: Artifact) -> None:
    here = str(Path(__file__).parents[2]).encode()
    for name in checkpoint.manifest.files:
        assert here not in checkpoint.file(name).read_bytes()
