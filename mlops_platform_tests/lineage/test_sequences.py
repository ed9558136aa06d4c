"""A network of sequences through every room: the wells, each a sequence of days."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.scoring import Scorer
from mlops_platform.spec import Network, Sequence
from mlops_platform_tests.lineage.run import failures, land, materialize, red_checks
from mlops_platform_tests.lineage.wells.functions import ahead
from mlops_platform_tests.lineage.wells.project import MODEL as ROWS
from mlops_platform_tests.lineage.wells.project import PROJECT as WELLS

MODEL = replace(
    ROWS,
    network=Network(
        module="mlops_platform_tests.training.recurrences:Gated", epochs=12, learning_rate=0.05,
        sequence=Sequence(entity=("well",), window=8),
    ),
)  # fmt: skip
PROJECT = replace(WELLS, models=(MODEL,))
PARTS = ("train", "validation", "holdout")

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def wells(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with one landing; its run was whole and every check green."""
    with pytest.MonkeyPatch.context() as patch:
        home = Home(tmp_path_factory.mktemp("wells") / "home")
        for name in ("MLOPS_HOME", "DAGSTER_HOME"):
            patch.setenv(name, str(home.path))
        for name, value in (("MLOPS_ENV", "dev"), ("MLOPS_ACTOR", "tests"), ("MLOPS_LANDING", "")):
            patch.setenv(name, value)
        land(home, PROJECT, "2024-06")
        result = materialize(home, PROJECT)
        assert result.success, failures(result)
        assert red_checks(result) == {}
        yield home


def of(home: Home, station: str) -> Artifact:
    return Refs(home).read(f"wells/water_level/{station}")


def part(home: Home, name: str) -> pl.DataFrame:
    return pl.read_parquet(of(home, "dataset").file(f"{name}.parquet"))


def test_what_no_part_has_is_the_datasets_context_without_a_label(wells: Home) -> None:
    content, context = of(wells, "dataset").manifest.content, part(wells, "context")
    left_out = content["purged"] + content["embargoed"] + sum(content["unlabelled"].values())
    assert context.height == content["context"] == left_out > 0
    assert not {"label", "label_known_timestamp"} & set(context.columns)
    everything = pl.concat([part(wells, name).select(context.columns) for name in PARTS] + [context])
    days = everything.sort("well", "event_timestamp").select(pl.col("event_timestamp").diff().over("well"))
    assert days.drop_nulls().unique().height == 1


def test_the_holdout_is_answered_with_the_state_of_all_days_before(wells: Home) -> None:
    scorer, holdout = Scorer.load(of(wells, "checkpoint")), part(wells, "holdout")
    columns = list(scorer.encoding.columns)
    before = pl.concat([part(wells, name).select(columns) for name in ("train", "validation", "context")])
    found = pl.read_parquet(of(wells, "evaluation").file("scores.parquet"))["challenger"].to_numpy()
    assert np.array_equal(found, scorer.score(holdout, before))
    assert not np.array_equal(found, scorer.score(holdout))


def test_predictions_go_through_all_days_so_far(wells: Home) -> None:
    scorer = Scorer.load(of(wells, "checkpoint"))
    answers = pl.read_parquet(of(wells, "predictions").file("predictions.parquet"))
    raw, table = (Refs(wells).read(f"wells/{name}").manifest.delta for name in ("raw/levels", "features/well_state"))
    days = ahead(DeltaDoor(wells.root / raw.path).scan(raw.version)).drop("label", "label_known_timestamp").collect()
    past = FeastDoor(wells, PROJECT).with_features(MODEL, days, {"well_state": table})
    assert np.array_equal(answers["score"].to_numpy(), scorer.score(answers, past))
    assert not np.array_equal(answers["score"].to_numpy(), scorer.score(answers))


def test_every_feature_is_told_online_as_in_the_dataset_and_what_is_not_compared_is_said(wells: Home) -> None:
    content = of(wells, "skew").manifest.content
    assert (content["agrees"], content["rows"], content["features"]) == (True, part(wells, "holdout").height, 1)
    assert content["scores"] == {} and "state" in content["scores_not_compared"]


def test_the_registered_package_takes_a_state_and_returns_the_next(wells: Home) -> None:
    (package,) = (of(wells, "registered_model").folder / "model").glob("MLmodel")
    text = package.read_text()
    assert "next_state" in text and '"name": "state"' in text
    assert of(wells, "registered_model").manifest.content["signature"] is True
