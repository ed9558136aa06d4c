"""What the kernel's limits leave of a machine's memory."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from mlops_platform.training.program import memory


def test_a_limit_of_the_process_counts() -> None:
    program = (
        "import resource; from mlops_platform.training.program.memory import available; free = available();"
        "resource.setrlimit(resource.RLIMIT_DATA, (300 << 20, 300 << 20)); print(free, available())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[2])  # fmt: skip
    free, limited = map(int, done.stdout.split())
    assert 0 < limited < min(free + 1, 300 << 20)
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] != 300 << 20


@pytest.mark.parametrize(("limit", "left"), [("1000", [1000 - 700 + 300]), ("max", [])])
def test_a_control_group_counts_without_its_file_pages(tmp_path: Path, limit: str, left: list[int]) -> None:
    group = tmp_path / "jobs" / "mine"
    group.mkdir(parents=True)
    (tmp_path / "jobs" / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "jobs" / "memory.current").write_text("700\n")
    (tmp_path / "jobs" / "memory.stat").write_text("anon 400\nfile 300\n")
    assert list(memory._group(tmp_path, "/jobs/mine", "memory.max", "memory.current", "file")) == left
