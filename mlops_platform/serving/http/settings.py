"""What an operator may set of the service."""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass

from mlops_platform.errors import PlatformError

TOKENS = "MLOPS_SERVE_TOKEN"
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
_SHORTEST_TOKEN = 16


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Bounds and access of one service; each worker keeps them by itself.

    Attributes:
        tokens: Bearer tokens that are let in; none: whoever reaches the loopback interface is.
        hosts: Names that a request's Host header may carry; none: any.
        max_body: Largest body, in bytes, after which a request is refused unread.
        max_rows: Most rows of one request.
        max_requests: Most requests that a worker holds at a time; one more is refused with 429.
        max_held: Most bytes of bodies that a worker holds at a time; more are refused with 429.
        threads: Of a worker, for requests whose body is larger than ``inline`` bytes.
        inline: Largest body that is answered in the event loop itself (docs/guides/serving.md says why).
        header_seconds, body_seconds: How long a client may take to send its headers, and its body.
        write_seconds: How long it may leave an answer unread.
        idle_seconds: How long a connection is kept without a request.
        wait_seconds: How long a request may wait for a thread.
        drain_seconds: How long readiness is refused before a worker that was asked to stop takes no more connections.
        stop_seconds: How long it then waits for requests at work.
        log_requests: Whether each request is logged.
    """

    tokens: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    max_body: int = 8 << 20
    max_rows: int = 10_000
    max_requests: int = 256
    max_held: int = 256 << 20
    threads: int = 2
    inline: int = 16 << 10
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    write_seconds: float = 30.0
    idle_seconds: float = 65.0
    wait_seconds: float = 30.0
    drain_seconds: float = 0.0
    stop_seconds: float = 30.0
    log_requests: bool = True


def tokens_from(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """The tokens in ``MLOPS_SERVE_TOKEN``, several separated by commas, so that one can be replaced without a gap.

    Raises:
        PlatformError: One is short enough to be guessed, or holds what a header cannot carry.
    """
    found = tuple(token.strip() for token in environment.get(TOKENS, "").split(",") if token.strip())
    for place, token in enumerate(found, start=1):
        if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise PlatformError(
                required=f"{TOKENS} to hold tokens of {_SHORTEST_TOKEN} or more printable ASCII characters",
                found=f"token {place} of {len(found)} has {len(token)} characters, or others",
                remedy="python -c 'import secrets; print(secrets.token_urlsafe(32))' makes one",
            )
    return found


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, tokens: tuple[str, ...], named: tuple[str, ...]) -> tuple[str, ...]:
    """Which Host headers are taken.

    Without a token a web page could reach a service on the loopback interface under a name of its own that resolves
    there (DNS rebinding), so only the interface's own names are taken.

    Raises:
        PlatformError: Others than this machine's programs could reach the service, and no token is asked for.
    """
    if not tokens and not is_loopback(host):
        raise PlatformError(
            required=f"a token in {TOKENS} to listen on {host}, which other machines reach",
            found=f"{TOKENS} is not set",
            remedy=f"export {TOKENS}=... or listen on 127.0.0.1",
        )
    if named:
        return tuple(name.lower() for name in named)
    return () if tokens else (*LOOPBACK_NAMES, host.lower())
