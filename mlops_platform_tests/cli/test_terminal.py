"""Others' output goes to the log, ours to the terminal."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlops_platform.cli.context import console
from mlops_platform.cli.terminal import own_terminal


def test_only_our_lines_reach_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "logs" / "run.log"
    with own_terminal(log) as shown:
        print("python noise")
        noise = "import sys; print('child noise'); print('worse', file=sys.stderr)"
        subprocess.run([sys.executable, "-c", noise], check=True)
        shown.print("ours")
    print("afterwards")
    found = capfd.readouterr()
    assert found.out.splitlines() == ["ours", "afterwards"]
    assert found.err == ""
    assert sorted(log.read_text().splitlines()) == ["child noise", "python noise", "worse"]


def test_the_terminal_comes_back_after_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), own_terminal(tmp_path / "run.log"):
        print(1 / 0)
    print("back")
    assert capfd.readouterr().out == "back\n"


def test_plain_text_has_no_blanks_at_line_ends_and_no_colour(capfd: pytest.CaptureFixture[str]) -> None:
    from rich.table import Table

    table = Table("name", "value", box=None)
    table.add_row("[green]a[/]", "1")
    console().print(table)
    out = capfd.readouterr().out
    assert "\x1b" not in out
    assert all(line == line.rstrip() for line in out.splitlines())
