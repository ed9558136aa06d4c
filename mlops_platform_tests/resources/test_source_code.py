"""The code of a station is what its functions can reach, comments and layout left out."""

import sys
from pathlib import Path

import pytest

from mlops_platform.resources.source_code import closure

_ENTRY = "station_pkg.entry:work"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "station_pkg"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "entry.py").write_text(
        "import polars\nfrom station_pkg import near\n\ndef work():\n    return near.step()\n"
    )
    (folder / "near.py").write_text("from .far import deep\n\ndef step():\n    return deep()\n")
    (folder / "far.py").write_text('def deep():\n    """Say it."""\n    return 1  # one\n')
    (folder / "stranger.py").write_text("def unrelated():\n    return 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_helpers_two_imports_away_are_in_it(package: Path) -> None:
    assert set(closure(_ENTRY).modules) == {"station_pkg", "station_pkg.entry", "station_pkg.near", "station_pkg.far"}


@pytest.mark.parametrize(
    ("file", "text", "counts"),
    [
        ("far.py", "def deep():\n    return 2\n", True),
        ("far.py", 'def deep():\n    """Say otherwise."""\n\n    return 1  # still one\n', False),
        ("stranger.py", "def unrelated():\n    return 3\n", False),
        (
            "entry.py",
            "import json\nimport polars\nfrom station_pkg import near\n\ndef work():\n    return near.step()\n",
            True,
        ),
    ],
)
def test_what_changes_it(package: Path, file: str, text: str, counts: bool) -> None:
    before = closure(_ENTRY).digest
    (package / file).write_text(text)
    assert (closure(_ENTRY).digest != before) is counts


def test_relative_imports_of_a_package_count(package: Path) -> None:
    (package / "__init__.py").write_text("from .stranger import unrelated\n")
    assert "station_pkg.stranger" in closure(_ENTRY).modules


def test_only_the_distributions_imported_count(package: Path) -> None:
    assert set(closure(_ENTRY).distributions) == {"polars"}


def test_nothing_is_imported(package: Path) -> None:
    (package / "far.py").write_text("raise RuntimeError\n")
    closure(_ENTRY)
    assert "station_pkg.far" not in sys.modules


def test_a_package_without_an_init_file_is_read_too(package: Path) -> None:
    (package / "__init__.py").unlink()
    assert "station_pkg.far" in closure(_ENTRY).modules
