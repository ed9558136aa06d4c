"""From the last byte of a new month to the verdict on a model trained with it, with nobody's hand on it.

Claim: less the seconds spent in the trainer, at most 30. The peer is what cannot be avoided, printed beside: the steps
themselves, less the trainer, without sensors, queue and processes; tools put together by hand have no such chain.
Measured: a home with the first half of 2013 and its champion, beside `dagster dev` (webserver, daemon, code server:
real processes); the seventh month lands, each file under its final name at once, and the clock runs from the last
rename until the gate's verdict is written, then until the champion's alias is decided. Where the time goes is told
from Dagster's own events.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from benchmarks.homes import ROOT, fresh, land, load, materialize
from benchmarks.tables import table
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs

PREFIX, CLAIMED, PATIENCE = "flights/flight_delay", 30.0, 600.0
HOST = "127.0.0.1"


@contextmanager
def dagster_dev(home: Home) -> Iterator[None]:
    """`dagster dev` on a home, once its daemon has begun to look at the landing."""
    with socket.socket() as asked:
        asked.bind((HOST, 0))
        port = asked.getsockname()[1]
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(ROOT / "workspace.yaml"), "-h", HOST, "-p", str(port)]
    with (home.path / "dagster-dev.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                   start_new_session=True)  # fmt: skip
    try:
        until(lambda: home.landing_memory("flights").is_file(), "the first tick of the landing sensor")
        # Whatever the start brought with it is over.
        time.sleep(20)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        finally:
            with_group = os.getpgid(process.pid) if process.poll() is None else None
            if with_group is not None:
                os.killpg(with_group, signal.SIGKILL)


def until(holds, what: str) -> float:
    """Waits until something holds, and returns when it did, in seconds since the epoch."""
    deadline = time.time() + PATIENCE
    while not holds():
        if time.time() > deadline:
            raise SystemExit(f"{what}: not within {PATIENCE:.0f} s")
        time.sleep(0.05)
    return time.time()


def made_at(home: Home, station: str) -> str | None:
    """Digest of what a station stands for."""
    found = Refs(home).find(f"{PREFIX}/{station}")
    return found.manifest.digest if found else None


def spans(instance: dg.DagsterInstance, landed: float) -> list[tuple[str, float, float]]:
    """What happened since the landing: name, seconds from the landing, seconds it took."""
    found = []
    for record in reversed(instance.get_run_records(limit=10)):
        run, created = record.dagster_run, record.create_timestamp.timestamp()
        if created < landed or record.start_time is None:
            continue
        name = run.job_name
        steps = instance.get_run_step_stats(run.run_id)
        begun = sorted((s.start_time, s.end_time or s.start_time, s.step_key) for s in steps if s.start_time)
        if not begun:
            continue
        found.append((f"{name}: asked for", created - landed, 0.0))
        found.append((f"{name}: process, imports, resources", created - landed, begun[0][0] - created))
        for start, end, key in begun:
            found.append((f"{name}: {key.replace('__', '/')}", start - landed, end - start))
    return found


def main() -> int:
    """Exit code: 0 if the claim held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="an empty folder to keep the home in")
    parser.add_argument("--first", default="2013-06", help="newest month of the home")
    parser.add_argument("--then", default="2013-07", help="the month that lands")
    arguments = parser.parse_args()
    with fresh(arguments.keep) as home:
        land(home, arguments.first)
        materialize(home, load())
        gate, champion = made_at(home, "gate"), made_at(home, "champion")
        with dagster_dev(home), dg.DagsterInstance.get() as instance:
            land(home, arguments.then)
            landed = time.time()
            verdict = until(lambda: made_at(home, "gate") != gate, "the verdict") - landed
            moved = until(lambda: made_at(home, "champion") != champion, "the champion") - landed
            until(lambda: not instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])), "the end")
            told = spans(instance, landed)
        trained = Refs(home).read(f"{PREFIX}/checkpoint").manifest.produced
    return report(told, verdict, moved, trained.seconds, dict(trained.measured))


def report(told: list[tuple[str, float, float]], verdict: float, moved: float, trainer: float, measured: dict) -> int:
    """Prints the figures; the exit code."""
    print(table(("what", "after s", "took s"), [(w, f"{a:.2f}", f"{t:.2f}") for w, a, t in told if t >= 0.1 or not t]))
    steps = sum(took for what, after, took in told if ": process" not in what and after + took <= verdict + 0.5)
    inside = sum(float(measured.get(name, 0)) for name in ("read_seconds", "fit_seconds", "export_seconds"))
    rest = verdict - trainer
    rows = [
        ("last byte landed to verdict", f"{verdict:.1f}"), ("to the champion decided", f"{moved:.1f}"),
        ("of which in the trainer's process", f"{trainer:.1f}"),
        ("of that reading, fitting, exporting", f"{inside:.1f}"),
        ("landed to verdict, less the trainer", f"{rest:.1f}"),
        ("of which steps before the verdict", f"{steps - trainer:.1f}"),
    ]  # fmt: skip
    print()
    print(table(("figure", "seconds"), rows))
    return 0 if rest <= CLAIMED else 1


if __name__ == "__main__":
    sys.exit(main())
