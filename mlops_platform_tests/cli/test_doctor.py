"""``mlops doctor``: one line a thing, and how to mend it."""

import importlib.metadata
import json
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_platform.cli import doctor
from mlops_platform.resources.home import Home
from mlops_platform_tests.cli.conftest import Outcome


@pytest.mark.parametrize(
    ("version", "state"), [((3, 11, 9), "ok"), ((3, 13, 0), "ok"), ((3, 10, 1), "fail"), ((3, 14, 0), "fail")]
)
def test_python_versions(version: tuple[int, ...], state: str) -> None:
    assert doctor.python(version).state == state


def test_packages_are_compared_with_the_tested_versions(tmp_path: Path) -> None:
    constraints = tmp_path / "constraints.txt"
    rich = importlib.metadata.version("rich")
    constraints.write_text(f"# tested\nrich=={rich}  # shown\nrich=={rich}+cpu ; python_version > '3'\n\n")
    assert doctor.packages(constraints).state == "ok"
    constraints.write_text("rich==0.0.1\nno-such-package-anywhere==1\n")
    found = doctor.packages(constraints)
    assert found.state == "warn"
    assert f"rich {rich} (tested 0.0.1)" in found.found
    assert "not installed: no-such-package-anywhere" in found.found
    assert doctor.packages(tmp_path / "gone.txt").state == "warn"


def test_a_home_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert doctor.home_writable(Home(tmp_path / "file" / "home")).state == "fail"
    assert doctor.home_writable(Home(tmp_path / "a" / "b")).state == "ok"


def test_another_dagster_home_is_told(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert doctor.dagster_home(home, str(tmp_path)).state == "ok"
    assert doctor.dagster_home(home, str(tmp_path / "other")).state == "warn"
    assert "export" in doctor.dagster_home(home, None).remedy


def test_missing_or_changed_settings_are_told(home: Home) -> None:
    placed = home.path / "dagster.yaml"
    assert doctor.settings(home).state == "ok"
    placed.write_text("telemetry: {enabled: true}\n")
    assert doctor.settings(home).state == "warn"
    placed.unlink()
    assert doctor.settings(home).state == "warn"


def test_a_taken_port_is_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert [found.state for found in doctor.ports((taken.getsockname()[1],))] == ["warn"]


def test_the_port_of_live_answers_is_looked_at_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "is_free", lambda port: port != 8080)
    found = {finding.name: finding for finding in doctor.findings(home) if finding.name.startswith("port ")}
    assert sorted(found) == ["port 3000", "port 5000", "port 8080"]
    assert found["port 8080"].state == "warn"
    assert "mlops serve --port" in found["port 8080"].remedy and "mlops serve" in found["port 8080"].found


def test_a_full_disk_fails(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 100 << 20}))
    assert doctor.disk(home).state == "fail"


def test_whatever_is_wrong_says_how_to_mend_it(mlops: Callable[..., Outcome]) -> None:
    ended = mlops("doctor", "--json")
    found = json.loads(ended.out)
    assert all(finding["remedy"] for finding in found if finding["state"] != "ok")
    assert ended.code == int(any(finding["state"] == "fail" for finding in found))
    lines = mlops("doctor").out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == [finding["state"] for finding in found]
