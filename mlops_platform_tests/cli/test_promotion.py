"""``mlops rollback``, ``promote``, ``allow`` and ``rehearse-rollback`` on a home with two champions."""

import json
from collections.abc import Callable

import pytest

from mlops_platform.cli.standing import FRESH, standings
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.lineage.pumps.variants import BETTER

MODEL = "pump_repair"
WHO = ("--by", "ada", "--because", "complaints [since noon]")


def said(outcome: Outcome) -> str:
    assert outcome.code == 0, outcome.err
    return outcome.out


@pytest.mark.long
def test_a_rollback_and_its_end_as_a_person_sees_them(mlops: Callable[..., Outcome], moved_home: Home) -> None:
    before = {each.station: each.state for each in standings(BETTER, moved_home)}
    out = said(mlops("rollback", MODEL, *WHO))
    assert "version 1 is live again" in out and "version 2 is barred until: mlops allow pump_repair --version 2" in out
    assert 'key:"pumps/pump_repair/champion"+' in out
    status = json.loads(said(mlops("status", "--json")))
    assert status["live"][MODEL]["version"] == "1"
    why = {each.station: each.why for each in standings(BETTER, moved_home) if each.state != before[each.station]}
    stations = ("champion", "predictions", "monitoring", "retrain_decision")
    assert set(why) == {f"pumps/pump_repair/{station}" for station in stations}
    assert why["pumps/pump_repair/champion"] == ("ada decided since: rollback, version 1 is live",)
    table = said(mlops("history", MODEL))
    assert "rollback" in table and "complaints [since noon]" in table and "version 2 is barred since" in table
    refused = mlops("promote", MODEL, "--version", "2", *WHO)
    assert refused.code == 2 and "barred by ada" in refused.err
    assert "may be promoted again" in said(mlops("allow", MODEL, "--version", "2", *WHO))
    assert "version 2 is live, before: 1" in said(mlops("promote", MODEL, "--version", "2", *WHO))
    assert "barred since" not in said(mlops("history", MODEL))
    assert FRESH in before.values()


@pytest.mark.long
def test_a_rehearsal_tells_its_seconds(mlops: Callable[..., Outcome], moved_home: Home) -> None:
    out = said(mlops("rehearse-rollback", MODEL))
    assert "version 1 was live after" in out and "2 is again" in out
    assert "rollback last rehearsed" in said(mlops("history", MODEL))
    move = Move(**json.loads(said(mlops("rehearse-rollback", MODEL, "--json")))["move"])
    assert PromotionHistory(moved_home, "pumps", MODEL).rehearsed() == move and move.actor == "tests"


@pytest.mark.parametrize("command", [("rollback",), ("rehearse-rollback",), ("promote", "--version", "1", *WHO)])
def test_a_home_where_nothing_was_ever_live(mlops: Callable[..., Outcome], home: Home, command: tuple) -> None:
    ended = mlops(command[0], MODEL, *command[1:])
    assert ended.code == 2 and "Remedy" in ended.err
    assert not (home.mlflow / "mlflow.db").exists()


def test_an_unknown_model_is_a_mistake(mlops: Callable[..., Outcome], home: Home) -> None:
    ended = mlops("rollback", "pomp_repair")
    assert ended.code == 2 and "pump_repair" in ended.err


def test_what_awaits_approval_is_shown(mlops: Callable[..., Outcome], home: Home) -> None:
    history = PromotionHistory(home, "pumps", MODEL)
    history.append(
        Move(at="2026-01-05T10:00:00+00:00", action="keep", version="3", champion=None, previous=None, checkpoint=None,
             challenger="sha256:c", verdict="sha256:v", reason="awaits approval: ...", actor="graph", run_id="run",
             awaits=True)
    )  # fmt: skip
    assert "version 3 awaits approval: mlops promote pump_repair --version 3" in said(mlops("status"))
    assert json.loads(said(mlops("status", "--json")))["awaiting_approval"] == {MODEL: "3"}
    assert "version 3 awaits approval" in said(mlops("history", MODEL))
