"""A challenger that passed begins a rollout where one is declared; how it ends is in the history, and told."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.cli.rollouts import open_rollouts, rollout_line
from mlops_platform.errors import CorruptArtifactError, PlatformError
from mlops_platform.registry.alias import ChampionAlias
from mlops_platform.registry.by_person import Asked, promote, rollback, stop_rollout
from mlops_platform.registry.events import kind_of, promotion_tellers
from mlops_platform.registry.promotion import Judged, decide, end_rollout
from mlops_platform.registry.rollout.conclude import Found, conclude
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor
from mlops_platform.resources.reachability import roots
from mlops_platform.resources.reachability import stored as artifacts_of
from mlops_platform.resources.rollouts import WIN, Promise, RolloutRecords
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.cli.conftest import mlops as mlops
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.pumps.variants import rolling

ADA = Asked(by="ada", because="callers complain")


@pytest.fixture
def history(home: Home) -> PromotionHistory:
    return PromotionHistory(home, "pumps", "pump_repair")


def judged(number: int, *, passed: bool = True, verdict: str = "") -> Judged:
    return Judged(version=str(number), checkpoint=f"sha256:{number}", verdict=verdict or f"sha256:v{number}",
                  passed=passed, reason=f"figures of {number}")  # fmt: skip


def passes(history: PromotionHistory, number: int, *, rollout: bool = True, verdict: str = "") -> Move:
    return decide(history, judged(number, verdict=verdict), actor="graph", run_id="r", rollout=rollout)


def told(history: PromotionHistory) -> list[tuple[str, str | None, str | None]]:
    return [(move.action, move.version, move.champion) for move in history.moves()]


def test_the_first_champion_is_promoted_at_once_and_the_next_one_meets_traffic(history: PromotionHistory) -> None:
    passes(history, 1)
    begun = passes(history, 2)
    assert told(history) == [("promote", "1", "1"), ("rollout", "2", "1")]
    assert (begun.checkpoint, begun.challenger, begun.verdict) == ("sha256:1", "sha256:2", "sha256:v2")
    assert history.rollout() == begun and passes(history, 2) == begun
    live = history.live()
    assert live is not None and live.champion == "1"


def test_a_refused_challenger_begins_none(history: PromotionHistory) -> None:
    passes(history, 1)
    decide(history, judged(2, passed=False), actor="a", run_id="r", rollout=True)
    assert history.rollout() is None


@pytest.mark.long
def test_a_rollout_comes_before_the_approval(moved: ChampionAlias) -> None:
    """Version 1 meets live traffic beside version 2; what it won there is not asked of it again."""
    history, first = moved.history, moved.history.moves()[0]
    checkpoint, live = str(first.checkpoint), history.live()
    assert live is not None

    def verdict(name: str, *, approval: bool = True) -> Move:
        about = Judged(version="1", checkpoint=checkpoint, verdict=name, passed=True, reason="x", skew="sha256:s")
        return decide(history, about, actor="graph", run_id="r", rollout=True, require_approval=approval)

    assert verdict("sha256:one").action == "rollout" and history.awaiting() is None
    begun = history.rollout_entry()
    assert begun is not None and begun[1].skew == "sha256:s"
    found = Found(digest="sha256:f", rollout=begun[0], verdict=WIN, reason="better by 0.1")
    won = conclude(moved, found, actor="judge", run_id="r", require_approval=True)
    assert won is not None and (won.action, won.champion, won.checkpoint) == ("keep", live.champion, live.checkpoint)
    assert history.awaiting() == won and history.rollout() is None and won.skew == "sha256:s"
    assert "mlops promote pump_repair --version 1" in won.reason and "better by 0.1" in won.reason
    assert kind_of(won, begun[1]) == "awaiting_approval"
    assert conclude(moved, found, actor="judge", run_id="r", require_approval=True) == won
    assert verdict("sha256:one") == won
    assert verdict("sha256:two").awaits and history.rollout() is None
    assert verdict("sha256:two", approval=False).action == "promote"


@pytest.mark.long
def test_a_winner_that_is_gone_or_damaged_is_not_made_live(moved: ChampionAlias) -> None:
    history, first = moved.history, moved.history.moves()[0]

    def won(version: str, checkpoint: str) -> Found:
        end_rollout(history, "x", actor="a", run_id="r")
        about = Judged(version=version, checkpoint=checkpoint, verdict=f"sha256:{version}", passed=True, reason="x")
        decide(history, about, actor="graph", run_id="r", rollout=True)
        begun = history.rollout_entry()
        assert begun is not None
        return Found(digest="sha256:f", rollout=begun[0], verdict=WIN, reason="better")

    for version, checkpoint, why in (("99", "sha256:99", "version 99"), ("2", "sha256:98", "sha256:98")):
        with pytest.raises(PlatformError, match=why):
            conclude(moved, won(version, checkpoint), actor="judge", run_id="r")
        assert history.moves()[-1].action == "rollout" and moved.pointed() == "2"
    found = won("1", str(first.checkpoint))
    checkpoint = ArtifactStore(moved.door.home).open("checkpoint", str(first.checkpoint))
    (checkpoint.folder / next(iter(checkpoint.manifest.files))).write_bytes(b"damaged")
    with pytest.raises(CorruptArtifactError):
        conclude(moved, found, actor="judge", run_id="r")
    assert history.moves()[-1].action == "rollout"


def test_an_entry_that_is_none_of_this_release_is_said_to_be_so(history: PromotionHistory) -> None:
    passes(history, 1)
    path = history.folder / "000001.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "new_field": 1}))
    with pytest.raises(CorruptArtifactError, match="newer release"):
        history.moves()


def test_a_newer_challenger_takes_the_place_of_an_older_one(history: PromotionHistory) -> None:
    passes(history, 1)
    passes(history, 2)
    head = history.head_before("sha256:v3")
    passes(history, 3)
    assert told(history)[2:] == [("keep", "2", "1"), ("rollout", "3", "1")]
    assert history.moves()[2].reason == "Version 3 takes its place." and history.moves()[2].verdict == "sha256:v2"
    # What the station was asked with before is what it is asked with after.
    assert history.head_before("sha256:v3") == head
    assert list(history.ended_rollouts()) == ["sha256:2"]


def test_a_second_verdict_on_the_same_challenger_goes_on_with_its_rollout(history: PromotionHistory) -> None:
    passes(history, 1)
    begun = passes(history, 2)
    passes(history, 2, verdict="sha256:again")
    assert history.rollout() == begun and len(history.moves()) == 3
    decide(history, judged(2, passed=False, verdict="sha256:worse"), actor="a", run_id="r", rollout=True)
    assert history.rollout() is None


def test_what_lost_its_rollout_does_not_begin_another_by_itself(history: PromotionHistory) -> None:
    passes(history, 1)
    passes(history, 2)
    end_rollout(history, "worse by 0.1", actor="judge", run_id="r", ended_by="sha256:finding")
    kept = passes(history, 2, verdict="sha256:again")
    assert kept.action == "keep" and "worse by 0.1" in kept.reason and "mlops promote" in kept.reason
    assert end_rollout(history, "again", actor="judge", run_id="r") is None


def test_where_no_rollout_is_declared_any_more_the_verdict_alone_promotes(history: PromotionHistory) -> None:
    passes(history, 1)
    passes(history, 2)
    assert passes(history, 2, rollout=False).action == "promote"
    assert passes(history, 3).action == "rollout"
    decide(history, judged(4, passed=False), actor="a", run_id="r")
    assert told(history)[-2:] == [("keep", "3", "2"), ("keep", "4", "2")] and history.rollout() is None


def test_begin_and_end_are_told_once(history: PromotionHistory, home: Home) -> None:
    for number in (1, 2):
        passes(history, number)
    passes(history, 2, verdict="sha256:again")
    end_rollout(history, "worse", actor="judge", run_id="r", ended_by="sha256:finding")
    (teller,) = promotion_tellers(PROJECT, home)
    assert [event.kind for event in teller.events(None)] == ["promotion", "rollout_begun", "rollout_ended"]
    assert kind_of(history.moves()[-1]) == "rejection"


def test_what_is_rolled_out_and_why_it_ended_is_never_garbage(history: PromotionHistory, home: Home) -> None:
    digests = {name: f"sha256:{name * 64}" for name in "abdf"}
    passes(history, 1)
    challenger = Judged(version="2", checkpoint=digests["a"], verdict=digests["b"], passed=True, reason="x",
                        skew=digests["d"])  # fmt: skip
    decide(history, challenger, actor="a", run_id="r", rollout=True)
    end_rollout(history, "worse", actor="judge", run_id="r", ended_by=digests["f"])
    found = roots(home, MlflowDoor(home, "pumps"), artifacts_of(home), young=timedelta(0))
    assert set(digests.values()) <= found


def test_an_open_rollout_is_shown(mlops: Callable[..., Outcome], history: PromotionHistory) -> None:
    passes(history, 1)
    passes(history, 2)
    # The declaration of this project has no rollouts (any more): it is open, and held back.
    told = mlops("history", "pump_repair").out
    assert "meets live traffic: version 2 beside version 1 since" in told and "not judged" in told
    assert "mlops stop-rollout pump_repair" in told and "no rollout is declared" in told
    assert "version 2 beside version 1" in mlops("status").out
    assert json.loads(mlops("status", "--json").out)["rollouts"]["pump_repair"]["version"] == "2"


def test_share_and_newest_verdict_of_a_rollout_are_told(history: PromotionHistory, home: Home) -> None:
    passes(history, 1)
    passes(history, 2)
    entry, project = history.rollout_entry(), rolling(2, kind="canary", share=0.05)
    assert entry is not None
    now = datetime.now(UTC)
    promise = Promise(rollout=entry[0], verdict="go on", reason="too few", finding="sha256:f", looks=3,
                      at=now.isoformat(), until=(now + timedelta(hours=1)).isoformat())  # fmt: skip
    assert "not judged" in rollout_line(open_rollouts(project, home)["pump_repair"])
    RolloutRecords(home, "pumps", "pump_repair").give(promise)
    told = open_rollouts(project, home)["pump_repair"]
    assert (told["share"], told["looks"], told["held_back"]) == (0.05, 3, None)
    assert "as canary for 5.0% of the entities" in rollout_line(told) and "go on. too few" in rollout_line(told)


@dataclass
class Simple:
    """What should be: the live version, the one that meets traffic, those whose rollout ended."""

    live: int | None = None
    open: int | None = None
    ended: set[int] = field(default_factory=set)

    def passes(self, version: int) -> None:
        if version == self.live or version in self.ended or version == self.open:
            return
        if self.live is None:
            self.live = version
            return
        self.ends()
        self.open = version

    def ends(self) -> None:
        if self.open is not None:
            self.ended.add(self.open)
        self.open = None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from(["pass", "pass", "refuse", "lose"]), st.integers(1, 4)), max_size=12))
def test_random_rollouts_follow_a_simple_model(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    history = PromotionHistory(Home(tmp_path_factory.mktemp("rollouts")), "p", "m")
    simple = Simple()
    for number, (step, version) in enumerate(steps):
        if step == "lose":
            end_rollout(history, "x", actor="judge", run_id="r", ended_by=f"sha256:f{number}")
            simple.ends()
        else:
            verdict = judged(version, passed=step == "pass", verdict=f"sha256:{number}")
            decide(history, verdict, actor="graph", run_id="r", rollout=True)
            if step == "pass":
                simple.passes(version)
            elif version == simple.open:
                simple.ends()
        begun, live = history.rollout(), history.live()
        assert (begun.version if begun else None) == (str(simple.open) if simple.open else None)
        assert (live.champion if live else None) == (str(simple.live) if simple.live else None)
        assert set(history.ended_rollouts()) == {f"sha256:{version}" for version in simple.ended}


@pytest.mark.long
def test_a_person_ends_a_rollout(moved: ChampionAlias) -> None:
    history = moved.history
    live = history.live()
    assert live is not None and live.checkpoint is not None
    with pytest.raises(PlatformError, match="open rollout"):
        stop_rollout(moved, ADA)
    passes(history, 3)
    stopped = stop_rollout(moved, ADA)
    assert (stopped.action, stopped.version, stopped.champion, stopped.person) == ("keep", "3", "2", True)
    passes(history, 4)
    rollback(moved, ADA)
    assert [m.action for m in history.moves()[-2:]] == ["keep", "rollback"] and history.rollout() is None
    assert "is rolled back: callers complain" in history.moves()[-2].reason
    passes(history, 5)
    barred = history.barred()
    assert live.checkpoint in barred
    from mlops_platform.registry.by_person import allow

    allow(moved, ADA, version="2")
    assert history.rollout() is not None
    promote(moved, ADA, version="2")
    assert [m.action for m in history.moves()[-2:]] == ["keep", "promote"] and moved.pointed() == "2"
