"""``mlops serve`` as a process of its own: two workers, real model, store and journal; deaths, stops and mistakes."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import polars as pl
import psutil
import pytest

from mlops_platform.resources.home import Home
from mlops_platform.resources.prediction_log.shipping import ship
from mlops_platform_tests.lineage.pumps.project import MODEL, PROJECT

ARROW = "application/vnd.apache.arrow.stream"
PREDICT = "/v1/models/pump_repair/predict"
ENTITIES = [{"pump": f"P{n}", "weekday": 4, "event_timestamp": "2024-05-09T07:00:00Z"} for n in range(3)]
ROWS = [{"pump": f"P{n}", "at": "2024-05-09T06:00:00Z"} for n in range(3)]
FEATURES = [{**row, "pump_state__temperature": 63.0, "pump_state__vibration": 3.0} for row in ENTITIES]
ROOT = Path(__file__).parents[3]
pytestmark = pytest.mark.long


class Command:
    """The command at work."""

    def __init__(self, home: Path, *arguments: str, **environment: str) -> None:
        command = (sys.executable, "-m", "mlops_platform.cli", "serve", "--port", "0", *arguments)
        self.home = home
        self._out = (home.parent / "serve.out").open("w+b")
        variables = {**os.environ, "MLOPS_HOME": str(home), "DAGSTER_HOME": str(home), "OMP_NUM_THREADS": "1",
                     "MLOPS_PROJECT": "mlops_platform_tests.lineage.pumps.project:PROJECT", **environment}  # fmt: skip
        self.process = subprocess.Popen(command, stdout=self._out, stderr=subprocess.STDOUT, env=variables, cwd=ROOT)

    @property
    def out(self) -> str:
        """All that it printed."""
        return (self.home.parent / "serve.out").read_text()

    def until(self, told: Callable[[], object], seconds: float = 60) -> None:
        """Waits until something holds."""
        deadline = time.monotonic() + seconds
        while not told():
            assert time.monotonic() < deadline, self.out
            assert self.process.poll() is None, self.out
            time.sleep(0.05)

    def client(self) -> httpx.Client:
        """A client, once it serves."""
        self.until(lambda: "Serving on" in self.out)
        found = re.search(r"Serving on (http://\S+)", self.out)
        assert found is not None
        return httpx.Client(base_url=found[1], timeout=30)

    def workers(self) -> list[int]:
        """Processes of its workers."""
        children = psutil.Process(self.process.pid).children()
        # A worker follows its parent's life by a thread, whatever else it does; what ships answers has none.
        return sorted(child.pid for child in children if child.num_threads() > 1)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@contextmanager
def command(home: Path, *arguments: str, **environment: str) -> Iterator[Command]:
    """The command, ended in any case."""
    running = Command(home, *arguments, **environment)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        running._out.close()


def stream(rows: list[dict[str, object]]) -> bytes:
    """Rows as Arrow."""
    target = BytesIO()
    times = [name for name in ("event_timestamp", "at") if name in rows[0]]
    pl.DataFrame(rows).with_columns(pl.col(times).str.to_datetime(time_zone="UTC")).write_ipc_stream(target)
    return target.getvalue()


def gone(pids: list[int]) -> bool:
    """Whether no process of these lives."""
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_two_workers_answer_in_every_form_and_each_answer_is_logged_once(pumps_copy: Home) -> None:
    ids: list[str] = []
    with command(pumps_copy.path, "--workers", "2") as serve:
        client = serve.client()
        assert len(serve.workers()) == 2
        # The parent has only its own thread, so that workers may be forked from it at any time.
        assert psutil.Process(serve.process.pid).num_threads() == 1
        scores = []
        for kind, rows in (("entities", ENTITIES), ("rows", ROWS), ("features", FEATURES)):
            told = client.post(PREDICT, json={kind: rows})
            assert told.status_code == 200, told.text
            asked = {"content-type": ARROW, "accept": ARROW}
            columns = client.post(PREDICT, params={"kind": kind}, content=stream(rows), headers=asked)
            frame = pl.read_ipc_stream(BytesIO(columns.content))
            predictions = told.json()["predictions"]
            assert frame["score"].to_list() == pytest.approx([p["score"] for p in predictions])
            ids += [p["prediction_id"] for p in predictions] + frame["prediction_id"].to_list()
            scores.append([p["score"] for p in predictions])
        assert scores[0] == scores[1]
        assert client.get("/v1/predictions/o-20240509T070000000000-x0/why").status_code == 404
        (standing,) = client.get("/v1/models").json()["models"]
        assert standing["ready"] and standing["version"] == "1"
        answered = sum(float(value) for value in re.findall(r"^mlops_rows_total\{.*\} (\S+)$",
                                                           client.get("/metrics").text, re.MULTILINE))  # fmt: skip
        assert answered == len(ids)
        workers = serve.workers()
        client.close()
        assert serve.stop() == 0
        assert gone(workers)
        assert "Ended." in serve.out
    assert ship(pumps_copy, PROJECT, MODEL) is not None
    log = pl.read_delta(str(pumps_copy.prediction_log(PROJECT.name, MODEL.name))).filter(pl.col("mode") == "online")
    assert sorted(log["prediction_id"]) == sorted(ids)


@pytest.mark.parametrize("token", ["", "a-token-long-enough,another-token-as-long"])
def test_what_it_prints_to_ask_it_works_as_it_stands(pumps_copy: Home, token: str) -> None:
    access = ("--allowed-host", "pumps.example.com") if token else ()
    with command(pumps_copy.path, "--workers", "1", "--quiet", *access, MLOPS_SERVE_TOKEN=token) as serve:
        serve.until(lambda: "  curl " in serve.out)
        call = re.search(r"^  (curl .*)$", serve.out, re.MULTILINE)
        assert call is not None
        variables = {**os.environ, "MLOPS_SERVE_TOKEN": token}
        done = subprocess.run(["sh", "-c", f"{call[1]} -sS"], capture_output=True, env=variables, timeout=30)
    (prediction,) = json.loads(done.stdout)["predictions"]
    assert prediction["id"] in {f"P{pump}-20240510" for pump in range(10)} and 0 < prediction["score"] < 1
    assert "stale" not in prediction.get("marks", {}).values()


def test_a_killed_worker_is_told_and_replaced_while_the_other_answers(pumps_copy: Home) -> None:
    with command(pumps_copy.path, "--workers", "2", "--quiet") as serve:
        client = serve.client()
        before = serve.workers()
        os.kill(before[0], signal.SIGKILL)
        serve.until(lambda: f"Worker {before[0]} died (signal SIGKILL)" in serve.out)
        for _ in range(20):
            with httpx.Client(base_url=client.base_url) as fresh:
                assert fresh.post(PREDICT, json={"features": FEATURES}).status_code == 200
        serve.until(lambda: len(serve.workers()) == 2)
        assert before[0] not in serve.workers()


def test_no_worker_outlives_its_parent(pumps_copy: Home) -> None:
    with command(pumps_copy.path, "--workers", "2") as serve:
        serve.client()
        workers = serve.workers()
        serve.process.kill()
        serve.process.wait()
        deadline = time.monotonic() + 20
        while not gone(workers):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_stop_answers_what_is_at_work_and_is_unready_first(pumps_copy: Home) -> None:
    rows = 20_000
    body = json.dumps({"features": FEATURES[:1] * rows, "return_features": True}).encode()
    with command(pumps_copy.path, "--workers", "1", "--max-rows", str(rows), "--drain", "1") as serve:
        client, answers = serve.client(), []
        headers = {"content-type": "application/json"}
        asker = threading.Thread(target=lambda: answers.append(client.post(PREDICT, content=body, headers=headers)))
        asker.start()
        time.sleep(0.1)
        serve.process.send_signal(signal.SIGTERM)
        with httpx.Client(base_url=client.base_url) as other:
            serve.until(lambda: other.get("/readyz").status_code == 503, seconds=5)
            assert "asked to stop" in other.get("/readyz").text
            assert other.get("/livez").status_code == 200
        asker.join()
        assert serve.process.wait(timeout=30) == 0
    assert answers[0].status_code == 200
    assert len(answers[0].json()["predictions"]) == rows


def test_logs_are_json_lines_without_anything_that_was_sent(pumps_copy: Home) -> None:
    with command(pumps_copy.path, "--workers", "1") as serve:
        client = serve.client()
        sent = {"x-request-id": "mine-1", "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
        answer = client.post(PREDICT, json={"features": FEATURES[:2]}, headers=sent)
        assert answer.headers["x-request-id"] == "mine-1"
        client.post(PREDICT, json={"entities": [{"pump": "SECRET-PUMP", "weekday": "SECRET-DAY"}]})
        client.get("/v1/models/SECRET-NAME?SECRET-QUERY")
        client.post(PREDICT, content=b"{SECRET", headers={"content-type": "application/json", "x-request-id": "a b"})
        assert serve.stop() == 0
    assert "SECRET" not in serve.out
    lines = [json.loads(line) for line in serve.out.splitlines() if line.startswith("{")]
    told = [line for line in lines if line["message"] == "request"]
    assert [line["status"] for line in told] == [200, 422, 404, 400]
    first = told[0]
    assert (first["id"], first["trace"], first["rows"], first["version"]) == ("mine-1", "ab" * 16, 2, "1")
    assert first["route"] == PREDICT and first["ms"] > 0
    assert [line["reason"] for line in told[1:]] == ["invalid", "model", "malformed"]


def test_without_a_champion_it_stands_unready_and_says_why(home: Home) -> None:
    home.root.mkdir(parents=True, exist_ok=True)
    with command(home.path, "--workers", "1") as serve:
        client = serve.client()
        assert "pump_repair  not ready:" in serve.out
        assert client.get("/ping").status_code == 503
        refused = client.post(PREDICT, json={"features": FEATURES})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        assert "mlops history pump_repair" in refused.text or "champion" in refused.text
        assert "pump_repair" in client.get("/readyz").json()["reasons"][0]
        assert serve.stop(signal.SIGINT) == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["no_such_model"], {}, ["no_such_model", "pump_repair"]),
        (["--host", "0.0.0.0"], {}, ["MLOPS_SERVE_TOKEN", "0.0.0.0"]),
        (["--host", "203.0.113.7"], {"MLOPS_SERVE_TOKEN": "a-long-enough-token"}, ["203.0.113.7"]),
        ([], {"MLOPS_SERVE_TOKEN": "short"}, ["16 or more"]),
        ([], {"OTEL_TRACES_EXPORTER": "jaeger"}, ["OTLP", "jaeger"]),
    ],
)  # fmt: skip
def test_a_mistake_is_told_before_anything_starts(
    home: Home, arguments: list[str], environment: dict[str, str], words: list[str]
) -> None:
    home.root.mkdir(parents=True, exist_ok=True)
    with command(home.path, *arguments, **environment) as serve:
        assert serve.process.wait(timeout=60) == 2
    for word in ("Required:", "Found:", "Remedy:", *words):
        assert word in serve.out, serve.out


def test_a_home_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with command(tmp_path / "nowhere") as serve:
        assert serve.process.wait(timeout=60) == 2
    assert "mlops materialize" in serve.out
