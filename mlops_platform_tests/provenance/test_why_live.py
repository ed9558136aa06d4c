"""A live answer is walked back to its feature rows and files, and what is not recorded is told in words."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from rich.console import Console, RenderableType

from mlops_platform.cli.why_tree import why_tree
from mlops_platform.errors import CorruptArtifactError
from mlops_platform.manifest import short
from mlops_platform.provenance.logged import UnknownPredictionError
from mlops_platform.provenance.walk import LEFT_OUT, as_json, why
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.online import OnlineDoor
from mlops_platform.resources.prediction_log.personal import Personal, key_file
from mlops_platform.resources.prediction_log.shipping import ship
from mlops_platform.resources.reachability import roots, stored
from mlops_platform.resources.refs import Refs
from mlops_platform.serving.answer_log import AnswerLog
from mlops_platform.serving.live import LiveModel
from mlops_platform.serving.question import Question
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT
from mlops_platform_tests.provenance.conftest import answer, feature_row, live_id
from mlops_platform_tests.serving.answering import answer as made
from mlops_platform_tests.serving.answering import log_of, question
from mlops_platform_tests.serving.test_personal import of_people


def test_a_live_answer_is_walked_back_to_its_source_file(live: Home) -> None:
    row = feature_row(live)
    found = why(live, PROJECT, answer(live, 1, row))
    (told,) = found.features
    assert (found.mode, found.role, found.example) == ("online", "champion", None)
    assert (told.event_timestamp, told.known_timestamp) == (row["event_timestamp"], row["known_timestamp"])
    assert (told.status, told.as_answered, told.recomputed_equal) == ("present", True, True)
    assert told.source is not None
    (file,) = told.source.files
    raw = pl.read_parquet(live.landing / "readings" / file["name"])[file["rows"][0]]
    assert raw["temperature"][0] == row["temperature"]
    assert found.inputs["pump"] == "P1" and found.features_read["pump_state__temperature"] == row["temperature"]
    assert [move.action for move in found.moves] == ["promote"]
    assert found.verdict is not None and found.verdict.content["passed"] is not None
    assert found.evaluation is not None
    assert found.evaluation.digest == found.verdict.recipe.inputs["evaluation"]
    assert {run.station for run in found.runs} >= {"pumps/pump_repair/checkpoint", "pumps/pump_repair/dataset"}
    assert all(run.dagster.endswith(run.run_id) for run in found.runs)
    assert any(run.mlflow and "/#/experiments/" in run.mlflow for run in found.runs)
    json.dumps(as_json(found), allow_nan=False)


def test_a_feature_row_that_is_gone_is_said_to_be(live: Home) -> None:
    row = feature_row(live)
    later = {**row, "event_timestamp": row["event_timestamp"] + timedelta(days=9)}
    found = why(live, PROJECT, answer(live, 1, later))
    (told,) = found.features
    assert (told.version, told.source, told.as_answered) == (None, None, None)
    assert told.values["temperature"] == row["temperature"]
    assert any("no recorded version of the table has it" in text for text in found.missing)


def test_a_row_that_only_an_older_version_has_is_found_there(live: Home) -> None:
    row = feature_row(live)
    asked = answer(live, 1, row)
    table = DeltaDoor(live.feature_table("pumps", "pump_state"))
    kept = table.scan().filter(pl.col("event_timestamp") != row["event_timestamp"]).collect()
    old = Refs(live).read("pumps/features/pump_state").manifest
    table.replace(kept, list(table.digests()), metadata={}, digests=table.digests())
    # The station stands for nothing newer that has the row.
    Refs(live).forget("pumps/features/pump_state")
    (told,) = why(live, PROJECT, asked).features
    assert (told.version, told.digest, told.recomputed_equal) == (old.delta.version, old.digest, True)


def test_the_version_that_was_online_is_asked_before_the_newest(live: Home) -> None:
    row = feature_row(live)
    online, old = (Refs(live).read(f"pumps/{name}").manifest for name in ("feast/online", "features/pump_state"))
    cited, uncited = answer(live, 1, row, online=online.digest), answer(live, 2, row)
    table = DeltaDoor(live.feature_table("pumps", "pump_state"))
    rebuilt = table.scan().with_columns(pl.col("temperature") + 1).collect()
    table.replace(rebuilt, list(table.digests()), metadata={}, digests=table.digests())
    store = ArtifactStore(live)
    newer = replace(old, table=replace(old.delta, version=table.version), content={**old.content, "rebuilt": True})
    newest = store.commit(store.stage(), newer)
    Refs(live).write(newest)
    ((then,), (now,)) = (why(live, PROJECT, each).features for each in (cited, uncited))
    assert (then.digest, then.as_answered) == (old.digest, True)
    assert (now.digest, now.as_answered) == (newest.digest, False)
    # Garbage collection keeps what the log cites, when nothing stands for it any more.
    Refs(live).forget("pumps/feast/online")
    assert online.digest in roots(live, MlflowDoor(live, "pumps"), stored(live), young=timedelta(0))


def test_values_that_differ_from_the_tables_are_told(live: Home) -> None:
    row = feature_row(live)
    changed = {"pump_state__temperature": row["temperature"] + 1, "pump_state__vibration": row["vibration"]}
    (told,) = why(live, PROJECT, answer(live, 1, row, features=changed)).features
    assert (told.as_answered, told.recomputed_equal) == (False, True)
    assert told.values["temperature"] == row["temperature"] + 1


def test_missing_stale_and_given_features_are_told_apart(live: Home) -> None:
    row, nothing = feature_row(live), {"pump_state__temperature": None, "pump_state__vibration": None}
    marks = dict.fromkeys(nothing, "missing")
    times = {"pump_state": {"event": None, "known": None, "status": "missing"}}
    (missing,) = why(live, PROJECT, answer(live, 1, row, features=nothing, feature_times=times, marks=marks)).features
    assert (missing.status, missing.source, missing.marks["temperature"]) == ("missing", None, "missing")
    read = {"event": row["event_timestamp"].isoformat(), "known": row["known_timestamp"].isoformat()}
    stale_times = {"pump_state": {**read, "status": "stale"}}
    (stale,) = why(live, PROJECT, answer(live, 2, row, features=nothing, feature_times=stale_times)).features
    assert (stale.status, stale.as_answered, stale.values["temperature"]) == ("stale", True, None)
    assert stale.source is not None and stale.source.count == 1
    given = why(live, PROJECT, answer(live, 3, row, feature_times=None))
    assert given.features == [] and any("the caller gave its values" in text for text in given.missing)


def test_a_shadow_answer_can_be_asked_and_tells_its_role(live: Home) -> None:
    assert why(live, PROJECT, answer(live, 1, feature_row(live), role="shadow")).role == "shadow"


def test_the_terminal_tells_roles_marks_and_what_is_gone(live: Home) -> None:
    row = feature_row(live)
    later = {**row, "event_timestamp": row["event_timestamp"] + timedelta(days=9)}
    nothing = {"pump_state__temperature": 1.5, "pump_state__vibration": None}
    times = {"pump_state": {"event": None, "known": None, "status": "missing"}}
    asked = [
        answer(live, 1, row, role="shadow"), answer(live, 2, later),
        answer(live, 3, row, features=nothing, feature_times=times, marks={"pump_state__temperature": "default"}),
    ]  # fmt: skip
    shadow, gone, filled = (printed(why_tree(why(live, PROJECT, each))) for each in asked)
    assert "by a shadow: nobody was shown it" in shadow and "recomputed: equal" in shadow
    assert "question of a caller: pump P1" in shadow and "/#/models/pumps.pump_repair/versions/1" in shadow
    assert "<b>P1</b>" in shadow and "/runs/" in shadow and "conditions met" in shadow
    assert "no recorded version of the table has it" in gone
    assert "no row was visible, the model got temperature 1.5" in filled


def printed(what: RenderableType) -> str:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(what)
    return shown.get()


def test_an_answer_that_waits_in_a_journal_is_found_and_again_once_it_is_shipped(live: Home) -> None:
    history = PromotionHistory(live, "pumps", "pump_repair").live()
    assert history is not None and history.checkpoint is not None
    log = log_of(live)
    given = replace(made(np.arange(2)), checkpoint=history.checkpoint)
    log.log(question(2), [given])
    waiting = why(live, PROJECT, given.ids[0])
    assert (waiting.mode, waiting.prediction["example_id"]) == ("online", "P0-20240510")
    assert DeltaDoor(live.prediction_log("pumps", "pump_repair")).scan().filter(mode="online").collect().is_empty()
    (row,), (none,) = waiting.features, why(live, PROJECT, given.ids[1]).features
    assert (row.status, row.version, row.values["temperature"]) == ("present", None, 61.5)
    assert (none.status, none.marks) == ("missing", {"temperature": "missing", "vibration": "missing"})
    log.close()
    assert ship(live, PROJECT, MODEL).answers == 2
    shipped = why(live, PROJECT, given.ids[0])
    assert (shipped.features, shipped.inputs, shipped.missing) == (waiting.features, waiting.inputs, waiting.missing)


def test_a_personal_key_is_told_as_its_hash_and_its_row_is_found_by_it(live: Home) -> None:
    project, model = of_people()
    row = feature_row(live)
    hashed = Personal(live, project, model).logged(pl.DataFrame({"pump": ["P1"]}))["pump"][0]
    features = {"pump_state__vibration": row["vibration"]}
    asked = answer(live, 1, row, inputs={"pump": hashed, "inspection_id": "h-1"}, features=features)
    found = why(live, project, asked)
    (told,) = found.features
    assert (told.keys, told.as_answered, told.recomputed_equal) == ({"pump": hashed}, True, True)
    assert "temperature" in told.values and told.values["temperature"] is None
    text = json.dumps(as_json(found)["features"]) + json.dumps(found.inputs)
    assert "P1" not in text and str(row["temperature"]) not in text
    batch = DeltaDoor(live.prediction_log("pumps", "pump_repair")).scan().filter(mode="batch").collect()
    of_batch = why(live, project, batch["prediction_id"][0])
    assert of_batch.prediction["example_id"] == LEFT_OUT and found.prediction["example_id"] == LEFT_OUT
    assert of_batch.inputs["pump"] == of_batch.features[0].keys["pump"] == LEFT_OUT
    assert of_batch.features[0].values["temperature"] == LEFT_OUT and of_batch.features[0].recomputed_equal
    key_file(live).unlink()
    without = why(live, project, asked)
    assert without.features[0].source is None
    assert any("is personal, and neither it nor the secret" in text for text in without.missing)
    assert not key_file(live).exists()


def test_the_log_is_not_read_to_find_one_answer(live: Home) -> None:
    """All other files of the log could be damaged."""
    asked = answer(live, 7, feature_row(live))
    for path in live.prediction_log("pumps", "pump_repair").rglob("*.parquet"):
        if "2026-02-03" not in str(path):
            path.write_bytes(b"damaged")
    assert why(live, PROJECT, asked).prediction["prediction_id"] == asked


@pytest.mark.parametrize("asked", [
    "", "o-", "../../etc/passwd", "o-20260203T040506000789-0123abcd000001' OR '1'='1", "p-" + "0" * 100_000,
    "p-\N{SNOWMAN}\x00", "<script>alert(1)</script>", "%", "*", "o-20260203T040506000789-0123abcd999999",
])  # fmt: skip
def test_hostile_and_unknown_ids_are_unknown(pumps_home: Path, asked: str) -> None:
    with pytest.raises(UnknownPredictionError, match="take an id from an answer"):
        why(Home(pumps_home), PROJECT, asked)


def test_what_was_removed_is_missing_and_what_was_edited_is_corrupt(live: Home) -> None:
    asked = answer(live, 1, feature_row(live))
    found = why(live, PROJECT, asked)
    assert found.verdict is not None and found.dataset is not None
    shutil.rmtree(live.artifacts / "verdict" / found.verdict.digest.removeprefix("sha256:"))
    without = why(live, PROJECT, asked)
    assert without.verdict is None
    assert any(short(found.verdict.digest) in text for text in without.missing)
    manifest = live.artifacts / "dataset" / found.dataset.digest.removeprefix("sha256:") / "manifest.json"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole.replace(b'"rows":', b'"rowz":', 1))
    with pytest.raises(CorruptArtifactError):
        why(live, PROJECT, asked)
    shutil.rmtree(manifest.parent)
    assert why(live, PROJECT, asked).dataset is None


def test_ids_of_batch_and_live_answers_are_found_beside_each_other(live: Home) -> None:
    answer(live, 1, feature_row(live))
    log = DeltaDoor(live.prediction_log("pumps", "pump_repair")).scan().collect()
    for asked in log["prediction_id"]:
        found = why(live, PROJECT, asked)
        assert found.prediction["prediction_id"] == asked
        assert found.mode == ("online" if asked == live_id(1) else "batch")
        assert all(row.recomputed_equal for row in found.features)


def test_what_the_service_itself_answered_and_logged_is_walked_back(live: Home) -> None:
    """As ``mlops serve`` opens champion, online store and journal: of one pump that it knows and one it does not."""
    log = AnswerLog(live, PROJECT, MODEL)
    champion = LiveModel(live, PROJECT, MODEL, online=OnlineDoor(live, PROJECT), log=log.log, every=None)
    champion.refresh()
    assert champion.ready, champion.standing()
    at = feature_row(live)["event_timestamp"] + timedelta(hours=1)
    asked = pl.DataFrame({
        "pump": ["P1", "nobody's"], "event_timestamp": pl.Series([at, at]).cast(pl.Datetime("us", "UTC")),
        "weekday": pl.Series([3, 3], dtype=pl.Int64), "inspection_id": pl.Series([None, "x"], dtype=pl.String),
    })  # fmt: skip
    (given,) = champion.answer(Question(examples=asked))
    known, unknown = (why(live, PROJECT, each) for each in given.ids)
    champion.close()
    log.close()
    assert known.prediction["score"] == pytest.approx(float(given.scores[0]), abs=0)
    ((found,), (missing,)) = known.features, unknown.features
    assert (found.status, found.as_answered, found.recomputed_equal) == ("present", True, True)
    assert found.event_timestamp == feature_row(live)["event_timestamp"]
    assert (missing.status, missing.source, set(missing.marks)) == ("missing", None, {"temperature", "vibration"})
    assert known.checkpoint is not None and known.checkpoint.digest == given.checkpoint and known.role == "champion"
    # What was online then is cited, so that its table versions are found, and not collected.
    assert known.prediction["online"] == Refs(live).read("pumps/feast/online").manifest.digest
