"""What the terminal of `mlops serve` says as workers tell what they serve."""

from io import StringIO
from typing import Any

from rich.console import Console

from mlops_platform.cli.serving import Start
from mlops_platform.serving.http.settings import Settings


def beat(worker: int = 1, **model: Any) -> dict[str, Any]:
    told = {"version": "1", "checkpoint": f"sha256:{'a' * 64}", "ready": True, "reason": None, "awaited": None, **model}
    return {"pid": worker, "ready": 2, "models": {"water_level": told}, "example": None}


def shown(*beats: dict[str, Any]) -> list[str]:
    """What is told of the model, one line a change, as two workers send beats."""
    out = StringIO()
    start = Start(Console(file=out, width=400), "http://127.0.0.1:1", ("water_level",), 2, Settings())
    for told in beats:
        start.tell("beat", told)
    return [line.strip() for line in out.getvalue().splitlines() if line.strip().startswith("water_level")]


def test_a_version_that_waits_for_its_states_is_told_once() -> None:
    waiting = {"awaited": "Required: predictions\nFound: none\nRemedy: mlops materialize"}
    beats = [beat(worker, **told) for told in ({}, waiting, waiting, {"version": "2"}) for worker in (1, 2)]
    assert shown(*beats) == [
        "water_level  version 1, checkpoint aaaaaaaaaaaa",
        "water_level  version 1, checkpoint aaaaaaaaaaaa; awaited: Required: predictions Found: none "
        "Remedy: mlops materialize",
        "water_level  version 2, checkpoint aaaaaaaaaaaa",
    ]


def test_what_one_worker_still_has_is_no_news() -> None:
    old = [beat(1), beat(2), beat(1), beat(2)]
    lines = shown(*old, beat(1, version="2"), beat(2), beat(1, version="2"), beat(2, version="2"), beat(1, version="2"))
    assert [line.split()[2] for line in lines] == ["1,", "2,"]
