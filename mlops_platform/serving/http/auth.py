"""Who is let in: bearer tokens compared in constant time, and the names under which the service answers."""

import base64
import binascii
import hmac

from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_platform.serving.http.errors import Refused, malformed, response, shown
from mlops_platform.serving.http.settings import TOKENS, Settings

OPEN = frozenset({"/livez", "/readyz", "/ping", "/health"})
"""Paths that tell an orchestrator whether a worker lives, and nothing else."""
_READ = frozenset({"GET", "HEAD"})


class Guarded:
    """Lets in whoever has a token, where one is set, under the names that the service has."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app, self._hosts = app, frozenset(settings.hosts)
        self._tokens = [token.encode() for token in settings.tokens]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on, or refuses it."""
        if scope["type"] == "http":
            refused = self._refused(scope)
            if refused is not None:
                scope["state"]["reason"] = refused.reason
                await response(refused)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refused(self, scope: Scope) -> Refused | None:
        host = authorization = None
        for name, value in scope["headers"]:
            if name == b"host":
                if host is not None:
                    return malformed("one Host header", "two", "send one")
                host = value
            elif name == b"authorization":
                if authorization is not None:
                    return malformed("one Authorization header", "two", "send one")
                authorization = value
        if self._hosts and scope["path"] not in OPEN:
            named = _name((host or b"").decode("latin-1"))
            if named not in self._hosts:
                return Refused(
                    421, "host", required=f"a Host of {', '.join(sorted(self._hosts))}", found=shown(named),
                    remedy="ask under that name, or start with --allowed-host NAME",
                )  # fmt: skip
        if self._tokens and scope["path"] not in OPEN and not self._known(authorization, scope["method"]):
            return Refused(
                401, "token", required=f"Authorization: Bearer, with a token of {TOKENS}",
                found="none" if authorization is None else "one that is not known", remedy="send the token",
                headers={"www-authenticate": _challenge(scope["method"])},
            )  # fmt: skip
        return None

    def _known(self, authorization: bytes | None, method: str) -> bool:
        """Whether a header has a token; each is compared, whichever fits."""
        scheme, _, told = (authorization or b"").partition(b" ")
        token = told.strip()
        if scheme.lower() == b"basic" and method in _READ:
            # A browser sends no bearer token: a page may be read with the token as password, and nothing written.
            token = _password(token)
        elif scheme.lower() != b"bearer":
            token = b""
        return sum([hmac.compare_digest(token, each) for each in self._tokens]) > 0


def _challenge(method: str) -> str:
    return 'Bearer realm="mlops", Basic realm="mlops"' if method in _READ else 'Bearer realm="mlops"'


def _password(encoded: bytes) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


def _name(host: str) -> str:
    """A Host header without its port, in lower case."""
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower()
