"""Random lives of a champion: what was live when follows a simple model, whatever is done in whatever order."""

from dataclasses import dataclass, field
from datetime import datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.errors import PlatformError
from mlops_platform.registry.alias import ChampionAlias
from mlops_platform.registry.by_person import Asked, allow, promote, rehearse, rollback
from mlops_platform.registry.promotion import Judged, decide
from mlops_platform.resources.aliases import CHAMPION, CHECKPOINT_TAG
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.mlflow import MlflowDoor

VERSIONS = ("1", "2", "3")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["judge", "refuse", "judge", "rollback", "promote", "allow", "by hand", "rehearse", "again"]),
        st.sampled_from(VERSIONS),
    ),
    max_size=14,
)
ADA = Asked(by="ada", because="x")


@dataclass
class Simple:
    """What should be: the live version, those that were, those barred, and when each became live."""

    live: str | None = None
    barred: set[str] = field(default_factory=set)
    stack: list[str] = field(default_factory=list)
    when: list[tuple[int, str | None]] = field(default_factory=list)

    def becomes(self, version: str) -> None:
        self.live = version
        self.stack.append(version)


class Life:
    """The real thing: a history, and an alias in a real MLflow."""

    def __init__(self, home: Home, door: MlflowDoor, number: int) -> None:
        self.alias = ChampionAlias(history=PromotionHistory(home, "p", f"m{number}"), door=door, name=f"p.m{number}")
        door.client.create_registered_model(self.alias.name)
        for version in VERSIONS:
            door.client.create_model_version(self.alias.name, "nowhere", tags={CHECKPOINT_TAG: f"sha256:{version}"})
        self.verdicts = 0

    def judge(self, version: str, *, passed: bool, again: bool = False) -> None:
        """What the champion station does with a verdict, a new one or the last once more."""
        self.verdicts += not again
        verdict = Judged(version=version, checkpoint=f"sha256:{version}", verdict=f"sha256:v{self.verdicts}",
                         passed=passed, reason="figures")  # fmt: skip
        with self.alias.history.lock():
            self.alias.settle("run")
            decide(self.alias.history, verdict, actor="graph", run_id="run")
            self.alias.carry_out()


def act(life: Life, simple: Simple, step: str, version: str, last: tuple[str, bool] | None) -> bool:
    """Does one step to both, and tells whether the alias now has to follow the history."""
    client, name = life.alias.door.client, life.alias.name
    if step in ("judge", "refuse"):
        life.judge(version, passed=step == "judge")
        if step == "judge" and version not in simple.barred and version != simple.live:
            simple.becomes(version)
    elif step == "again" and last is not None:
        lifted = _lifted_since(life, f"sha256:{last[0]}")
        life.judge(last[0], passed=last[1], again=True)
        if last[1] and lifted and last[0] not in simple.barred and last[0] != simple.live:
            simple.becomes(last[0])
    elif step == "by hand":
        client.set_registered_model_alias(name, CHAMPION, version)
        return False
    elif step != "again":
        return _person(life, simple, step, version)
    return step != "again" or last is not None


def _person(life: Life, simple: Simple, step: str, version: str) -> bool:
    earlier = [v for v in simple.stack if v != simple.live and v not in simple.barred]
    allowed = {
        "rollback": bool(earlier),
        "rehearse": bool(earlier),
        "promote": version not in simple.barred and version != simple.live,
        "allow": version in simple.barred,
    }[step] and (simple.live is not None or step == "promote")
    work = {
        "rollback": lambda: rollback(life.alias, ADA),
        "rehearse": lambda: rehearse(life.alias, ADA),
        "promote": lambda: promote(life.alias, ADA, version=version),
        "allow": lambda: allow(life.alias, ADA, version=version),
    }[step]
    if not allowed:
        with pytest.raises(PlatformError):
            work()
        return False
    work()
    if step == "rollback":
        assert simple.live is not None
        simple.barred.add(simple.live)
        simple.becomes(earlier[-1])
    elif step == "promote":
        simple.becomes(version)
    elif step == "allow":
        simple.barred.discard(version)
    return True


def _lifted_since(life: Life, checkpoint: str) -> bool:
    verdict = f"sha256:v{life.verdicts}"
    moves = life.alias.history.moves()
    decided = max(place for place, move in enumerate(moves) if move.verdict == verdict)
    return any(move.action == "allow" and move.challenger == checkpoint for move in moves[decided:])


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> MlflowDoor:
    return MlflowDoor(Home(tmp_path_factory.mktemp("lives") / "home"), "p")


numbers = iter(range(10_000))


@pytest.mark.long
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_what_was_live_follows_a_simple_model(
    door: MlflowDoor, steps: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # The checkpoints of this test are names only; that a promotion needs them whole is tested beside it.
    monkeypatch.setattr(ArtifactStore, "open", lambda *_: None)
    life, simple, last = Life(door.home, door, next(numbers)), Simple(), None
    for step, version in steps:
        follows = act(life, simple, step, version, last)
        if step in ("judge", "refuse"):
            last = (version, step == "judge")
        newest = life.alias.history.live()
        assert (newest.champion if newest else None) == simple.live
        assert {m.version for m in life.alias.history.barred().values()} == simple.barred
        if follows:
            assert life.alias.pointed() == simple.live
        simple.when.append((len(life.alias.history.moves()), simple.live))
    _compare_times(life, simple)
    for move in life.alias.history.moves():
        assert move.action in ("found", "rehearsal") or move.person or move.actor == "graph"


def _compare_times(life: Life, simple: Simple) -> None:
    """At the time of the last entry of each step, that step's champion was live."""
    moves = life.alias.history.moves()
    for count, expected in simple.when:
        if count:
            found = life.alias.history.live(datetime.fromisoformat(moves[count - 1].at))
            assert (found.champion if found else None) == expected
    assert life.alias.history.live(datetime.fromisoformat("2000-01-01T00:00:00+00:00")) is None
