"""The webhook: each event as one signed JSON POST, tried again for days, at least once, never in a run's way.

The signature is HMAC-SHA256, under the shared secret, of the timestamp, a dot and the body. No redirect is followed,
and no text of the address beyond its scheme and host, nor the secret, gets into an error, a log or the outbox.
"""

import contextlib
import hashlib
import hmac
import os
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from mlops_platform.errors import PlatformError
from mlops_platform.resources.outbox import DELIVERED, LONGEST, UNDELIVERED, WAITING, Notification, Outbox

URL, SECRET = "MLOPS_WEBHOOK_URL", "MLOPS_WEBHOOK_SECRET"
MOST_TRIES = 25
_SECONDS_A_POST = 5.0
_PORTS = {"http": 80, "https": 443}
_SECONDS_A_DELIVERY = 20.0
_AT_ONCE = 4
_FIRST_DELAY, _LONGEST_DELAY = 10.0, 4 * 3600.0
# The receiver is to come back to these; any other 4xx says that it will not have this very event.
_COME_BACK = frozenset({401, 403, 404, 407, 408, 425, 429})
_FAULTY = "MLOPS_WEBHOOK_URL to be http:// or https:// with a host, and neither a name or password before it nor a #"


@dataclass(frozen=True, kw_only=True)
class Webhook:
    """Where events are posted.

    Attributes:
        url: Address of the receiver.
        secret: Shared with it.
    """

    url: str = field(repr=False)
    secret: str = field(repr=False)

    @classmethod
    def from_environment(cls) -> "Webhook | None":
        """The webhook that ``MLOPS_WEBHOOK_URL`` and ``MLOPS_WEBHOOK_SECRET`` name; None where no address is set.

        Raises:
            PlatformError: The address is none, or there is no secret.
        """
        url, secret = os.environ.get(URL, ""), os.environ.get(SECRET, "")
        if not url:
            return None
        fault = _fault(url)
        if fault:
            raise PlatformError(required=_FAULTY, found=fault, remedy=f"export {URL}=https://HOST/PATH")
        if not secret:
            raise PlatformError(required=f"{SECRET} beside {URL}: every post is signed", found="none",
                                remedy=f"export {SECRET} with the secret that the receiver knows")  # fmt: skip
        return cls(url=url, secret=secret)

    @classmethod
    def required(cls) -> "Webhook":
        """The same, where something is to be posted now.

        Raises:
            PlatformError: No address is set, it is none, or there is no secret.
        """
        found = cls.from_environment()
        if found is None:
            raise PlatformError(required=f"{URL} to be set", found="none",
                                remedy=f"export {URL}=https://HOST/PATH, and {SECRET}")  # fmt: skip
        return found

    @property
    def host(self) -> str:
        """Scheme and host, which is all of the address that is ever shown."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}"

    def post(self, name: str, body: bytes, now: datetime) -> int | str:
        """Posts one event.

        Args:
            name: Its id.
            body: JSON.
            now: When; part of what is signed.

        Returns:
            The status of the answer, or why none came.
        """
        timestamp = str(int(now.timestamp()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "mlops-platform",
            "X-Mlops-Id": name,
            "X-Mlops-Timestamp": timestamp,
            "X-Mlops-Signature": signature(self.secret, timestamp, body),
        }
        try:
            return _status(urlsplit(self.url), body, headers)
        except (OSError, HTTPException) as error:
            said = getattr(error, "strerror", None)
            return f"{type(error).__name__}: {said}" if said else type(error).__name__


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """What ``X-Mlops-Signature`` says."""
    signed = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def deliver(outbox: Outbox, webhook: Webhook | None, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC),
            seconds: float = _SECONDS_A_DELIVERY) -> Counter[str]:  # fmt: skip
    """Posts what is due, and gives up what has waited too long; wants the outbox's lock.

    Events of one model or table go in their order, those of several at the same time.

    Args:
        outbox: The project's.
        webhook: Where to; None only gives up what is old.
        clock: This moment, UTC.
        seconds: After which no further post is begun.

    Returns:
        How many were ``delivered``, became ``undelivered``, or failed and stay ``waiting``.
    """
    done: Counter[str] = Counter()
    subjects: dict[tuple[str, str], list[Notification]] = {}
    for each in outbox.waiting():
        if clock() - datetime.fromisoformat(each.recorded) > LONGEST:
            reason = each.last or ("never tried" if webhook else f"{URL} is not set")
            outbox.save(each.at_end(UNDELIVERED, reason, clock()))
            done[UNDELIVERED] += 1
        else:
            subjects.setdefault((each.event.asset or "", each.event.subject), []).append(each)
    if webhook is None or not subjects:
        return done
    deadline = time.monotonic() + seconds
    pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="webhook")
    try:
        tasks = [pool.submit(_in_order, outbox, webhook, group, clock, deadline) for group in subjects.values()]
        finished, _ = wait(tasks, timeout=seconds + _SECONDS_A_POST)
    finally:
        # Who hangs in a name's resolution holds up nobody: its event stays due.
        pool.shutdown(wait=False, cancel_futures=True)
    return sum((task.result() for task in finished), done)


def _in_order(outbox: Outbox, webhook: Webhook, group: Iterable[Notification], clock: Callable[[], datetime],
              deadline: float) -> Counter[str]:  # fmt: skip
    """Posts the events of one subject until one fails that those after it have to wait for."""
    done: Counter[str] = Counter()
    for each in group:
        due = each.next_try is None or datetime.fromisoformat(each.next_try) <= clock()
        if due:
            if time.monotonic() > deadline:
                break
            answer = webhook.post(each.event.id, each.event.body(), clock())
            each = after(each, answer, clock())
            outbox.save(each)
            done[each.state] += 1
        if each.state == WAITING and not each.refused:
            break
    return done


def after(notification: Notification, answer: int | str, now: datetime) -> Notification:
    """What becomes of a notification by the answer to a try.

    Args:
        notification: As it was.
        answer: Status of the answer, or why none came.
        now: When.
    """
    tries = notification.tries + 1
    tried = replace(notification, tries=tries)
    if isinstance(answer, int) and 200 <= answer < 300:
        return tried.at_end(DELIVERED, f"HTTP {answer}", now)
    last = f"HTTP {answer}" if isinstance(answer, int) else answer
    if isinstance(answer, int) and 300 <= answer < 400:
        last += ", a redirect, which is not followed"
    if tries >= MOST_TRIES:
        return tried.at_end(UNDELIVERED, last, now)
    refused = isinstance(answer, int) and 400 <= answer < 500 and answer not in _COME_BACK
    # Jitter, so that what failed together does not come back together.
    delay = min(_FIRST_DELAY * 2 ** (tries - 1), _LONGEST_DELAY) * random.uniform(0.5, 1.0)
    return replace(tried, last=last, refused=refused, next_try=(now + timedelta(seconds=delay)).isoformat())


def _status(parts: SplitResult, body: bytes, headers: dict[str, str]) -> int:
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connect(parts.hostname or "", parts.port or _PORTS[parts.scheme], timeout=_SECONDS_A_POST)
    # The timeout of a socket is for each byte: a receiver that drips would hold us for hours.
    guard = threading.Timer(_SECONDS_A_POST, _cut, (connection,))
    guard.daemon = True
    guard.start()
    try:
        connection.request("POST", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, headers)
        return connection.getresponse().status
    finally:
        guard.cancel()
        connection.close()


def _cut(connection: HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            # Not the method of a TLS socket, which would take its state away under the thread that reads.
            socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def _fault(url: str) -> str | None:
    """What is wrong with an address, told without what may be secret in it."""
    if not url.isascii() or not url.isprintable() or " " in url:
        return "a blank, or a character that is not ASCII"
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")
    except ValueError:
        return "a host or port that cannot be read"
    if parts.scheme not in ("http", "https"):
        return f"scheme {parts.scheme!r}" if "://" in url else "no scheme"
    if not host or port == 0:
        return "no host, or port 0"
    if parts.username is not None or parts.password is not None:
        return "a name or password before the host"
    return "a # with what follows it" if "#" in url else None
