"""What an answer rests on may be removed: the rest of the walk is told all the same, and what is not there by name."""

import shutil
from pathlib import Path

import pytest
from rich.console import Console

from mlops_platform.cli.why_tree import newest, why_tree
from mlops_platform.manifest import short
from mlops_platform.provenance.page import page
from mlops_platform.provenance.router import Explanation
from mlops_platform.provenance.walk import Why, as_json, why
from mlops_platform.resources.home import Home
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.provenance.conftest import answer, feature_row

KINDS = ("checkpoint", "dataset", "evaluation", "verdict", "features", "raw", "predictions")


def told(found: Why) -> str:
    """All three forms of the walk, each of which must be whole."""
    Explanation.model_validate(as_json(found))
    console = Console(width=400)
    with console.capture() as shown:
        console.print(why_tree(found))
    text = page(found)
    assert text.endswith("</html>") and "not recorded" in shown.get()
    return shown.get()


@pytest.mark.parametrize("mode", ["batch", "online"])
@pytest.mark.parametrize("removed", [*((kind,) for kind in KINDS), KINDS], ids="-".join)
def test_the_rest_of_the_walk_is_told(live: Home, removed: tuple[str, ...], mode: str) -> None:
    asked = answer(live, 1, feature_row(live)) if mode == "online" else newest(PROJECT, live)
    before = why(live, PROJECT, asked)
    for kind in removed:
        shutil.rmtree(live.artifacts / kind)
    found = why(live, PROJECT, asked)
    text, missing = told(found), "\n".join(found.missing)
    assert found.mode == mode and found.moves == before.moves and found.prediction == before.prediction
    assert before.checkpoint is not None and before.dataset is not None
    assert (found.checkpoint is None) == ("checkpoint" in removed) == (short(before.checkpoint.digest) in missing)
    assert (found.dataset is None) == ("dataset" in removed)
    assert short(before.checkpoint.digest) in text
    if "dataset" in removed and len(removed) == 1:
        assert short(before.dataset.digest) in missing and "removed since" in text
    if removed == ("raw",):
        assert [row.values for row in found.features] == [row.values for row in before.features]
        assert all(row.source is None for row in found.features) and "raw rows behind the row of" in missing
    if "features" in removed and mode == "batch":
        assert found.features == []
    if "predictions" in removed and mode == "batch":
        assert (found.inputs, found.features_read, found.example) == ({}, {}, None)
        assert before.prediction["batch"][7:15] in missing or short(before.prediction["batch"]) in missing
    if "predictions" not in removed or mode == "online":
        assert found.features_read == before.features_read


def test_removed_things_name_no_folder_of_the_machine(live: Home) -> None:
    asked = answer(live, 1, feature_row(live))
    for kind in KINDS:
        shutil.rmtree(live.artifacts / kind)
    assert str(Path(live.path)) not in str(as_json(why(live, PROJECT, asked)))
