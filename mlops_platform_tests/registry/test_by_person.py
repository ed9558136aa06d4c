"""A person rolls back, promotes, lifts a bar and rehearses; the graph respects it, and nothing is forgotten."""

import json
from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.lineage import build_definitions
from mlops_platform.registry.alias import ChampionAlias
from mlops_platform.registry.by_person import Asked, allow, promote, rehearse, rollback
from mlops_platform.resources.aliases import CHAMPION, CHECKPOINT_TAG
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.resources.station import Progress
from mlops_platform_tests.lineage.pumps.variants import BETTER, trained
from mlops_platform_tests.lineage.run import failures, materialize, red_checks

pytestmark = pytest.mark.long

ADA = Asked(by="ada", because="complaints since noon")
CHAMPION_ASSET = 'key:"pumps/pump_repair/champion"'


def actions(alias: ChampionAlias) -> list[str]:
    return [move.action for move in alias.history.moves()]


def live(alias: ChampionAlias) -> tuple[str | None, str | None]:
    """What the history and what MLflow says."""
    newest = alias.history.live()
    return newest.champion if newest else None, alias.pointed()


def test_a_rolled_back_champion_does_not_come_back_by_itself(
    moved: ChampionAlias, moved_home: Home, listening: list[Progress]
) -> None:
    move = rollback(moved, ADA)
    assert (move.action, move.version, move.previous, move.champion) == ("rollback", "2", "2", "1")
    assert (move.actor, move.reason, move.person) == ("ada", "complaints since noon", True)
    assert live(moved) == ("1", "1")
    assert materialize(moved_home, BETTER).success
    assert live(moved) == ("1", "1") and actions(moved) == ["promote", "promote", "rollback"]
    worked = {p.station for p in listening if p.seconds is not None and not p.hit and p.skipped is None}
    # The answers of version 1 are taken as they were made when it was live before; the log has grown since.
    assert worked == {f"pumps/pump_repair/{station}" for station in ("champion", "monitoring", "retrain_decision")}
    assert Refs(moved_home).read("pumps/pump_repair/champion").manifest.content["version"] == "1"
    listening.clear()
    assert materialize(moved_home, BETTER).success
    assert not [p for p in listening if p.seconds is not None and not p.hit and p.skipped is None]


def test_answers_come_from_the_version_rolled_back_to(moved: ChampionAlias, moved_home: Home) -> None:
    """Also where only the predictions are asked for: the history is read, not what the champion station said last."""
    rollback(moved, ADA)
    assert materialize(moved_home, BETTER, 'key:"pumps/pump_repair/predictions"').success
    assert Refs(moved_home).read("pumps/pump_repair/predictions").manifest.content["version"] == "1"


def test_a_new_verdict_does_not_bring_back_what_is_barred_until_it_is_lifted(
    moved: ChampionAlias, moved_home: Home
) -> None:
    rollback(moved, ADA)
    stricter = trained(4, max_calibration_error=0.9)
    assert materialize(moved_home, stricter).success
    kept = moved.history.moves()[-1]
    assert (kept.action, kept.champion) == ("keep", "1") and "barred since" in kept.reason and "ada" in kept.reason
    lifted = allow(moved, Asked(by="bob", because="the feed is mended"), version="2")
    assert (lifted.action, lifted.champion, moved.history.barred()) == ("allow", "1", {})
    assert materialize(moved_home, stricter, CHAMPION_ASSET).success
    assert live(moved) == ("2", "2") and actions(moved)[-3:] == ["keep", "allow", "promote"]


def test_what_cannot_be_rolled_back_is_said(moved: ChampionAlias, home: Home) -> None:
    def refused(to: str | None) -> str:
        with pytest.raises(PlatformError) as caught:
            rollback(moved, ADA, to=to)
        return str(caught.value)

    before = actions(moved)
    assert "version 7, which never was" in refused("7")
    assert "version 2, which is live" in refused("2")
    rollback(moved, ADA)
    assert "none but version 1, which is live; barred: 2" in refused(None)
    assert "mlops allow pump_repair --version 2" in refused("2")
    assert actions(moved) == [*before, "rollback"]


def test_nothing_is_lifted_that_is_not_barred(moved: ChampionAlias) -> None:
    with pytest.raises(PlatformError, match="barred now: none"):
        allow(moved, ADA, version="2")


def test_a_version_deleted_in_mlflow_is_no_target(moved: ChampionAlias) -> None:
    moved.door.client.delete_model_version(moved.name, "1")
    with pytest.raises(PlatformError, match="MLflow"):
        rollback(moved, ADA)
    assert live(moved) == ("2", "2") and actions(moved) == ["promote", "promote"]


def test_the_job_does_the_same(moved: ChampionAlias, moved_home: Home) -> None:
    job = build_definitions(BETTER).resolve_job_def("pumps_rollback")
    config = {"model": "pump_repair", "to": "1", "by": "ada", "because": "complaints"}
    with dg.DagsterInstance.get() as instance:
        result = job.execute_in_process(instance=instance, run_config={"ops": {"pumps_roll_back": {"config": config}}})
    assert result.success and live(moved) == ("1", "1")
    assert moved.history.moves()[-1].run_id == result.run_id


def test_approval_leaves_the_last_step_to_a_person(moved: ChampionAlias, moved_home: Home) -> None:
    waiting = trained(8, require_approval=True)
    result = materialize(moved_home, waiting)
    assert result.success, failures(result)
    kept = moved.history.awaiting()
    assert kept is not None and (kept.action, kept.version, kept.champion) == ("keep", "3", "2")
    assert kept.reason.startswith("awaits approval: mlops promote pump_repair --version 3") and "roc_auc" in kept.reason
    move = promote(moved, Asked(by="ada", because="reviewed"), version="3")
    assert (move.action, move.verdict, move.person) == ("promote", kept.verdict, True)
    assert live(moved) == ("3", "3") and moved.history.awaiting() is None
    assert materialize(moved_home, waiting).success
    assert live(moved) == ("3", "3") and actions(moved)[-2:] == ["keep", "promote"]
    assert Refs(moved_home).read("pumps/pump_repair/champion").manifest.content["version"] == "3"


