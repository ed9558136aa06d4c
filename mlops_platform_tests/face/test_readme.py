"""The README and its neighbours: commands exist, links lead somewhere, snippets are pieces of code that tests run."""

import importlib.metadata
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops_platform.resources.source_code import resolve

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = sorted([README, ROOT / "AGENTS.md", *(ROOT / "docs").rglob("*.md")])
MAKEFILE = (ROOT / "Makefile").read_text()
BIN = Path(sys.executable).parent
ECOSYSTEM = ("dagster", "dg")

_FENCE = re.compile(r"(?:<!-- from (?P<source>\S+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)|<img src=\"([^\"]+)\"")
_SPAN = re.compile(r"`((?:make|mlops|dagster|dg) [^`]+)`")
_PATH = re.compile(r"`((?:mlops_platform|mlops_platform_tests|docs|benchmarks|feature_repo)/[\w/.]*)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the file that it says it is a piece of."""

    page: Path
    language: str
    text: str
    source: str | None


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a page."""
    found = _FENCE.finditer(page.read_text())
    return [Block(page, match["language"], match["text"], match["source"]) for match in found]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def commands(*programs: str) -> list[str]:
    """Each different command of these programs in the README's shell blocks, and in spans of code on any page."""
    return list(dict.fromkeys(line for line in _lines() if line.split()[0] in programs))


def _lines() -> Iterator[str]:
    for block in blocks(README):
        if block.language == "sh":
            yield from (line.partition("  #")[0].strip() for line in block.text.splitlines() if line.strip())
    for page in PAGES:
        yield from _SPAN.findall(page.read_text())


def told(words: list[str]) -> str:
    """The help of a command, on lines that no terminal breaks."""
    environment = {"COLUMNS": "400", "PATH": "/usr/bin:/bin", "TERM": "dumb"}
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=120)
    assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr[-2000:]}"
    return done.stdout


def options(command: str) -> list[str]:
    return [word.partition("=")[0] for word in shlex.split(command) if word.startswith("-") and len(word) > 1]


def test_every_shell_block_holds_only_what_is_checked_here() -> None:
    allowed = ("make", "mlops", "export", *ECOSYSTEM)
    blocked = [block.text.splitlines() for block in blocks(README) if block.language == "sh"]
    assert len(blocked) >= 3
    assert [line for lines in blocked for line in lines if line.strip() and line.split()[0] not in allowed] == []


@pytest.mark.parametrize("command", commands("make"))
def test_make_targets_exist(command: str) -> None:
    for target in command.split()[1:]:
        assert re.search(rf"^{re.escape(target)}:.*##", MAKEFILE, re.M), (
            f"{command}: no target {target} with a help text"
        )


@pytest.mark.parametrize("command", commands("mlops"))
def test_mlops_commands_parse(command: str) -> None:
    from typer.main import get_command

    from mlops_platform.cli.app import app

    values = {"MODEL": "flight_delay", "TIME": "2013-07-01"}
    words = [values.get(word, word) for word in shlex.split(command)[1:]]
    group = get_command(app)
    found = group.commands[words[0]]  # type: ignore[attr-defined]
    if len(words) == 1 and any(parameter.required for parameter in found.params):
        return  # A mention in the text, not a call.
    found.make_context(words[0], words[1:])


@pytest.mark.long
@pytest.mark.parametrize("command", commands(*ECOSYSTEM))
def test_the_ecosystems_commands_take_these_options(command: str) -> None:
    words = shlex.split(command)
    version = tuple(int(part) for part in importlib.metadata.version("typer").split(".")[:2])
    if words[0] == "dg" and version >= (0, 26):
        pytest.skip(f"dg's help is empty with typer {version[0]}.{version[1]}; constraints.txt has one below 0.26")
    if words[1:2] == ["--help"]:
        assert told([str(BIN / words[0]), "--help"])
        return
    program = [str(BIN / words[0]), *(word for word in words[1:3] if re.fullmatch(r"[a-z]+", word))]
    shown = told([*program, "--help"])
    assert [option for option in options(command) if option not in shown] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    links = [first or second for first, second in _LINK.findall(text)]
    assert [link for link in links if not (page.parent / link).exists()] == []
    paths = set(_PATH.findall(text))
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


PYTHON = [block for page in PAGES for block in blocks(page) if block.language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: f"{name(block.page)}:{block.text.split('(')[0][:30]}")
def test_python_blocks_are_pieces_of_files_that_tests_run(block: Block) -> None:
    compile(block.text, block.source or name(block.page), "exec")
    assert block.source is not None, "write <!-- from PATH --> above the block"
    assert block.text in (ROOT / block.source).read_text()


def test_the_three_steps_build_a_graph() -> None:
    from mlops_platform_tests.face.pumps_definitions import defs

    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert {"pumps/raw/readings", "pumps/features/pump_state", "pumps/pump_repair/predictions"} <= keys


def test_the_project_named_for_the_command_line_is_one() -> None:
    from mlops_platform.spec import Project

    named = re.search(r"MLOPS_PROJECT=(\S+)", README.read_text())
    assert named is not None
    assert isinstance(resolve(named[1]), Project)


def test_the_demos_output_can_be_refreshed() -> None:
    text = README.read_text()
    begin, end = text.index("<!-- demo output -->"), text.index("<!-- /demo output -->")
    shown = text[begin:end]
    for station in ("checkpoint", "gate", "champion", "predictions", "not recorded", "try next"):
        assert station in shown


def test_agents_is_one_page() -> None:
    assert len((ROOT / "AGENTS.md").read_text().splitlines()) <= 90


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_pages_say_nothing_of_a_machine(page: Path) -> None:
    assert re.findall(r"(?:/home/|/root/|/tmp/|/work/|/Users/)\S+", page.read_text()) == []
