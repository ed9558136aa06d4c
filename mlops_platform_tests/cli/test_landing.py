"""``mlops land``: whole files, equal bytes written once, and clear refusals."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.cli.landing import REPLACED, THERE, WRITTEN, deliver
from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.lineage.pumps.project import PROJECT


def _files(home: Home) -> dict[str, bytes]:
    return {str(p.relative_to(home.landing)): p.read_bytes() for p in sorted(home.landing.rglob("*")) if p.is_file()}


def test_files_hold_what_the_upstream_yields_and_nothing_else_lies_there(home: Home) -> None:
    delivered = list(deliver(PROJECT, home, "pumps", through="2024-04"))
    assert {d.outcome for d in delivered} == {WRITTEN}
    assert set(_files(home)) == {f"{d.table}/{d.table}-{d.month}.parquet" for d in delivered}
    assert {d.month for d in delivered if d.table == "readings"} == {"2024-03", "2024-04"}
    for each in delivered:
        assert pl.read_parquet(each.path).height == each.rows


def test_landing_again_writes_nothing(home: Home) -> None:
    list(deliver(PROJECT, home, "pumps", through="2024-04"))
    before = {path: path.stat().st_mtime_ns for path in home.landing.rglob("*.parquet")}
    again = list(deliver(PROJECT, home, "pumps", through="2024-04"))
    assert {d.outcome for d in again} == {THERE}
    assert {path: path.stat().st_mtime_ns for path in home.landing.rglob("*.parquet")} == before


def test_two_homes_get_equal_bytes(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    for each in (home, other):
        list(deliver(PROJECT, each, "pumps", through="2024-05"))
    assert _files(home) == _files(other)


def test_other_bytes_are_replaced_and_told(home: Home) -> None:
    list(deliver(PROJECT, home, "pumps", through="2024-03"))
    damaged = home.landing / "readings" / "readings-2024-03.parquet"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:100])
    outcomes = {d.path: d.outcome for d in deliver(PROJECT, home, "pumps", through="2024-03")}
    assert outcomes[damaged] == REPLACED
    assert damaged.read_bytes() == whole


def test_from_leaves_older_months_out(home: Home) -> None:
    delivered = list(deliver(PROJECT, home, "pumps", through="2024-05", since="2024-05"))
    assert {d.month for d in delivered} == {"2024-05"}


@pytest.mark.parametrize(
    ("name", "through", "since", "said"),
    [
        ("pump", "2024-03", None, "pumps"),
        ("pumps", "2024-3", None, "YYYY-MM"),
        ("pumps", "2024-13", None, "YYYY-MM"),
        ("pumps", "2024-03", "march", "YYYY-MM"),
        ("pumps", "2024-03", "2024-04", "--from 2024-03 --through 2024-04"),
    ],
)
def test_a_wrong_name_or_month_is_refused(home: Home, name: str, through: str, since: str | None, said: str) -> None:
    with pytest.raises(PlatformError, match=said):
        list(deliver(PROJECT, home, name, through=through, since=since))
    assert not home.landing.exists()


@pytest.mark.parametrize(("upstream", "said"), [("strict", "from 2024-03 to 2024-03"), ("lost", "install them")])
def test_an_upstreams_refusal_becomes_the_remedy(home: Home, upstream: str, said: str) -> None:
    project = replace(PROJECT, upstream=f"mlops_platform_tests.cli.upstreams:{upstream}")
    with pytest.raises(PlatformError) as refused:
        list(deliver(project, home, "pumps", through="2031-01"))
    assert said in refused.value.remedy
    assert "2031-01" in refused.value.found


def test_a_mistake_in_the_upstreams_code_keeps_its_own_error(home: Home) -> None:
    project = replace(PROJECT, upstream="mlops_platform_tests.cli.upstreams:broken")
    with pytest.raises(ValueError, match="a mistake in the upstream's code"):
        list(deliver(project, home, "pumps", through="2024-03"))


def test_a_project_without_upstream_is_told_where_files_go(home: Home) -> None:
    with pytest.raises(PlatformError, match=str(home.landing)):
        list(deliver(replace(PROJECT, upstream=None), home, "pumps", through="2024-03"))


def test_the_command_prints_one_line_a_table(mlops: Callable[..., Outcome]) -> None:
    first = mlops("land", "pumps", "--through", "2024-04")
    assert first.code == 0
    line = next(line for line in first.out.splitlines() if line.startswith("readings"))
    assert line.split() == ["readings", "2024-03", "to", "2024-04", "244", "rows", "in", "2", "files", "written"]
    assert "already there" in mlops("land", "pumps", "--through", "2024-04").out