def test_what_waited_is_promoted_once_approval_is_no_longer_required(moved: ChampionAlias, moved_home: Home) -> None:
    assert materialize(moved_home, trained(8, require_approval=True)).success
    assert live(moved) == ("2", "2")
    assert materialize(moved_home, trained(8)).success
    assert live(moved) == ("3", "3")


def test_a_person_promotes_only_what_is_registered_whole_and_allowed(moved: ChampionAlias) -> None:
    with pytest.raises(PlatformError, match="version 9"):
        promote(moved, ADA, version="9")
    with pytest.raises(PlatformError, match="which is live"):
        promote(moved, ADA, version="2")
    rollback(moved, ADA)
    with pytest.raises(PlatformError, match="barred by ada"):
        promote(moved, ADA, version="2")
    strange = moved.door.client.create_model_version(
        moved.name, source="nowhere", tags={CHECKPOINT_TAG: "sha256:" + "0" * 64}
    )
    with pytest.raises(PlatformError, match="checkpoint"):
        promote(moved, ADA, version=str(strange.version))
    assert live(moved) == ("1", "1")


def test_a_rehearsal_goes_there_and_back_and_bars_nothing(
    moved: ChampionAlias, moved_home: Home, listening: list[Progress]
) -> None:
    back = rehearse(moved, ADA)
    assert back.seconds is not None and 0 < back.seconds < 60 and f"{back.seconds:.2f} s" in back.reason
    assert [(m.action, m.champion) for m in moved.history.moves()[-2:]] == [("rehearsal", "1"), ("rehearsal", "2")]
    assert live(moved) == ("2", "2") and moved.history.barred() == {} and moved.history.rehearsed() == back
    result = materialize(moved_home, BETTER)
    assert not [p for p in listening if p.seconds is not None and not p.hit and p.skipped is None]
    shown = result.asset_materializations_for_node("pumps__pump_repair__champion")[0].metadata
    assert shown["rollback_rehearsed"].value == f"last rehearsed {back.at}, took {back.seconds:.2f} s"


def test_a_rehearsal_that_was_cut_off_is_ended_by_the_next_run(moved: ChampionAlias, moved_home: Home) -> None:
    rehearse(moved, ADA)
    (moved.history.folder / "000004.json").unlink()
    moved.door.client.set_registered_model_alias(moved.name, CHAMPION, "1")
    moved.history.note_carried_out("1")
    assert moved.history.cut_off() is not None and moved.history.rehearsed() is None
    result = materialize(moved_home, BETTER, CHAMPION_ASSET)
    assert result.success and live(moved) == ("2", "2") and moved.history.cut_off() is None
    assert actions(moved) == ["promote", "promote", "rehearsal", "rehearsal"]


def test_an_alias_that_is_only_late_is_nobodys_doing(moved: ChampionAlias, moved_home: Home) -> None:
    """The process died after the history was written and before the alias moved."""
    rollback(moved, ADA)
    moved.door.client.set_registered_model_alias(moved.name, CHAMPION, "2")
    moved.history.note_carried_out("2")
    assert materialize(moved_home, BETTER, CHAMPION_ASSET).success
    assert live(moved) == ("1", "1") and "found" not in actions(moved)


@pytest.mark.parametrize("pointed", ["1", None])
def test_an_alias_moved_by_hand_is_written_down_and_put_back(
    moved: ChampionAlias, moved_home: Home, pointed: str | None
) -> None:
    if pointed is None:
        moved.door.client.delete_registered_model_alias(moved.name, CHAMPION)
    else:
        moved.door.client.set_registered_model_alias(moved.name, CHAMPION, pointed)
    red = red_checks(materialize(moved_home, BETTER, CHAMPION_ASSET))
    assert set(red) == {"pumps/pump_repair/champion:alias_moved_by_nobody_else"}
    found = moved.history.moves()[-1]
    assert (found.action, found.version, found.champion, found.actor) == ("found", pointed, "2", "unknown")
    assert live(moved) == ("2", "2")
    assert red_checks(materialize(moved_home, BETTER, CHAMPION_ASSET)) == {}
    assert actions(moved) == ["promote", "promote", "found"]


def test_a_hand_edit_is_written_down_before_a_person_moves(moved: ChampionAlias) -> None:
    moved.door.client.delete_registered_model_alias(moved.name, CHAMPION)
    rollback(moved, ADA)
    assert actions(moved)[-2:] == ["found", "rollback"] and live(moved) == ("1", "1")


def test_the_history_outlives_the_registered_model(moved: ChampionAlias, use_home: Callable) -> None:
    moved.door.client.delete_registered_model(moved.name)
    newest = moved.history.live()
    assert newest is not None and newest.champion == "2"


def test_entries_of_before_are_read(moved: ChampionAlias) -> None:
    """Entries written before there were persons, approvals and rehearsals."""
    entry = moved.history.folder / "000001.json"
    whole = json.loads(entry.read_bytes())
    old = {name: value for name, value in whole.items() if name not in ("person", "awaits", "seconds")}
    entry.write_text(json.dumps(old))
    (moved.history.folder / "000002.json").unlink()
    (move,) = moved.history.moves()
    assert replace(move, person=False) == move and not move.awaits and move.seconds is None
