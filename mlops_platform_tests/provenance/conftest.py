"""A home of the pumps in which live answers were logged as ``mlops serve`` logs them."""

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from fastapi import FastAPI

from mlops_platform.provenance.router import why_router
from mlops_platform.resources.delta import PARTITION, DeltaDoor
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.schema import log_rows
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT

ANSWERED = datetime(2026, 2, 3, 4, 5, 6, 789, tzinfo=UTC)


def live_id(number: int, at: datetime = ANSWERED) -> str:
    """An id as a worker gives it."""
    return f"o-{at:%Y%m%dT%H%M%S%f}-0123abcd{number:06x}"


def feature_row(home: Home, pump: str = "P1") -> dict[str, Any]:
    """The newest feature row of a pump."""
    rows = DeltaDoor(home.feature_table("pumps", "pump_state")).scan().filter(pump=pump).collect()
    return rows.sort("event_timestamp").row(-1, named=True)


def answer(home: Home, number: int, row: dict[str, Any], **changed: Any) -> str:
    """Logs one live answer that read a feature row; its id."""
    live = PromotionHistory(home, "pumps", "pump_repair").live()
    assert live is not None
    times = {"event": row["event_timestamp"].isoformat(), "known": row["known_timestamp"].isoformat()}
    told = {
        "inputs": {"pump": row["pump"], "weekday": 3, "inspection_id": None},
        "features": {f"pump_state__{name}": row[name] for name in ("temperature", "vibration")},
        "feature_times": {"pump_state": {**times, "status": "present"}},
        "marks": None,
    }
    asked = row["event_timestamp"] + timedelta(hours=1)
    frame = pl.DataFrame({"prediction_id": [live_id(number)], "example_id": ["<b>P1</b>"], "score": [0.25]})
    texts = {name: None if value is None else json.dumps(value) for name, value in {**told, **changed}.items()
             if name in told}  # fmt: skip
    same = {"event_timestamp": asked, "answered_at": ANSWERED, PARTITION: f"{ANSWERED:%Y-%m-%d}", "mode": "online",
            "role": changed.get("role", "champion"), "version": live.champion,
            "checkpoint": live.checkpoint, "online": changed.get("online")}  # fmt: skip
    DeltaDoor(home.prediction_log("pumps", "pump_repair")).append(
        log_rows(MODEL, frame, model="pump_repair", **same, **texts)
    )
    return live_id(number)


@pytest.fixture
def live(pumps_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A copy that a test may change."""
    home = Home(tmp_path / "live")
    shutil.copytree(pumps_home, home.path)
    for name in ("MLOPS_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, str(home.path))
    return home


class Client:
    """Asks the routes in this process."""

    def __init__(self, home: Home) -> None:
        self._app = FastAPI()
        self._app.include_router(why_router(home, PROJECT))

    def get(self, path: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.get(path)

        return asyncio.run(ask())


@pytest.fixture
def client(live: Home) -> Client:
    return Client(live)
