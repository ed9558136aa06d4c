"""Breaks the engine, one rule at a time, and requires that its own tests notice.

Each mutation is applied to a copy of the room's source, and the tests of the engine are run against the copy.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import mlops_platform
import mlops_platform_tests

ROOM = "point_in_time"
SOURCE, TESTS_OF = (Path(package.__path__[0]) / ROOM for package in (mlops_platform, mlops_platform_tests))
TESTS = ("test_engine.py", "test_engine_edges.py", "test_engine_property.py", "test_engine_plans.py")
HELPERS = ("one_view.py", "oracle.py")
# Not whether the room is light to import, and of the plans only whether each gives the right answer.
CHOSEN = "not importing and (not plans or every_plan)"
EXAMPLES = 30
WORKERS = 2

Edit = tuple[str, str, str]
# Pytest's exit code; each test that failed, with the first line of why; what was printed.
Result = tuple[int, list[tuple[str, str]], str]
# What is broken -> edits: module of the room, its source, what becomes of it.
MUTATIONS: dict[str, list[Edit]] = {
    "ttl: never checked": [("engine", "if ttl is None:", "if True:")],
    "ttl: an age equal to it is too old": [("engine", "pl.col(EVENT) >= oldest", "pl.col(EVENT) > oldest")],
    "ttl: a microsecond more than it is alive": [("engine", "_BEGINNING + ttl) - ttl", "_BEGINNING + ttl) - ttl - 1")],
    "ttl: none or zero means nothing older is alive": [("candidates", "whole if 0 < whole", "whole if 0 <= whole")],
    "ttl: rows in its reach are left unread": [("candidates", "in_utc(earliest) - self.view.ttl", "in_utc(earliest)")],
    "known time: ignored": [
        ("candidates", "respect = self.view.known_timestamp is not None and", "respect = False and"),
    ],
    "known time: a late row hides the newest visible one": [
        ("candidates", "respect = self.view.known_timestamp is not None and", "respect = False and"),
        (
            "choosing",
            "mine = pl.col(CODE) == code",
            "mine = (pl.col(CODE) == code) & (pl.col(KNOWN) <= at).fill_null(True)",
        ),
    ],
    "known time: respected where it should be ignored": [
        ("candidates", '== "respect"\n        asked', '!= "maybe"\n        asked'),
    ],
    "known time: known when asked is not yet known": [("choosing", "then(known - event)", "then(known - event + 1)")],
    "known time: a null is never known": [("candidates", "pl.col(KNOWN).is_null() | ", "")],
    "known time: what is known early is seen early": [("choosing", "when(known > event)", "when(known.is_not_null())")],
    "known time: a late correction hides a newer fact": [("choosing", "visible[_RANK].cum_max()", "visible[_RANK]")],
    "ties: created does not decide": [("choosing", "or not rows.select(tied.any()).item()", "or True")],
    "ties: the earliest known wins": [
        ("choosing", "(pl.col(KNOWN) < pl.col(KNOWN).shift())", "(pl.col(KNOWN) > pl.col(KNOWN).shift())"),
        ("choosing", "sort(_PLACE, KNOWN, _INDEX)", "sort(_PLACE, KNOWN, _INDEX, descending=[False, True, False])"),
    ],
    "ties: a null known wins": [("choosing", "_INDEX]).fill_null(_EARLIEST)", "_INDEX]).fill_null(_MOST)")],
    "ties: the first row of the file wins": [
        ("choosing", "rows.drop(KNOWN)", "rows.sort(_PLACE, KNOWN, pl.col(_INDEX).cast(pl.Int64).neg()).drop(KNOWN)"),
    ],
    "ties: of two chunks the first wins": [("choosing", "new[1] >= old[1]", "new[1] > old[1]")],
    "ties: of two chunks a null known wins": [
        ("choosing", "(_LATER[KNOWN]).fill_null(_EARLIEST)", "(_LATER[KNOWN]).fill_null(_MOST)"),
    ],
    "bounds: a row true when asked is not seen": [("choosing", 'needles, side="right"', 'needles, side="left"')],
    "bounds: a row true when the last one asks is left unread": [
        ("candidates", "pl.col(EVENT) <= latest", "pl.col(EVENT) < latest")
    ],
    "duplicates: given once": [
        ("asked", "return cls(rows, ", "rows = rows.unique(maintain_order=True)\n        return cls(rows, "),
    ],
    "unmatched rows: dropped": [
        (
            "engine",
            "return pl.DataFrame(columns)",
            "return pl.DataFrame(columns).drop_nulls([*views[0].features.values()])",
        ),
    ],
    "unmatched rows: given the row of another key": [
        ("choosing", "mine = pl.col(CODE) == code", "mine = pl.col(CODE).is_not_null()")
    ],
    "order of entity rows: by key": [
        ("asked", "return cls(rows, ", "rows = rows.sort(rows.columns)\n        return cls(rows, ")
    ],
    "order of entity rows: answers by key and time": [("asked", '("place").sort(ROW)', '("place")')],
    "nulls: features carried forward": [
        (
            "engine",
            "    held = held.with_columns(",
            "    held = held.drop_nulls(list(candidates.view.features.values())).with_columns(",
        ),
    ],
    "nulls: null keys match each other": [
        ("asked", "keys.drop_nulls()", "keys"),
        ("asked", 'how="left", maintain_order', 'how="left", nulls_equal=True, maintain_order'),
        ("candidates", 'how="inner", maintain_order', 'how="inner", nulls_equal=True, maintain_order'),
    ],
    "nulls: a null event time is the beginning of time": [
        ("candidates", "event.alias(EVENT)", "event.fill_null(0).alias(EVENT)"),
        ("candidates", "rows.filter(roughly", "rows.filter(pl.col(view.event_timestamp).is_null() | roughly"),
    ],
    "nulls: a null entity time is now": [
        ("asked", "pl.when(pl.col(AT).is_not_null()).then(CODE)", "pl.col(CODE)"),
        ("choosing", " & pl.lit(at).is_not_null()", ""),
    ],
    "nulls: a half null key matches": [
        ("asked", "keys.drop_nulls()", "keys.drop_nulls(names[:1])"),
        ("asked", 'how="left", maintain_order', 'how="left", nulls_equal=True, maintain_order'),
        ("candidates", 'how="inner", maintain_order', 'how="inner", nulls_equal=True, maintain_order'),
    ],
    "times: zones are dropped": [
        ("times", 'else read.dt.convert_time_zone("UTC")', 'else read.dt.replace_time_zone("UTC")')
    ],
    "times: cut to milliseconds": [
        ("times", 'read.dt.cast_time_unit("us")', 'read.dt.cast_time_unit("ms").dt.cast_time_unit("us")')
    ],
    "gathering: a stretch has one row too many": [
        ("gathering", 'start + stretch, closed="left"', 'start + stretch, closed="both"')
    ],
    "latest: the first of ties": [("pulls", 'keep="last"', 'keep="first"')],
    "latest: a null known wins": [("pulls", "sort(order, nulls_last=False", "sort(order, nulls_last=True")],
    "latest: null keys are one key": [
        ("pulls", "rows = rows.filter(pl.all_horizontal(pl.col(keys).is_not_null()))", "")
    ],
    "between: the start is left out": [("pulls", "event >= pl.lit", "event > pl.lit")],
    "between: the end is left out": [("pulls", "event <= pl.lit", "event < pl.lit")],
    "between: null event times are in range": [("pulls", "keep = event.is_not_null()", "keep = pl.lit(True)")],
}


# Runs the engine's tests against one copy after another, each up to the first failure. What is slow to import is
# imported once; the room and its tests anew for each copy.
RUNNER = """
import importlib, json, sys
import hypothesis, polars, pytest

