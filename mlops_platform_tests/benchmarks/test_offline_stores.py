"""The two programs about the offline store, at a tiny scale."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def ran(*arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_the_table_of_stores_has_a_line_for_each_and_compares_their_answers(tmp_path: Path) -> None:
    said = ran("benchmarks.offline_stores", "--cells", "10k-1m", "--rows-scale", "0.005", "--repetitions", "1",
               "--stores", "ours,ours-ignore,duckdb,polars", "--keep", str(tmp_path))  # fmt: skip
    lines = [line.split("|") for line in said.splitlines() if line.startswith("| 50 x 5k ")]
    assert [line[2].strip().partition("/")[0] for line in lines[:3]] == [
        "ours", "ours, ignoring created", "Feast's duckdb store",
    ]  # fmt: skip
    assert [line[-2].strip() for line in lines[1:4]] == ["", "the same", "the same"]
    assert "claims: not judged on scaled cells" in said


@pytest.mark.long
def test_bounded_memory_asks_each_kind_of_file_and_checks_the_answers(tmp_path: Path) -> None:
    said = ran("benchmarks.bounded_memory", "--scale", "0.0001", "--keep", str(tmp_path))
    assert "Limit of each process: 8 GiB (" in said
    assert said.splitlines()[-1] == "claim (each ends under 8 GiB, whole and right): held"
    assert sum(line.startswith(("| unsorted | ours ", "| sorted   | ours ", "| skewed   | ours "))
               for line in said.splitlines()) == 3  # fmt: skip
