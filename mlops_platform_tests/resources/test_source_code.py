"""The code of a station is what its functions refer to, name by name; comments and layout left out."""

import sys
from pathlib import Path

import pytest

from mlops_platform.resources.source_code import closure

_ENTRY = "station_pkg.entry:work"
_FILES = {
    "__init__.py": "",
    "entry.py": """
        import json
        import numpy as np
        import polars as pl
        from station_pkg import near
        from station_pkg.shapes import Square
        from station_pkg.tools import LIMIT as MOST
        def work(rows: pl.LazyFrame, door: "Door" = None):
            Square(MOST)
            return near.step([unused for unused in rows])
        def beside():
            return np.zeros(1), json, unused()
        def unused():
            return 1
        class Door:
            def opened(self):
                return hinge()
        def hinge():
            return 1
        """,
    "near.py": """
        import station_pkg.far
        from .tools import kept
        def step(rows):
            return station_pkg.far.deep(rows)
        @kept
        def registered():
            return 1
        """,
    "far.py": '''
        def deep(rows):
            """Say it."""
            return 1  # one
        ''',
    "shapes.py": """
        class Shape:
            sides = 0
            def area(self):
                return _area(self)
        class Square(Shape):
            def __init__(self, side):
                self.side = side
        def _area(shape):
            return shape.sides
        """,
    "tools.py": """
        LIMIT = 3
        OTHER = 4
        def kept(function):
            return function
        """,
    "stranger.py": """
        def unrelated():
            return 2
        """,
}


def _text(text: str) -> str:
    return "\n".join(line[8:] for line in text.strip("\n").splitlines()) + "\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "station_pkg"
    folder.mkdir()
    for name, text in _FILES.items():
        (folder / name).write_text(_text(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def parts() -> set[str]:
    return {part.removeprefix("station_pkg.") for part in closure(_ENTRY).parts}


def test_what_it_refers_to_is_in_it_and_nothing_else(package: Path) -> None:
    assert parts() == {
        "entry:work", "entry:Door", "entry:hinge", "near:step", "near:registered", "far:deep", "tools:LIMIT",
        "tools:kept", "shapes:Shape", "shapes:Square", "shapes:_area",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("far.py", "return 1", "return 2"),
        ("shapes.py", "sides = 0", "sides = 1"),
        ("shapes.py", "return shape.sides", "return shape.sides + 1"),
        ("tools.py", "LIMIT = 3", "LIMIT = 5"),
        ("entry.py", "door: \"Door\" = None", "door: \"Door\" = 1"),
        ("near.py", "station_pkg.far.deep(rows)", "station_pkg.far.deep(rows[1:])"),
        ("near.py", "def step(rows):", "del kept\ndef step(rows):"),
        ("near.py", "def step(rows):", "@kept\ndef step(rows):"),
        ("tools.py", "LIMIT = 3", "if True:\n    LIMIT = 3"),
    ],
)  # fmt: skip
def test_what_changes_it(package: Path, file: str, old: str, new: str) -> None:
    before = closure(_ENTRY).digest
    _edit(package / file, old, new)
    assert closure(_ENTRY).digest != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("far.py", "return 1  # one", "\n    return (\n        1)  # still"),
        ("far.py", '"""Say it."""', '"""Say otherwise."""'),
        ("stranger.py", "return 2", "return 3"),
        ("tools.py", "OTHER = 4", "OTHER = 5"),
        ("entry.py", "np.zeros(1), json, unused()", "2"),
        ("entry.py", "def unused():\n    return 1", "def unused():\n    return 2"),
        ("entry.py", "rows: pl.LazyFrame", "rows: pl.DataFrame"),
        ("entry.py", "import json\n", "import json\nimport time\n"),
        ("entry.py", "from station_pkg import near\n", "from station_pkg import near, stranger\n"),
        ("entry.py", "def hinge", 'if __name__ == "__main__":\n    work(1)\ndef hinge'),
    ],
)
def test_what_does_not(package: Path, file: str, old: str, new: str) -> None:
    before = closure(_ENTRY).digest
    _edit(package / file, old, new)
    assert closure(_ENTRY).digest == before


@pytest.mark.parametrize(
    "body",
    [
        'return globals()["unused"]()',
        "import station_pkg.entry as here\n    return getattr(here, rows)",
        "import station_pkg.entry as here\n    return list(map(str, [here]))",
        "import station_pkg.entry as here\n    return here.nowhere",
    ],
)
def test_what_cannot_be_told_counts_the_whole_module(package: Path, body: str) -> None:
    _edit(package / "entry.py", "return near.step([unused for unused in rows])", body)
    assert {"entry:unused", "entry:beside"} <= parts()
    assert "numpy" in closure(_ENTRY).distributions


def test_an_import_of_everything_counts_the_whole_module(package: Path) -> None:
    _edit(package / "near.py", "from .tools import kept", "from .tools import *")
    assert "tools:OTHER" in parts()


def test_the_packages_face_leads_to_where_a_name_is_defined(package: Path) -> None:
    (package / "__init__.py").write_text("from .stranger import unrelated\nfrom .far import deep as deepest\n")
    _edit(package / "near.py", "station_pkg.far.deep(rows)", "station_pkg.deepest(rows)")
    assert "far:deep" in parts() and "stranger:unrelated" not in parts()


def test_a_module_loaded_for_what_it_does_counts_that(package: Path) -> None:
    _edit(package / "stranger.py", "return 2", "return 2\nprint(unrelated())")
    _edit(package / "far.py", "def deep", "import station_pkg.stranger\ndef deep")
    assert {"stranger:<module>", "stranger:unrelated"} <= parts()


def test_only_the_distributions_referred_to_count(package: Path) -> None:
    assert set(closure(_ENTRY).distributions) == {"polars"}
    assert "numpy" in closure("station_pkg.entry:beside").distributions


def test_an_unknown_name_counts_the_whole_module(package: Path) -> None:
    assert "station_pkg.tools:OTHER" in closure("station_pkg.tools:nowhere").parts


def test_a_touched_file_is_no_change(package: Path) -> None:
    before = closure(_ENTRY).digest
    (package / "far.py").touch()
    assert closure(_ENTRY).digest == before


def test_nothing_is_imported(package: Path) -> None:
    _edit(package / "far.py", "def deep", "raise RuntimeError\ndef deep")
    closure(_ENTRY)
    assert "station_pkg.far" not in sys.modules


def test_a_package_without_an_init_file_is_read_too(package: Path) -> None:
    (package / "__init__.py").unlink()
    assert "far:deep" in parts()


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