class Failed:
    def __init__(self):
        self.tests = []
    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.tests.append((report.nodeid, report.longrepr.reprcrash.message.splitlines()[0]))

find = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
hypothesis.settings.register_profile("same", derandomize=True, database=None, phases=find, report_multiple_bugs=False)
hypothesis.settings.load_profile("same")
for root in json.load(sys.stdin):
    for name in [name for name in sys.modules if name.split(".")[0] in ("mlops_platform", "mlops_platform_tests")]:
        del sys.modules[name]
    sys.path.insert(0, root["path"])
    importlib.invalidate_caches()
    failed = Failed()
    code = pytest.main(["-x", "-q", "-c", "/dev/null", "--rootdir", root["path"], *root["arguments"]], [failed])
    sys.path.remove(root["path"])
    with open(root["path"] + "/result.json", "w") as result:
        json.dump([int(code), failed.tests], result)
"""


def shadow(root: Path, edits: list[Edit]) -> None:
    """Copy the room and the engine's tests below `root`, and break the room."""
    room, tests = root / "mlops_platform" / ROOM, root / "mlops_platform_tests" / ROOM
    shutil.copytree(SOURCE, room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("__init__.py", "errors.py"):
        shutil.copy(SOURCE.parent / name, room.parent)
    tests.mkdir(parents=True)
    for name in TESTS + HELPERS:
        few = re.sub(r"max_examples=\d+", f"max_examples={EXAMPLES}", (TESTS_OF / name).read_text())
        (tests / name).write_text(few)
    for module, original, mutated in edits:
        file = room / f"{module}.py"
        file.write_text(file.read_text().replace(original, mutated))


def run(roots: list[Path]) -> str:
    """Run the engine's tests against each copy, all in one process; its output."""
    given = [
        {
            "path": str(root),
            "arguments": ["-p", "no:cacheprovider", "--import-mode=importlib", "-k", CHOSEN]
            + [str(root / "mlops_platform_tests" / ROOM / name) for name in TESTS],
        }
        for root in roots
    ]
    ran = subprocess.run(
        [sys.executable, "-B", "-c", RUNNER], input=json.dumps(given), capture_output=True, text=True, timeout=600,
        env={**os.environ, "POLARS_MAX_THREADS": "1"}, cwd=roots[0],
    )  # fmt: skip
    return ran.stdout + ran.stderr


@pytest.fixture(scope="module")
def noticed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Result]:
    """For every mutation, and for the engine as it is: what came of the tests."""
    roots: dict[str, Path] = {}
    for name, edits in {"": [], **MUTATIONS}.items():
        roots[name] = tmp_path_factory.mktemp("shadow")
        shadow(roots[name], edits)
    shares = [list(roots.values())[number::WORKERS] for number in range(WORKERS)]
    with ThreadPoolExecutor(WORKERS) as pool:
        said = [ran[-3000:] for ran in pool.map(run, shares)]
    results = {}
    for number, (name, root) in enumerate(roots.items()):
        result = root / "result.json"
        code, failed = json.loads(result.read_text()) if result.exists() else (-1, [])
        results[name] = code, failed, said[number % WORKERS]
    return results


@pytest.mark.parametrize("name", MUTATIONS)
def test_what_is_broken_is_there(name: str) -> None:
    """A mutation whose source is gone breaks nothing: adapt it to the engine as it is now."""
    for module, original, _ in MUTATIONS[name]:
        found = (SOURCE / f"{module}.py").read_text().count(original)
        assert found == 1, f"{module}.py: {original!r} is there {found} times"


def test_the_engine_as_it_is_passes(noticed: dict[str, Result]) -> None:
    code, failed, said = noticed[""]
    assert (code, failed) == (0, []), said


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_broken_engine_is_noticed(noticed: dict[str, Result], name: str) -> None:
    code, failed, said = noticed[name]
    assert code == 1 and failed, f"no test failed, or none could run (pytest said {code}):\n{said}"
    crashed = [why for _, why in failed if re.match("NameError|AttributeError|ImportError|TypeError", why)]
    assert not crashed, f"what was put in does not even run: {crashed}"
