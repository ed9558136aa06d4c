"""``mlops history``: the moves, and what was live when."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform_tests.cli.conftest import Outcome


@pytest.fixture
def moved(home: Home) -> list[Move]:
    """Version 1 promoted on January 5, version 2 refused on February 5, version 3 promoted on March 5."""
    history = PromotionHistory(home, "pumps", "pump_repair")
    said: list[tuple[str, str, str, str, str | None]] = [
        ("2026-01-05T10:00:00+00:00", "promote", "1", "1", None),
        ("2026-02-05T10:00:00+00:00", "keep", "2", "1", "1"),
        ("2026-03-05T10:00:00+00:00", "promote", "3", "3", "1"),
    ]
    return [history.append(_move(*each)) for each in said]


def _move(at: str, action: str, version: str, champion: str, previous: str | None) -> Move:
    return Move(
        at=at, action=action, version=version, champion=champion, previous=previous, checkpoint=f"sha256:c{champion}",
        challenger=f"sha256:c{version}", verdict=f"sha256:v{version}", reason=f"roc_auc [of {version}] told so",
        actor="ada", run_id="run",
    )  # fmt: skip


def _json(outcome: Outcome) -> Any:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


def test_every_move_is_a_line_with_its_reason(mlops: Callable[..., Outcome], moved: list[Move]) -> None:
    out = mlops("history", "pump_repair").out
    lines = out.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["promote", "keep", "promote"]
    assert "1 -> 3" in lines[3]
    assert "roc_auc [of 2] told so" in lines[2]


def test_json_has_all_fields(mlops: Callable[..., Outcome], moved: list[Move]) -> None:
    found = _json(mlops("history", "pump_repair", "--json"))
    assert [Move(**move) for move in found["moves"]] == moved


@pytest.mark.parametrize(
    ("at", "live"),
    [
        ("2026-01-05T09:59:59Z", None), ("2026-01-05T10:00:00Z", "1"), ("2026-02-10", "1"),
        ("2026-03-05T11:00:00+02:00", "1"), ("2026-03-05T12:00:00+02:00", "3"), ("2026-03-05T10:00:00", "3"),
    ],
)  # fmt: skip
def test_at_answers_what_was_live_then(
    mlops: Callable[..., Outcome], moved: list[Move], at: str, live: str | None
) -> None:
    found = _json(mlops("history", "pump_repair", "--at", at, "--json"))["live"]
    assert (found and found["champion"]) == live
    text = mlops("history", "pump_repair", "--at", at).out
    assert (f"version {live} was live" if live else "nothing was live") in text


def test_a_time_that_is_none_is_a_mistake(mlops: Callable[..., Outcome], moved: list[Move]) -> None:
    ended = mlops("history", "pump_repair", "--at", "tuesday")
    assert ended.code == 2
    assert "tuesday" in ended.err


def test_no_decision_yet_is_no_error(mlops: Callable[..., Outcome], home: Home) -> None:
    assert "no decision yet" in mlops("history", "pump_repair").out
    assert _json(mlops("history", "pump_repair", "--json"))["moves"] == []


def test_an_edited_history_is_refused(mlops: Callable[..., Outcome], moved: list[Move], home: Home) -> None:
    entry = PromotionHistory(home, "pumps", "pump_repair").folder / "000002.json"
    entry.write_text(entry.read_text().replace("keep", "promote"))
    ended = mlops("history", "pump_repair")
    assert ended.code == 2
    assert "removed or edited" in ended.err
