"""The registered folder, packaged without torch and read by MLflow's PyTorch loader without a pickle."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_platform.manifest import digest_file
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.scoring.torch_archive import ARCHIVE

pytestmark = pytest.mark.long

_READ = """
import json, sys
from pathlib import Path
import polars as pl
from mlops_platform.registry.package import package_agrees, write_package
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.scoring import Scorer
home, folder = Home(Path(sys.argv[1])), Path(sys.argv[2])
checkpoint = Refs(home).read("pumps/pump_repair/checkpoint")
holdout = pl.read_parquet(Refs(home).read("pumps/pump_repair/dataset").file("holdout.parquet"))
write_package(checkpoint, holdout, folder)
agreed = package_agrees(folder, checkpoint, holdout)
light = "torch" not in sys.modules
import mlflow, numpy, torch
module = mlflow.pytorch.load_model(str(folder))
numeric, categories = Scorer.load(checkpoint).encode(holdout)
scores = Scorer.load(checkpoint).score(holdout)
off = []
for rows in (1, 2, len(holdout)):
    with torch.inference_mode():
        told = module(torch.from_numpy(numeric[:rows]), torch.from_numpy(categories[:rows])).numpy()
    off.append(float(numpy.abs(told - scores[:rows]).max()))
print(json.dumps({"agreed": agreed, "light": light, "off": off}))
"""


def test_torchs_form_is_loaded_by_mlflow_without_unpickling(
    pumps_home: Path, use_home: Callable, tmp_path: Path
) -> None:
    home = use_home(pumps_home)
    environment = {**os.environ, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    done = subprocess.run([sys.executable, "-c", _READ, str(home.path), str(tmp_path / "model")], env=environment,
                          capture_output=True, text=True, cwd=Path(__file__).parents[2])  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["light"], "registration imports no torch"
    assert told["agreed"] == {"signature": True, "largest_difference": 0.0, "torch_form": True}
    assert max(told["off"]) <= 1e-5, "for batches of one, of two and of all"
    kept = home.mlflow / "models" / Refs(home).read("pumps/pump_repair/checkpoint").folder.name
    files = {str(path.relative_to(kept)): digest_file(path) for path in kept.rglob("*") if path.is_file()}
    again = {
        str(p.relative_to(tmp_path / "model")): digest_file(p) for p in (tmp_path / "model").rglob("*") if p.is_file()
    }
    assert files == again, "two processes package the same bytes"
    assert files["data/model.pt2"] == Refs(home).read("pumps/pump_repair/checkpoint").manifest.files[ARCHIVE]


def test_the_registered_folder_names_both_forms(pumps_home: Path) -> None:
    registered = Refs(Home(pumps_home)).read("pumps/pump_repair/registered_model")
    described = (registered.folder / "model" / "MLmodel").read_text()
    assert "  onnx:\n" in described and "  pytorch:\n" in described and "loader_module: mlflow.onnx" in described
    assert registered.manifest.content["torch_form"] is True
