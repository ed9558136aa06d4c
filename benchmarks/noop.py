"""A rebuild of a hundred stations in which nothing changed: what it costs to find that out.

Claim: ``mlops materialize`` tells within 2 s after its imports that nothing is to be done, and launches nothing; asked
through ``dagster asset materialize``, where each step is a memo hit, it takes at most 1.3 times Dagster's own run of a
hundred empty assets, the peer; a memo hit costs at most 25 ms of CPU.
Measured: a hundred light stations in ten layers, each through the platform's own door (recipe, memo, ref), made once
and then asked again. The prune and the hits are timed in a process of their own, imports apart; both runs of Dagster's
command are whole processes on homes with the same settings, in turn, the median of them. CPU of a hit is that between
the begin and the end that a station's listeners hear.
"""

import argparse
import contextlib
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.costs import run
from benchmarks.homes import ROOT, fresh, use
from benchmarks.tables import table

MOST_SECONDS, MOST_RATIO, MOST_CPU = 2.0, 1.3, 0.025

_QUIET = json.dumps({"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}})


def child(home: Path, what: str) -> None:
    """Makes the stations, takes them (``hits``), or asks whether to (``prune``); prints its figures as JSON."""
    where = use(home)
    loading = time.perf_counter()
    from benchmarks.noop_graph import graph
    from mlops_platform.cli.run_view import show_graph_run
    from mlops_platform.resources.station import Progress

    found, begun = graph(), {}
    imported = time.perf_counter() - loading
    spent: list[float] = []

    def hear(progress: Progress) -> None:
        if progress.seconds is None:
            begun[progress.station] = time.process_time()
        else:
            spent.append(time.process_time() - begun[progress.station])

    started, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        done = (show_graph_run(found, where, "*") if what == "prune"
                else found.run(where, found.select("*"), hear))  # fmt: skip
    if done.failures:
        raise SystemExit(f"the graph failed: {done.failures}")
    print(json.dumps({"imports": imported, "seconds": time.perf_counter() - started, "hits": spent,
                      "cpu": time.process_time() - cpu, "launched": bool(done.run_id),
                      "made": sum(not progress.hit for progress in done.finished)}))  # fmt: skip


def process(home: Path, what: str) -> dict:
    """One ``child`` in a process of its own."""
    cost = run([sys.executable, "-m", "benchmarks.noop", "--child", str(home), what], cwd=ROOT)
    if cost.code:
        raise SystemExit(f"{what} failed with exit code {cost.code}")
    return json.loads(cost.output.splitlines()[-1])


def dagster(home: Path, attribute: str) -> tuple[float, float]:
    """Wall and CPU seconds of Dagster's own command on one of the two graphs."""
    program = [str(Path(sys.executable).parent / "dagster"), "asset", "materialize", "--select", "*"]
    command = [*program, "-m", "benchmarks.noop_graph", "-a", attribute, "--config-json", _QUIET]
    cost = run(command, cwd=ROOT, env={"MLOPS_HOME": str(home), "DAGSTER_HOME": str(home), "PYTHONPATH": str(ROOT)})
    if cost.code:
        raise SystemExit(f"dagster asset materialize of {attribute} failed with exit code {cost.code}")
    return cost.seconds, cost.cpu


def compared(repeats: int, home: Path) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """Dagster's command on the stations and on empty assets, in turn."""
    with fresh() as other:
        dagster(other.path, "empty")
        for _ in range(repeats):
            yield dagster(home, "stations"), dagster(other.path, "empty")


def main() -> int:
    """Exit code 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noop", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--repeats", type=int, default=3, help="how often each of Dagster's runs is timed")
    parser.add_argument("--child", nargs=2, metavar=("HOME", "WHAT"), help="only do one part here, and print JSON")
    arguments = parser.parse_args()
    if arguments.child:
        child(Path(arguments.child[0]), arguments.child[1])
        return 0
    with fresh() as home:
        made = process(home.path, "make")
        hits = process(home.path, "hits")
        prune = process(home.path, "prune")
        pairs = list(compared(arguments.repeats, home.path))
    ours, theirs = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    our_cpu, their_cpu = (statistics.median(pair[side][1] for pair in pairs) for side in (0, 1))
    hit = statistics.mean(hits["hits"])
    rows = [
        ("make all stations, in one process", f"{made['seconds']:.2f}", f"{made['cpu']:.2f}"),
        ("take all stations, in one process", f"{hits['seconds']:.2f}", f"{hits['cpu']:.2f}"),
        ("mlops materialize, nothing launched", f"{prune['seconds']:.2f}", f"{prune['cpu']:.2f}"),
        ("its imports", f"{prune['imports']:.2f}", ""),
        ("dagster asset materialize, memo hits", f"{ours:.2f}", f"{our_cpu:.2f}"),
        ("dagster asset materialize, empty assets", f"{theirs:.2f}", f"{their_cpu:.2f}"),
    ]
    print(table(("a hundred assets", "seconds", "CPU s"), rows))
    held = (not prune["launched"] and hits["made"] == 0 and len(hits["hits"]) == 100
            and prune["seconds"] <= MOST_SECONDS and ours <= MOST_RATIO * theirs and hit <= MOST_CPU)  # fmt: skip
    print(f"claims: {'held' if held else 'MISSED'}; prune {prune['seconds']:.2f} s (at most {MOST_SECONDS}), hits "
          f"{ours / theirs:.2f} times empty assets (at most {MOST_RATIO}), a hit {hit * 1000:.1f} ms CPU (at most "
          f"{MOST_CPU * 1000:.0f}), the slowest {max(hits['hits']) * 1000:.1f}")  # fmt: skip
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
