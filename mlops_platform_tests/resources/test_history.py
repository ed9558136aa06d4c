"""The promotion history is append-only, in order, and an edit shows."""

from datetime import UTC, datetime

import pytest

from mlops_platform.errors import CorruptArtifactError
from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home


def move(number: int, *, action: str = "promote") -> Move:
    promoted = action == "promote"
    return Move(
        at=datetime(2026, 1, number, tzinfo=UTC).isoformat(), action=action, version=str(number),
        champion=str(number) if promoted else "1", previous=None if number == 1 else "1",
        checkpoint=f"sha256:{number if promoted else 1}", challenger=f"sha256:{number}", verdict=f"sha256:v{number}",
        reason="because", actor="tests", run_id="r",
    )  # fmt: skip


@pytest.fixture
def history(home: Home) -> PromotionHistory:
    found = PromotionHistory(home, "p", "m")
    for number, action in ((1, "promote"), (2, "keep"), (3, "promote")):
        found.append(move(number, action=action))
    return found


def test_what_was_live_when(history: PromotionHistory) -> None:
    at = {day: history.live(datetime(2026, 1, day, 12, tzinfo=UTC)) for day in (1, 2, 3)}
    assert {day: found.champion if found else None for day, found in at.items()} == {1: "1", 2: "1", 3: "3"}
    assert history.live(datetime(2025, 1, 1, tzinfo=UTC)) is None


def test_the_rival_of_a_live_challenger_is_the_one_it_displaced(history: PromotionHistory) -> None:
    assert history.rival("sha256:3") == "sha256:1" and history.rival("sha256:9") == "sha256:3"


def test_an_edited_entry_shows(history: PromotionHistory) -> None:
    entry = history.folder / "000001.json"
    entry.write_bytes(entry.read_bytes().replace(b"because", b"no why"))
    with pytest.raises(CorruptArtifactError, match="edited"):
        history.moves()


def test_a_removed_entry_shows(history: PromotionHistory) -> None:
    (history.folder / "000002.json").unlink()
    with pytest.raises(CorruptArtifactError):
        history.moves()


def test_the_head_before_a_verdict_does_not_move_when_it_is_written(home: Home) -> None:
    history = PromotionHistory(home, "p", "m")
    before = history.head_before("sha256:v1")
    history.append(move(1))
    assert history.head_before("sha256:v1") == before != history.head_before("sha256:v2")
