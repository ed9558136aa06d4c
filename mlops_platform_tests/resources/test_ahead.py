"""What comes next is imported beside the waiting, and a failure of it is told where it is used."""

import sys
from pathlib import Path

import pytest

from mlops_platform.resources.ahead import importing


def test_modules_are_there_after_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "comes_next.py").write_text("FOUND = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with importing("there_is_no_such_module", "comes_next"):
        pass
    assert sys.modules.pop("comes_next").FOUND == 1


def test_an_error_of_the_block_is_raised(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of the block"), importing("json"):
        raise ValueError("of the block")


def test_what_is_not_needed_any_more_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "slow_to_import.py").write_text("import time\ntime.sleep(0.5)\n")
    (tmp_path / "never_imported.py").write_text("")
    with pytest.raises(KeyboardInterrupt), importing("slow_to_import", "never_imported"):
        raise KeyboardInterrupt
    assert "never_imported" not in sys.modules
