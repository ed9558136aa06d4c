"""A live user interface on a free port, and a headless Chromium that looks at it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# No sandbox: containers forbid it. The rest keeps the browser on this machine.
_ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
_START_SECONDS, _END_SECONDS, _POLL_SECONDS = 120.0, 20.0, 0.2


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as asked:
        asked.bind((HOST, 0))
        port: int = asked.getsockname()[1]
        return port


@contextmanager
def program(home: Path, arguments: Sequence[str], ports: Sequence[int]) -> Iterator[None]:
    """A Python program on a home, from when all its ports answer; every process of it ends with the block.

    Args:
        home: Becomes ``MLOPS_HOME`` and ``DAGSTER_HOME``.
        arguments: After ``python``.
        ports: Where it listens.
    """
    log = home / f"{arguments[1]}.log"
    environment = {**os.environ, "MLOPS_HOME": str(home), "DAGSTER_HOME": str(home), "PYTHONPATH": str(ROOT)}
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=subprocess.STDOUT, start_new_session=True)  # fmt: skip
    try:
        _wait_for(process, ports, log)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        while processes_of(home) and time.monotonic() < deadline:
            process.poll()
            time.sleep(_POLL_SECONDS)
        for left in processes_of(home):
            left.kill()
        process.wait()


def processes_of(home: Path) -> list[psutil.Process]:
    """Living processes, this one left out, whose ``DAGSTER_HOME`` is the home."""
    found = []
    # `make` and the shell may have the same home: whoever started this is no part of it.
    callers = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    for process in psutil.process_iter():
        try:
            ours = process.environ().get("DAGSTER_HOME") == str(home)
            if ours and process.pid not in callers and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _wait_for(process: "subprocess.Popen[bytes]", ports: Sequence[int], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    silent = list(ports)
    while silent:
        said = log.read_text(errors="replace")[-3000:]
        assert process.poll() is None, f"it ended with exit code {process.returncode}:\n{said}"
        assert time.monotonic() < deadline, f"no answer at {silent} within {_START_SECONDS:g} s:\n{said}"
        silent = [port for port in silent if not _answers(port)]
        time.sleep(_POLL_SECONDS)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def browser_page(width: int = 1600, height: int = 1000, *, scale: float = 1.0) -> Iterator[Page]:
    """An empty page in a fresh headless browser, the navigation of Dagster's UI folded."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        try:
            context = browser.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale)
            context.add_init_script(
                "localStorage.setItem('large-screen-nav-open', 'false');"
                "localStorage.setItem('dagster-nav-collapsed', 'true');"
            )
            page = context.new_page()
            page.set_default_timeout(60_000)
            yield page
        finally:
            browser.close()


def graphql(address: str, query: str, **variables: Any) -> dict[str, Any]:
    """What Dagster's webserver answers."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        found = json.load(answer)
    assert "errors" not in found, found["errors"]
    data: dict[str, Any] = found["data"]
    return data


def greet(address: str) -> None:
    """Answers the invitation to Dagster's community once for all, so that it covers no page."""
    graphql(address, "mutation { setNuxSeen }")


def open_lineage(page: Page, address: str) -> None:
    """Opens the global asset lineage with every group expanded."""
    page.goto(f"{address}/asset-groups")
    page.locator("button", has_text="Materialize all").wait_for()
    page.locator("[aria-label=unfold_more], [aria-label=unfold_less]").first.wait_for()
    page.keyboard.press("Alt+KeyE")
    page.locator("[aria-label=unfold_less]").first.wait_for()
    page.wait_for_timeout(2_000)


def open_pictures(page: Page, address: str, asset: str) -> None:
    """Opens an asset's newest materialization and its first picture, which Dagster folds away as long Markdown."""
    page.goto(f"{address}/assets/{asset}?view=events")
    page.get_by_text("Metadata", exact=True).first.wait_for()
    picture = page.locator("img[src^='data:image/png']")
    folded = page.get_by_text("[Show Markdown]")
    page.wait_for_timeout(1_500)
    for number in range(folded.count()):
        if picture.count():
            break
        folded.nth(number).click()
        page.wait_for_timeout(700)
        if not picture.count():
            page.keyboard.press("Escape")
            page.wait_for_timeout(500)
    picture.first.wait_for()
