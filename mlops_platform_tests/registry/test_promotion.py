"""The champion moves by the verdict on the very checkpoint that is registered, and the alias follows the history."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from mlops_platform.registry.promotion import Judged, decide
from mlops_platform.registry.versions import register, version_of
from mlops_platform.resources.aliases import CHAMPION, alias_version
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.station import Progress
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import materialize, red_checks

NAME = "pumps.pump_repair"


def judged(number: int, *, passed: bool = True) -> Judged:
    return Judged(
        version=str(number), checkpoint=f"sha256:{number}", verdict=f"sha256:v{number}", passed=passed, reason="x"
    )


@pytest.fixture
def history(home: Home) -> PromotionHistory:
    return PromotionHistory(home, "p", "m")


def test_a_verdict_is_written_once(history: PromotionHistory) -> None:
    first = decide(history, judged(1), actor="a", run_id="r")
    assert decide(history, judged(1), actor="b", run_id="s") == first and len(history.moves()) == 1


def test_a_rejected_challenger_leaves_the_champion(history: PromotionHistory) -> None:
    decide(history, judged(1), actor="a", run_id="r")
    kept = decide(history, judged(2, passed=False), actor="a", run_id="r")
    assert (kept.action, kept.champion, kept.checkpoint, kept.challenger) == ("keep", "1", "sha256:1", "sha256:2")


def test_without_a_champion_a_rejection_leaves_none(history: PromotionHistory) -> None:
    assert decide(history, judged(1, passed=False), actor="a", run_id="r").champion is None
    assert history.live() is None


def test_a_challenger_that_is_live_already_changes_nothing(history: PromotionHistory) -> None:
    decide(history, judged(1), actor="a", run_id="r")
    again = decide(history, replace(judged(1), verdict="sha256:other"), actor="a", run_id="r")
    assert (again.action, again.champion) == ("keep", "1") and "live already" in again.reason


def test_a_verdict_decided_before_stays_decided(history: PromotionHistory) -> None:
    decide(history, judged(1), actor="a", run_id="r")
    newest = decide(history, judged(2), actor="a", run_id="r")
    assert decide(history, judged(1), actor="a", run_id="r") == newest


def test_approval_is_awaited_until_it_is_no_longer_required(history: PromotionHistory) -> None:
    first = decide(history, judged(1), actor="a", run_id="r", require_approval=True)
    assert first.awaits and first.champion is None and history.awaiting() == first
    assert decide(history, judged(1), actor="a", run_id="r", require_approval=True) == first
    assert decide(history, judged(1), actor="a", run_id="r").champion == "1"
    assert history.awaiting() is None


@pytest.mark.long
def test_a_checkpoint_is_registered_once(pumps_copy: Home) -> None:
    door = MlflowDoor(pumps_copy, "pumps")
    folder = next((pumps_copy.mlflow / "models").iterdir())
    one, two = (register(door, NAME, folder, "sha256:new", {}, run_id=None, description="again") for _ in range(2))
    assert one == two == version_of(door, NAME, "sha256:new")
    assert alias_version(door, NAME, "challenger") == one and alias_version(door, NAME, CHAMPION) == "1"


@pytest.mark.long
def test_an_alias_moved_by_hand_is_seen_and_goes_back(
    pumps_copy: Home, use_home: Callable, listening: list[Progress]
) -> None:
    use_home(pumps_copy.path)
    door = MlflowDoor(pumps_copy, "pumps")
    door.client.delete_registered_model_alias(NAME, CHAMPION)
    result = materialize(pumps_copy, PROJECT, 'key:"pumps/pump_repair/champion"')
    assert result.success and alias_version(door, NAME, CHAMPION) == "1"
    assert "pumps/pump_repair/champion:alias_matches_history" not in red_checks(result)
    assert [p.station for p in listening if p.seconds is not None and not p.hit] == ["pumps/pump_repair/champion"]
    assert [m.action for m in PromotionHistory(pumps_copy, "pumps", "pump_repair").moves()] == ["promote", "found"]


def test_skew_holds_a_challenger_back_until_it_is_mended(history: PromotionHistory) -> None:
    decide(history, judged(1), actor="a", run_id="r")
    skewed = replace(judged(2), skew="sha256:s", skewed="the online path tells it otherwise")
    kept = decide(history, skewed, actor="a", run_id="r")
    assert (kept.action, kept.champion, kept.skewed) == ("keep", "1", True) and skewed.skewed in kept.reason
    assert decide(history, replace(skewed, skew="sha256:t"), actor="a", run_id="r") == kept
    mended = decide(history, replace(judged(2), skew="sha256:u"), actor="a", run_id="r")
    assert (mended.action, mended.champion, mended.skew, mended.skewed) == ("promote", "2", "sha256:u", False)
    assert decide(history, skewed, actor="a", run_id="r") == mended, "what was decided stays decided"


def test_what_the_gate_rejects_is_not_held_back_by_skew(history: PromotionHistory) -> None:
    rejected = decide(history, replace(judged(1, passed=False), skewed="otherwise"), actor="a", run_id="r")
    assert not rejected.skewed and rejected.reason == "x"
