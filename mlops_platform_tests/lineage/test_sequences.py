"""A network of sequences through every room: the wells, each a sequence of days."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import Manifest, digest_file, short
from mlops_platform.resources.aliases import Pointed
from mlops_platform.resources.artifacts import Artifact, ArtifactStore
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.feast import FeastDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.scoring import InputError, Scorer
from mlops_platform.serving.answer_log import AnswerLog
from mlops_platform.serving.live import LiveModel
from mlops_platform.serving.loading import load_version
from mlops_platform.serving.question import Question
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


@pytest.fixture
def live(wells: Home) -> Iterator[LiveModel]:
    log = AnswerLog(wells, PROJECT, MODEL)
    found = LiveModel(wells, PROJECT, MODEL, log=log.log, every=None)
    found.refresh()
    assert found.ready, found.standing()
    yield found
    found.close()
    log.close()


def answers_of(home: Home) -> pl.DataFrame:
    return pl.read_parquet(of(home, "predictions").file("predictions.parquet"))


def asked(frame: pl.DataFrame) -> Question:
    """A question that brings the features of a batch."""
    own = ["well", "event_timestamp", "tide_sin", "tide_cos", "weekday", "day_id"]
    return Question(examples=frame.select(own), features=frame.select("well_state__level"))


def test_a_live_answer_is_the_batchs_to_the_bit(wells: Home, live: LiveModel) -> None:
    batch = answers_of(wells)
    (answer,) = live.answer(asked(batch))
    assert np.array_equal(answer.scores, batch["score"].to_numpy())
    assert not np.array_equal(answer.scores, Scorer.load(of(wells, "checkpoint")).score(batch))
    singly = [live.answer(asked(batch[row]))[0].scores[0] for row in range(batch.height)]
    assert np.allclose(np.stack(singly), answer.scores, rtol=1e-5)
    (again,) = live.answer(asked(batch))
    assert np.array_equal(again.scores, answer.scores)


def test_the_features_come_from_the_online_store_too(wells: Home, live: LiveModel) -> None:
    batch = answers_of(wells)
    (answer,) = live.answer(replace(asked(batch), features=None))
    assert np.array_equal(answer.scores, batch["score"].to_numpy())


def test_several_rows_of_a_well_are_its_next_days_in_the_order_of_time(wells: Home, live: LiveModel) -> None:
    batch, scorer = answers_of(wells), Scorer.load(of(wells, "checkpoint"))
    days = pl.concat([batch.with_columns(pl.col("event_timestamp") + timedelta(days=day)) for day in (2, 0, 1)])
    (answer,) = live.answer(asked(days))
    raw, table = (Refs(wells).read(f"wells/{name}").manifest.delta for name in ("raw/levels", "features/well_state"))
    before = ahead(DeltaDoor(wells.root / raw.path).scan(raw.version)).drop("label", "label_known_timestamp").collect()
    past = FeastDoor(wells, PROJECT).with_features(MODEL, before, {"well_state": table})
    assert np.array_equal(answer.scores, scorer.score(days, past))
    with pytest.raises(InputError, match="one row for each well"):
        live.answer(asked(pl.concat([batch, batch])))


def test_an_answer_says_from_which_state_and_one_without_begins_anew(wells: Home, live: LiveModel) -> None:
    batch, made = answers_of(wells), of(wells, "predictions")
    strangers = batch.with_columns(well=pl.lit("W9"))[:1]
    (answer,) = live.answer(asked(pl.concat([batch, strangers])))
    states = pl.read_parquet(made.file("states.parquet"))
    assert states.columns == ["well", "event_timestamp", "state"] and states["well"].to_list() == [
        "W0",
        "W1",
        "W2",
        "W3",
    ]
    assert states.schema["state"] == pl.List(pl.Float32)
    name = short(made.manifest.digest)
    at = states["event_timestamp"][0].isoformat()
    told = [{"state": f"after {at}, of predictions {name}"}] * 4
    assert answer.marks == [*told, {"state": f"initial, none in the states of predictions {name}"}]
    assert np.allclose(answer.scores[4], Scorer.load(of(wells, "checkpoint")).score(strangers)[0], rtol=1e-5)
    standing = live.standing()["states"]
    assert standing == {"predictions": made.manifest.digest, "made_at": made.manifest.produced.at, "entities": 4,
                        "newest": at, "awaited": None}  # fmt: skip


def test_a_question_that_is_not_later_than_the_state_is_refused(wells: Home, live: LiveModel) -> None:
    with pytest.raises(InputError, match="the last row in the state of its well"):
        live.answer(asked(answers_of(wells).with_columns(pl.col("event_timestamp") - timedelta(days=1))))


def remade(home: Home, *, checkpoint: str | None = None, damaged: bool = False) -> Manifest:
    """Stands the station for other predictions: states of zeros, or of another checkpoint, or other bytes than told."""
    store, source = ArtifactStore(home), of(home, "predictions")
    staging = store.stage()
    for name in source.manifest.files:
        shutil.copy(source.folder / name, staging / name)
    path = staging / "states.parquet"
    zeros = pl.col("state").list.eval(pl.element() * 0)
    pl.read_parquet(path).with_columns(zeros).write_parquet(path)
    content = dict(source.manifest.content)
    if checkpoint is not None:
        content["states"] = {**content["states"], "checkpoint": checkpoint}
    files = {name: digest_file(staging / name) for name in source.manifest.files}
    made = store.commit(staging, replace(source.manifest, files=files, content={**content, "again": damaged}))
    if damaged:
        _damage(store.open(made.kind, made.digest).folder / "states.parquet")
    Refs(home).write(made)
    return made


def _damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.fixture
def predictions(wells: Home) -> Iterator[Manifest]:
    """What the station stands for, before and after a test."""
    before = of(wells, "predictions").manifest
    yield before
    Refs(wells).write(before)


def test_newer_states_are_taken_and_damaged_ones_are_not(wells: Home, live: LiveModel, predictions: Manifest) -> None:
    question = asked(answers_of(wells))
    (before,) = live.answer(question)
    since = live.standing()["since"]
    made = remade(wells)
    live.refresh()
    (after,) = live.answer(question)
    assert not np.array_equal(after.scores, before.scores)
    assert live.standing()["states"]["predictions"] == made.digest
    assert (live.standing()["swaps"], live.standing()["since"]) == (0, since)
    remade(wells, damaged=True)
    live.refresh()
    assert live.ready and np.array_equal(live.answer(question)[0].scores, after.scores)
    standing = live.standing()["states"]
    assert standing["predictions"] == made.digest and "states.parquet of digest" in standing["awaited"]
    Refs(wells).write(predictions)
    live.refresh()
    assert np.array_equal(live.answer(question)[0].scores, before.scores)
    assert live.standing()["states"]["awaited"] is None


def test_without_states_of_its_checkpoint_it_is_not_ready(wells: Home, predictions: Manifest) -> None:
    remade(wells, checkpoint=f"sha256:{'0' * 64}")
    live = LiveModel(wells, PROJECT, MODEL, every=None)
    live.refresh()
    assert not live.ready and "those of checkpoint 000000000000" in live.standing()["reason"]
    assert "wells/water_level/predictions" in live.standing()["reason"]
    assert list(wells.refusals("wells", "water_level").glob("*.json")) == []
    Refs(wells).write(predictions)
    live.refresh()
    assert live.ready and live.standing()["states"]["awaited"] is None
    live.close()


def test_damaged_states_are_no_fault_of_the_version_and_later_ones_are_taken(
    wells: Home, predictions: Manifest
) -> None:
    remade(wells, damaged=True)
    live = LiveModel(wells, PROJECT, MODEL, every=None)
    live.refresh()
    standing = live.standing()
    assert not live.ready and standing["refused"] is None and "states.parquet of digest" in standing["reason"]
    assert list(wells.refusals("wells", "water_level").glob("*.json")) == []
    Refs(wells).write(predictions)
    live.refresh()
    assert live.ready and live.standing()["states"]["predictions"] == predictions.digest
    live.close()


def test_no_program_of_sequences_is_loaded_without_states(wells: Home) -> None:
    checkpoint = of(wells, "checkpoint").manifest.digest
    with pytest.raises(PlatformError, match="states for"):
        load_version(wells, PROJECT, MODEL, Pointed(version="1", checkpoint=checkpoint))
