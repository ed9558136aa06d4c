"""``mlops notifications`` lists what happened and delivers it by hand; ``mlops doctor`` sees the address."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mlops_platform.resources.home import Home
from mlops_platform.resources.webhook import URL
from mlops_platform_tests.cli.conftest import Outcome
from mlops_platform_tests.resources.receiver import SECRET as SHARED
from mlops_platform_tests.resources.receiver import Receiver

Use = Callable[[Path], Home]
Call = Callable[..., Outcome]


def test_it_lists_without_posting_and_delivers_when_asked(
    pumps_copy: Home, use_home: Use, webhook: Receiver, mlops: Call
) -> None:
    use_home(pumps_copy.path)
    webhook.answers = [500]
    listed = json.loads(mlops("notifications", "--json").out)["notifications"]
    assert [(each["kind"], each["state"], each["tries"]) for each in listed] == [("promotion", "waiting", 0)]
    assert webhook.requests == []
    ended = mlops("notifications", "--deliver")
    assert ended.code == 0 and "1 try: HTTP 500" in ended.out and "now: 1 waiting" in ended.out
    assert "now: nothing was due" in mlops("notifications", "--deliver").out
    assert SHARED not in ended.out + ended.err and "hidden" not in ended.out + ended.err


def test_what_it_records_makes_no_station_stale(pumps_copy: Home, use_home: Use, mlops: Call) -> None:
    use_home(pumps_copy.path)
    assert "promotion" in mlops("notifications").out
    assert mlops("materialize").out.splitlines()[-1].startswith("nothing to do: 16 stations stand; ")


def test_delivering_without_an_address_is_a_mistake(mlops: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL, raising=False)
    ended = mlops("notifications", "--deliver")
    assert ended.code == 2 and "MLOPS_WEBHOOK_URL" in ended.err


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path, mlops: Call, use_home: Use) -> None:
    use_home(tmp_path / "elsewhere")
    assert "nothing to tell" in mlops("notifications").out
    assert not (tmp_path / "elsewhere").exists()


def test_doctor_tells_what_is_wrong_with_the_address(
    webhook: Receiver, mlops: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "posts to http://127.0.0.1\n" in mlops("doctor").out
    monkeypatch.setenv(URL, "http://ada:hunter2@receiver.example/")
    ended = mlops("doctor")
    assert ended.code == 1 and "a name or password before the host" in ended.out and "hunter2" not in ended.out
    monkeypatch.delenv(URL)
    assert "none: notifications stay in the home" in mlops("doctor").out
