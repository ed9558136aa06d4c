"""A run of the graph: what failed, what is red, what was not reached, and the exit code."""

from pathlib import Path

import dagster as dg
import pytest

from mlops_platform.cli.context import console
from mlops_platform.cli.execution import Failure, Graph, RedCheck, Run
from mlops_platform.cli.run_view import show_end
from mlops_platform.errors import MissingArtifactError, PlatformError
from mlops_platform.resources.home import Home
from mlops_platform_tests.lineage.pumps.project import PROJECT

_ABSENT = MissingArtifactError(required="a thing", found="nothing", remedy="make it")
ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN


def _graph(
    *, fails: bool, severity: dg.AssetCheckSeverity | None, blocking: bool = False,
    error: BaseException = _ABSENT,
) -> Graph:  # fmt: skip
    """first -> second, and apart from them other, which may fail; a check on first may be red."""
    prefix = ["pumps", "x"]
    key = dg.AssetKey([*prefix, "first"])

    @dg.asset(key=key)
    def first() -> None: ...

    @dg.asset(key=[*prefix, "second"], deps=[key])
    def second() -> None: ...

    @dg.asset(key=[*prefix, "other"])
    def other() -> None:
        if fails:
            raise error

    @dg.asset_check(asset=key, blocking=blocking)
    def sound() -> dg.AssetCheckResult:
        figures = {"rows": 3, "share": 0.123456, "table": dg.MetadataValue.md("a\nb")}
        return dg.AssetCheckResult(passed=severity is None, severity=severity or ERROR, metadata=figures)

    job = dg.define_asset_job("pumps_everything")
    definitions = dg.Definitions(assets=[first, second, other], asset_checks=[sound], jobs=[job],
                                 executor=dg.in_process_executor)  # fmt: skip
    return Graph(PROJECT, definitions, {"pumps/x/first": "x", "pumps/x/second": "x", "pumps/x/other": "x"})


def _run(home: Home, graph: Graph) -> Run:
    return graph.run(home, graph.select("*"), lambda progress: None)


def test_what_ctrl_c_stops_is_told_as_that(home: Home) -> None:
    run = _run(home, _graph(fails=True, severity=None, error=dg.DagsterExecutionInterruptedError()))
    assert [failure.message for failure in run.failures] == ["stopped as asked; the same command goes on from there"]


def test_a_failed_station_tells_the_users_error_and_exits_1(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    run = _run(home, _graph(fails=True, severity=ERROR))
    assert run.failures == (
        Failure(step="pumps/x/other", message="Required: a thing\nFound: nothing\nRemedy: make it"),
    )
    assert run.exit_code == 1
    capfd.readouterr()
    show_end(console(), run, 1.0, log="/logs/run.log")
    out = capfd.readouterr().out
    assert "failed x/other\n  Required: a thing\n  Found: nothing\n  Remedy: make it\n" in out
    assert "error x/first sound: rows 3, share 0.1235\n" in out
    assert out.endswith("All output: /logs/run.log\n")


@pytest.mark.parametrize(("severity", "code"), [(None, 0), (WARN, 0), (ERROR, 3)])
def test_red_checks_decide_the_exit_code(home: Home, severity: dg.AssetCheckSeverity | None, code: int) -> None:
    run = _run(home, _graph(fails=False, severity=severity))
    assert run.exit_code == code
    assert run.failures == ()
    assert run.checks == 1
    assert [(check.name, check.severity) for check in run.red] == ([("sound", severity.value)] if severity else [])


def test_a_red_blocking_check_is_no_failed_station(home: Home) -> None:
    run = _run(home, _graph(fails=False, severity=ERROR, blocking=True))
    assert run.failures == ()
    assert "pumps/x/second" in run.not_reached
    assert run.exit_code == 3
    assert run.red == (
        RedCheck(station="pumps/x/first", name="sound", severity="ERROR", blocking=True,
                 figures={"rows": "3", "share": "0.1235"}),
    )  # fmt: skip


def test_the_runs_terminal_output_is_ours_alone(home: Home, capfd: pytest.CaptureFixture[str]) -> None:
    graph = _graph(fails=True, severity=ERROR)
    capfd.readouterr()
    _run(home, graph)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("selection", ["((", 'key:"pumps/nothing"', "nothing", "kindof:x"])
def test_a_selection_of_nothing_is_a_mistake(home: Home, selection: str, tmp_path: Path) -> None:
    with pytest.raises(PlatformError) as refused:
        _graph(fails=False, severity=None).select(selection)
    assert selection in refused.value.found
    assert "pumps/x/first" in refused.value.remedy
