"""``mlops notifications``: what happened and whether it was told; with ``--deliver``, it is told now."""

import json
from collections import Counter
from typing import Any

from rich.markup import escape
from rich.table import Table

from mlops_platform.cli.context import console, emit
from mlops_platform.cli.words import when
from mlops_platform.resources.home import Home
from mlops_platform.resources.outbox import DELIVERED, UNDELIVERED, WAITING, Notification, Outbox
from mlops_platform.resources.webhook import URL, Webhook
from mlops_platform.spec import Project

_STYLES = {DELIVERED: "green", WAITING: "yellow", UNDELIVERED: "red"}


def show_notifications(project: Project, home: Home, count: int, *, deliver_now: bool, as_json: bool) -> None:
    """Looks for what is new, posts what is due if asked, and prints the newest.

    Raises:
        PlatformError: It is to deliver, and the webhook's address or secret is missing or cannot be.
    """
    webhook = Webhook.required() if deliver_now else None
    outbox, done = Outbox(home, project.name), Counter[str]()
    if home.root.is_dir():
        done = _look(project, home, outbox, webhook)
    found = outbox.newest(count)
    if as_json:
        emit({"notifications": [_plain(each) for each in found], "now": dict(done)})
        return
    shown = console()
    if not found:
        shown.print(f"nothing to tell of {project.name} in {home.root}")
        return
    shown.print(_table(found))
    if deliver_now:
        told = ", ".join(f"{done[state]} {state}" for state in (DELIVERED, WAITING, UNDELIVERED) if done[state])
        shown.print(f"now: {told or 'nothing was due'}", style="bold")
    elif any(each.state == WAITING for each in found):
        shown.print(f"[dim]to post what waits, with {URL} set: mlops notifications --deliver[/]", soft_wrap=True)


def _look(project: Project, home: Home, outbox: Outbox, webhook: Webhook | None) -> Counter[str]:
    from datetime import UTC, datetime

    import dagster as dg

    from mlops_platform.lineage import TELLERS
    from mlops_platform.resources.notifications import look
    from mlops_platform.resources.webhook import deliver

    home.prepare()
    with outbox.lock(), dg.DagsterInstance.get() as instance:
        look(outbox, project, instance, TELLERS, datetime.now(UTC))
        done = deliver(outbox, webhook) if webhook is not None else Counter[str]()
    if outbox.broken:
        raise outbox.broken[0]
    return done


def _plain(found: Notification) -> dict[str, Any]:
    """As posted, beside what has come of it."""
    told = {"state": found.state, "tries": found.tries, "last": found.last, "next_try": found.next_try}
    return {**json.loads(found.event.body()), **told, "recorded": found.recorded, "ended": found.ended}


def _table(found: list[Notification]) -> Table:
    """Newest first, as what is new is what one looks for."""
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("when", "event", "of", "told", "why"):
        table.add_column(name, no_wrap=name in ("when", "event"), overflow="fold")
    for each in found:
        event = each.event
        state = f"[{_STYLES[each.state]}]{each.state}[/]"
        tries = f", {each.tries} {'try' if each.tries == 1 else 'tries'}: {each.last}" if each.tries else ""
        about = f"{event.subject} {event.version['about'] or ''}".strip() if event.version else event.subject
        table.add_row(when(event.at), event.kind.replace("_", " "), escape(about), state + escape(tries),
                      escape(event.reason))  # fmt: skip
    return table
