"""Everything of the graph that is not training, on the full year: where the time goes, and what a rerun does not pay.

Claim: running the graph again on unchanged input makes nothing, and one month more makes less than the whole year does,
for the very same dataset. No other program is a peer of this; the peer is the platform itself without its memo.
Measured: each run is a whole process of its own, cold imports included. ``full`` lands 2013 and materializes every
station in an empty home; ``again`` repeats it there; ``month`` lands December on a home that holds January to November.
Wall and CPU time by station come from the platform's own listeners (a station's work, digests and commit), those of
checks and of all around them from the Dagster instance's step events, MLflow's from around its door. The training
program is a child process: its time is told apart and stands in no sum. ``--profile FOLDER`` leaves a cProfile of each
station of the full run (``python -m pstats``).
"""

import argparse
import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.costs import Cost, run
from benchmarks.homes import ROOT, fresh, land, load, materialize, use
from benchmarks.tables import table
from benchmarks.timeline import Spent, Timeline

YEAR, BEFORE = "2013-12", "2013-11"
DATASET = "flights/flight_delay/dataset"
TRAINING = "flights/flight_delay/checkpoint"
SMALL = 0.2


def child(home: Path, profile: Path | None) -> None:
    """Materializes the whole graph here and prints what it spent as JSON."""
    from mlops_platform.resources.refs import Refs

    where, loading = use(home), Timeline.now()
    graph = load()
    loaded = Timeline.now() - loading
    with Timeline(profile) as timeline:
        materialize(where, graph, listen=timeline.hear)
    spent = timeline.spent()
    spent.append(Spent(what="(loading the code location)", kind="around", seconds=loaded.seconds, cpu=loaded.cpu))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"spent": [asdict(entry) for entry in spent], "peak_mib": peak, "made": timeline.made,
                      "dataset": Refs(where).read(DATASET).manifest.digest}))  # fmt: skip


def process(home: Path, profile: Path | None = None) -> tuple[Cost, dict]:
    """Materializes the whole graph in a process of its own."""
    options = [] if profile is None else ["--profile", str(profile.absolute())]
    cost = run([sys.executable, "-m", "benchmarks.stations", "--child", str(home), *options], cwd=ROOT)
    if cost.code:
        raise SystemExit(f"a run of the graph failed with exit code {cost.code}")
    return cost, json.loads(cost.output.splitlines()[-1])


def show(runs: dict[str, tuple[Cost, dict]]) -> None:
    """One table: stations, checks and what is around them, in each of the runs."""
    spent = {name: {entry["what"]: Spent(**entry) for entry in told["spent"]} for name, (_, told) in runs.items()}
    everything = {what: None for found in spent.values() for what in found}
    rows = []
    for what in everything:
        found = [spent[name].get(what) for name in runs]
        if max(entry.seconds for entry in found if entry) < SMALL:
            continue
        cells = [cell for entry in found for cell in _cells(entry)]
        rows.append((what, *cells))
    names = [cell for name in runs for cell in (f"{name}: s", "CPU s")]
    print(table(("part", *names), [*rows, *_sums(runs, spent)]))
    print(f"\nparts below {SMALL} s in every run are in the sums only")
    for name, (cost, told) in runs.items():
        print(f"{name}: {len(told['made'])} stations made, peak {told['peak_mib']:,.0f} MiB of the graph's process "
              f"({cost.peak_mib:,.0f} with the training program), {cost.seconds:.1f} s and {cost.cpu:.1f} CPU s of "
              f"everything with imports and training; dataset {told['dataset'][7:19]}")  # fmt: skip


def _cells(entry: Spent | None) -> tuple[str, str]:
    return ("", "") if entry is None else (f"{entry.seconds:.2f}", f"{entry.cpu:.2f}")


def _sums(runs: dict[str, tuple[Cost, dict]], spent: dict[str, dict[str, Spent]]) -> Sequence[tuple[str, ...]]:
    rows = []
    for kind, said in (("station", "all stations"), ("check", "all checks"), ("around", "all around them")):
        chosen = [[e for e in spent[name].values() if e.kind == kind] for name in runs]
        cells = [c for es in chosen for c in (f"{sum(e.seconds for e in es):.1f}", f"{sum(e.cpu for e in es):.1f}")]
        rows.append((f"**{said}**", *cells))
    chosen = [[e for e in spent[name].values() if e.kind != "training"] for name in runs]
    cells = [c for es in chosen for c in (f"{sum(e.seconds for e in es):.1f}", f"{sum(e.cpu for e in es):.1f}")]
    return [*rows, ("**all but training**", *cells)]


def measure(profile: Path | None, keep: Path | None) -> dict[str, tuple[Cost, dict]]:
    """The three runs; the homes stay under ``keep`` as ``year`` and ``month``."""
    runs = {}
    with fresh(keep and keep / "year") as home:
        land(home, YEAR)
        runs["full"] = process(home.path, profile)
        runs["again"] = process(home.path)
    with fresh(keep and keep / "month") as home:
        land(home, BEFORE)
        process(home.path)
        land(home, YEAR)
        runs["month"] = process(home.path)
    return runs


def main() -> int:
    """Exit code 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stations", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--profile", type=Path, metavar="FOLDER", help="leave a cProfile of each station there")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave the two homes there")
    parser.add_argument("--child", type=Path, metavar="HOME", help="only materialize a home here, and print JSON")
    arguments = parser.parse_args()
    if arguments.child is not None:
        child(arguments.child, arguments.profile)
        return 0
    runs = measure(arguments.profile, arguments.keep)
    show(runs)
    told = {name: found for name, (_, found) in runs.items()}
    cpu = {n: sum(e["cpu"] for e in f["spent"] if e["kind"] != "training") for n, f in told.items()}
    held = (not told["again"]["made"] and told["month"]["dataset"] == told["full"]["dataset"]
            and cpu["month"] < cpu["full"])  # fmt: skip
    verdict = "held" if held else "MISSED"
    print(f"claims (again makes nothing; a month more gives the same dataset for less): {verdict}; "
          f"of the full run's CPU: again {cpu['again'] / cpu['full']:.0%}, a month more "
          f"{cpu['month'] / cpu['full']:.0%}")  # fmt: skip
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
