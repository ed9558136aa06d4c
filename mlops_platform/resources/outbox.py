"""The outbox of notifications: one small file an event, put if absent under an id that the event's own record gives.

Events are derived from records that last: the promotion history, the raw tables' ledgers, Dagster's runs. So an event
is told even where the process that made it happen died right after, and it is told once: the same record has the same
id. An event lies in ``waiting`` until it is delivered or given up, then in ``ended``, for good.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlops_platform.errors import PlatformError
from mlops_platform.manifest import canonical_json, digest_of
from mlops_platform.resources.artifacts import write_whole
from mlops_platform.resources.home import Home
from mlops_platform.resources.locks import exclusive
from mlops_platform.spec import Project

SCHEMA_VERSION = 1
WAITING, DELIVERED, UNDELIVERED = "waiting", "delivered", "undelivered"
LONGEST = timedelta(days=3)
"""How long delivery of an event is tried, and how far back the first look at a home goes."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened, as receivers are told of it: names, counts and digests, never a row's values.

    Attributes:
        kind: ``promotion``, ``rejection``, ``awaiting_approval``, ``rollback``, ``rollout_begun``,
            ``rollout_ended``, ``rollout_unjudged``, ``alias_moved``, ``version_refused``, ``live_skew``,
            ``quarantine`` or ``run_failed``.
        key: What names it among the events of its kind: the digest of its record, or a run's id.
        project: Name of the project.
        environment: dev, staging or prod.
        at: When it happened, ISO 8601 in UTC.
        reason: In words and numbers.
        by: Who or what did it, where that is recorded.
        model: Which model it is about, or None.
        table: Which raw table.
        job: Which Dagster job.
        asset: Asset key, joined by slashes; None for a run.
        version: Of a model: the one it is ``about``, live before (``from``) and after (``to``).
        digests: Of its record and of what that names.
        run_id: Dagster run, if one did it.
    """

    kind: str
    key: str
    project: str
    environment: str
    at: str
    reason: str
    by: str | None = None
    model: str | None = None
    table: str | None = None
    job: str | None = None
    asset: str | None = None
    version: dict[str, str | None] | None = None
    digests: dict[str, str | None] = field(default_factory=dict)
    run_id: str | None = None

    @property
    def id(self) -> str:
        """64 hexadecimal digits, the same each time the event is derived from its record."""
        return digest_of([self.kind, self.project, self.environment, self.subject, self.key]).removeprefix("sha256:")

    @property
    def subject(self) -> str:
        """The model, raw table or job that it is about."""
        return self.model or self.table or self.job or self.project

    @property
    def line(self) -> str:
        """The event on one line of a log."""
        return f"{self.kind.replace('_', ' ')} of {self.subject} ({self.environment}): {self.reason}"

    def body(self) -> bytes:
        """What is posted: the same bytes at each try."""
        told = {name: value for name, value in asdict(self).items() if name not in ("key", "run_id")}
        links = {"dagster_run": f"/runs/{self.run_id}"} if self.run_id else {}
        return canonical_json({"schema": SCHEMA_VERSION, "id": self.id, **told, "links": links})


@dataclass(frozen=True, kw_only=True)
class Notification:
    """An event and what has come of telling it.

    Attributes:
        event: What happened.
        recorded: When it was put into the outbox, ISO 8601 in UTC.
        observed: Whether Dagster has it as an event of the asset.
        tries: How often it was posted.
        next_try: When it is posted again.
        last: What came of the last try.
        refused: Whether the receiver refused it itself, so that it holds back none that come after it.
        state: ``waiting``, ``delivered`` or ``undelivered``.
        ended: When that was settled.
    """

    event: Event
    recorded: str
    observed: bool = False
    tries: int = 0
    next_try: str | None = None
    last: str = ""
    refused: bool = False
    state: str = WAITING
    ended: str | None = None

    def at_end(self, state: str, last: str, now: datetime) -> "Notification":
        """The same, settled."""
        return replace(self, state=state, last=last, ended=now.isoformat(), next_try=None)


@dataclass(frozen=True, kw_only=True)
class Teller:
    """A lasting record from which events are derived.

    Attributes:
        name: Of the record, in the outbox's memory.
        mark: Changes when the record may hold something new, and costs next to nothing.
        events: What the record tells, given the mark at the last look; it may tell again what it told before.
    """

    name: str
    mark: Callable[[], str]
    events: Callable[[str | None], Iterable[Event]]


Tellers = Callable[[Project, Home], list[Teller]]
"""The records of one room."""


class Outbox:
    """The notifications of one project.

    Attributes:
        broken: Why records could not be read at the last look.
    """

    def __init__(self, home: Home, project: str) -> None:
        self.home, self.project = home, project
        self.folder = home.root / "notifications" / project
        self.broken: list[PlatformError] = []

    def lock(self) -> AbstractContextManager[None]:
        """Held by whoever looks for events or delivers them."""
        return exclusive(self.home, f"{self.project}.notifications")

    def look(self, tellers: Iterable[Teller], now: datetime) -> list[Event]:
        """Puts what is new in the records into the outbox and returns it, oldest first; wants the lock.

        Args:
            tellers: The records.
            now: Of the first look, from which on events are told, and of each entry.
        """
        memory = self._memory(now)
        new: list[Event] = []
        self.broken = []
        for teller in tellers:
            try:
                before, mark = memory["marks"].get(teller.name), teller.mark()
                if mark != before:
                    told = (event for event in teller.events(before) if event.at >= memory["since"])
                    new += [event for event in told if self._put(event, now)]
                    memory["marks"][teller.name] = mark
            except PlatformError as error:
                # A damaged record silences no other; whoever looks raises it once the others are told.
                self.broken.append(error)
        # Last: who dies before looks at the same records again, and finds the events already put.
        self._remember(memory)
        return sorted(new, key=lambda event: event.at)

    def waiting(self) -> list[Notification]:
        """Those not settled, oldest event first."""
        found = [_read(path) for path in self._files("waiting") if not self._ended(path.stem).exists()]
        return sorted(found, key=lambda each: (each.event.at, each.event.id))

    def newest(self, count: int) -> list[Notification]:
        """The newest events with their state, newest first; all that wait are among those looked at."""
        settled = sorted(self._files("ended"), key=lambda path: path.stat().st_mtime_ns)[-count:]
        found = [*self.waiting(), *(_read(path) for path in settled)]
        return sorted(found, key=lambda each: each.event.at, reverse=True)[:count]

    def save(self, notification: Notification) -> None:
        """Notes what has come of one; what is settled once stays so."""
        name, data = notification.event.id, json.dumps(asdict(notification)).encode()
        if notification.state == WAITING:
            write_whole(self._waiting(name), data, replace=True)
            return
        write_whole(self._ended(name), data)
        self._waiting(name).unlink(missing_ok=True)

    def _put(self, event: Event, now: datetime) -> bool:
        if self._ended(event.id).exists():
            return False
        entry = Notification(event=event, recorded=now.isoformat())
        return write_whole(self._waiting(event.id), json.dumps(asdict(entry)).encode())

    def _memory(self, now: datetime) -> dict[str, Any]:
        path = self.folder / "looked.json"
        if path.is_file():
            return json.loads(path.read_bytes())
        # What lies far back when a home is looked at for the first time is no news.
        return {"since": (now.astimezone(UTC) - LONGEST).isoformat(), "marks": {}}

    def _remember(self, memory: dict[str, Any]) -> None:
        path, data = self.folder / "looked.json", canonical_json(memory)
        if not path.is_file() or path.read_bytes() != data:
            write_whole(path, data, replace=True)

    def _files(self, folder: str) -> Iterable[Path]:
        # A draft of a file being written begins with a dot.
        return (path for path in (self.folder / folder).glob("*.json") if not path.name.startswith("."))

    def _waiting(self, name: str) -> Path:
        return self.folder / "waiting" / f"{name}.json"

    def _ended(self, name: str) -> Path:
        return self.folder / "ended" / f"{name}.json"


def _read(path: Path) -> Notification:
    found = json.loads(path.read_bytes())
    return Notification(**{**found, "event": Event(**found["event"])})
