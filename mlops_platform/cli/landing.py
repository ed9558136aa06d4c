"""``mlops land``: the upstream's deliveries, written into the landing as whole files."""

import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_platform.cli.context import plural
from mlops_platform.errors import PlatformError
from mlops_platform.resources.home import Home
from mlops_platform.resources.source_code import resolve
from mlops_platform.spec import Project

if TYPE_CHECKING:
    from upath import UPath

WRITTEN, REPLACED, THERE = "written", "replaced", "already there"
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """One file of the landing.

    Attributes:
        table, month: Whose rows.
        rows: How many.
        path: Where it lies.
        outcome: ``written``, ``replaced`` (other bytes lay there) or ``already there``.
    """

    table: str
    month: str
    rows: int
    path: "Path | UPath"
    outcome: str


def deliver(project: Project, home: Home, name: str, *, through: str, since: str | None = None) -> Iterator[Delivery]:
    """Writes what the project's upstream yields, file by file.

    Args:
        project: The declaration.
        home: Whose landing.
        name: The project's name, as the user gave it.
        through: Newest month, ``YYYY-MM``.
        since: Oldest month; None for the first there is.

    Raises:
        PlatformError: Another name, no upstream, or months that the upstream does not have.
    """
    if name != project.name:
        raise PlatformError(required="the name of a project that can land", found=repr(name),
                            remedy=f"one of: {project.name} (MLOPS_PROJECT chooses another project)")  # fmt: skip
    if project.upstream is None:
        raise PlatformError(required=f"Project.upstream of {name}", found="None: its files arrive by other means",
                            remedy=f"deliver Parquet files into {home.landing}/<raw table>/")  # fmt: skip
    _require_month("--through", through)
    if since is not None:
        _require_month("--from", since)
        if since > through:
            raise PlatformError(required="--from not later than --through", found=f"--from {since} --through {through}",
                                remedy=f"mlops land {name} --from {through} --through {since}")  # fmt: skip
    for table, month, frame in _frames(project.upstream, through):
        if since is None or month >= since:
            yield _write(home.landing / table / f"{table}-{month}.parquet", table, month, frame)


def _require_month(option: str, value: str) -> None:
    if not _MONTH.fullmatch(value):
        raise PlatformError(required=f"{option} to be a month, YYYY-MM", found=f"{option} {value}",
                            remedy=f"write for example {option} 2013-06")  # fmt: skip


def _frames(upstream: str, through: str) -> Iterator[tuple[str, str, Any]]:
    frames = iter(resolve(upstream)(through))
    try:
        first = next(frames, None)
    except (ValueError, FileNotFoundError) as error:
        # An upstream knows nothing of the platform's errors: it refuses a month, or misses its data, before it yields.
        raise PlatformError(required=f"months that {upstream} can deliver", found=f"--through {through}",
                            remedy=str(error)) from error  # fmt: skip
    if first is not None:
        yield first
        yield from frames


def _write(path: "Path | UPath", table: str, month: str, frame: Any) -> Delivery:
    from mlops_platform.resources.object_store import put

    data, before = parquet_bytes(frame), path.read_bytes() if path.is_file() else None
    outcome = THERE if before == data else WRITTEN if before is None else REPLACED
    if outcome != THERE:
        put(path, data)
    return Delivery(table=table, month=month, rows=frame.height, path=path, outcome=outcome)


def parquet_bytes(frame: Any) -> bytes:
    """A frame as a Parquet file whose bytes depend on the rows alone, so that an equal delivery is seen to be equal."""
    buffer = io.BytesIO()
    frame.write_parquet(buffer, compression="zstd", statistics=False)
    return buffer.getvalue()


def delivery_lines(deliveries: Iterable[Delivery]) -> list[str]:
    """One line a table: its months, rows, and what was already there."""
    tables: dict[str, list[Delivery]] = {}
    for delivery in deliveries:
        tables.setdefault(delivery.table, []).append(delivery)
    width = max((len(table) for table in tables), default=0)
    return [f"{table:<{width}}  {_told(found)}" for table, found in sorted(tables.items())]


def _told(found: list[Delivery]) -> str:
    months = sorted(delivery.month for delivery in found)
    span = months[0] if len(months) == 1 else f"{months[0]} to {months[-1]}"
    counts = {outcome: sum(d.outcome == outcome for d in found) for outcome in (WRITTEN, REPLACED, THERE)}
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    if len([count for count in counts.values() if count]) == 1:
        outcomes = found[0].outcome
    return f"{span:<18}  {sum(d.rows for d in found):>9,} rows in {plural(len(found), 'file'):<8}  {outcomes}"
