"""``mlops dev``: programs that live and die together."""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import pytest

from mlops_platform.cli import dev
from mlops_platform.cli.context import console
from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home

_CHILD = (
    "import os, subprocess, sys, time; subprocess.Popen(['sleep', '60']); "
    "open(sys.argv[1], 'w').write(str(os.getpid())); "
)


def _program(tmp_path: Path, name: str, code: str) -> dev.Server:
    command = (sys.executable, "-c", _CHILD + code, str(tmp_path / f"{name}.pid"))
    return dev.Server(name, 1, command, tmp_path / f"{name}.log")


def _until(path: Path) -> str:
    return f"[time.sleep(0.05) for _ in iter(lambda: os.path.exists({str(path)!r}), True)]"


def _group_is_gone(tmp_path: Path, name: str) -> bool:
    # What was killed is gone once init has reaped it.
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            os.killpg(int((tmp_path / f"{name}.pid").read_text()), 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.is_file() or not path.read_text():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


def test_one_dying_ends_the_other_and_is_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    dies = _program(tmp_path, "dies", f"{_until(tmp_path / 'lives.pid')}; print('the last words'); sys.exit(7)")
    lives = _program(tmp_path, "lives", "time.sleep(60)")
    assert dev.run([dies, lives], console()) == 1
    out = capfd.readouterr().out
    assert "dies ended with exit code 7" in out
    assert "the last words" in out
    assert _group_is_gone(tmp_path, "lives")
    assert _group_is_gone(tmp_path, "dies")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_both_groups(tmp_path: Path, capfd: pytest.CaptureFixture[str], number: signal.Signals) -> None:
    programs = [_program(tmp_path, name, "time.sleep(60)") for name in ("one", "two")]

    def send() -> None:
        for name in ("one", "two"):
            _wait_for(tmp_path / f"{name}.pid")
        os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    sender = threading.Thread(target=send)
    sender.start()
    assert dev.run(programs, console()) == 0
    sender.join()
    assert number.name in capfd.readouterr().out
    assert _group_is_gone(tmp_path, "one")
    assert _group_is_gone(tmp_path, "two")
    assert signal.getsignal(number) is before


def test_a_program_that_will_not_end_is_made_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "_PATIENCE", 0.5)
    deaf = _program(tmp_path, "deaf", "import signal; signal.signal(15, signal.SIG_IGN); time.sleep(60)")
    dies = _program(tmp_path, "dies", f"{_until(tmp_path / 'deaf.pid')}; time.sleep(0.5)")
    assert dev.run([deaf, dies], console()) == 1
    assert _group_is_gone(tmp_path, "deaf")


def test_a_taken_port_gives_the_next_free_one_and_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        wanted = taken.getsockname()[1]
        found = dev.free_port(wanted, console(), "Dagster")
    assert found > wanted
    assert f"Port {wanted} is taken: Dagster gets {found}" in capfd.readouterr().out


def test_two_programs_never_get_one_port() -> None:
    first = dev.free_port(42310, console(), "Dagster")
    assert dev.free_port(first, console(), "MLflow", taken=(first,)) != first


def test_no_free_port_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev, "is_free", lambda port: False)
    with pytest.raises(PlatformError, match="a free port"):
        dev.free_port(3000, console(), "Dagster")


def test_all_listen_on_the_loopback_interface_only(home: Home) -> None:
    for server in [*dev.servers(home, 3000, 5000), dev.answers(home, 8080)]:
        command = server.command
        assert command[command.index("--host") + 1] == "127.0.0.1"
