"""How a launcher hears that its training program lives: by the messages it sends, whatever reader brings them."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from dagster_pipes import PipesOpenedData, PipesParams

from mlops_platform.errors import KilledError

HEARTBEAT = "heartbeat"


class Watch:
    """When the program was last heard of, and when it last got on.

    Attributes:
        reached: Where the training is, in the program's words; empty before its first step.
    """

    def __init__(self, silence_seconds: float, stall_seconds: float) -> None:
        """Begins to count now.

        Args:
            silence_seconds: How long the program may send nothing at all.
            stall_seconds: How long it may say that it lives and not get on.
        """
        self._silence, self._stall = silence_seconds, stall_seconds
        self._heard = time.monotonic()
        self._still = 0.0
        self.reached = ""

    def hear(self, message: Mapping[str, Any]) -> bool:
        """Takes note of a message; True for a heartbeat, which nobody else needs."""
        self._heard = time.monotonic()
        params: Mapping[str, Any] = message.get("params") or {}
        payload = params.get("payload")
        if not isinstance(payload, dict) or payload.get("event") != HEARTBEAT:
            return False
        self._still, self.reached = payload["still_seconds"], payload["reached"]
        return True

    def require_life(self) -> None:
        """Returns while the program reports and gets on.

        Raises:
            KilledError: It does not, so that it has to be ended.
        """
        silent = time.monotonic() - self._heard
        if silent > self._silence:
            what, name, limit, found = "a sign of life", "silence_seconds", self._silence, f"none for {silent:.0f} s"
        elif self._still + silent > self._stall:
            what, name, limit = "progress", "stall_seconds", self._stall
            found = f"it lives, and has not got on for {self._still + silent:.0f} s"
        else:
            return
        raise KilledError(
            required=f"{what} from the training program every {limit:g} s, else it is ended",
            found=f"{found}; it had reached {self.reached or 'no step yet'}",
            remedy=f"see its output above for what it waited for; if it is only slow, raise {name} of the resource "
            "compute",
        )


class Watched(dg.PipesMessageReader):
    """Passes on what another reader brings, heartbeats aside, and tells a watch of all of it."""

    def __init__(self, reader: dg.PipesMessageReader, watch: Watch) -> None:
        """Takes the reader that does the work, and whom to tell."""
        self._reader, self._watch = reader, watch

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[PipesParams]:
        """See ``PipesMessageReader``."""
        with self._reader.read_messages(_Telling(handler, self._watch)) as params:
            yield params

    def on_opened(self, opened_payload: PipesOpenedData) -> None:
        """See ``PipesMessageReader``."""
        self._reader.on_opened(opened_payload)

    def on_launched(self, launched_payload: Any) -> None:
        """See ``PipesMessageReader``."""
        self._reader.on_launched(launched_payload)

    def no_messages_debug_text(self) -> str:
        """See ``PipesMessageReader``."""
        return self._reader.no_messages_debug_text()


class _Telling(dg.PipesMessageHandler):
    """A handler in front of the session's own."""

    def __init__(self, handler: dg.PipesMessageHandler, watch: Watch) -> None:
        self._handler, self._watch = handler, watch

    def handle_message(self, message: Any) -> None:
        if not self._watch.hear(message):
            self._handler.handle_message(message)

    def __getattribute__(self, name: str) -> Any:
        mine = ("_handler", "_watch", "handle_message")
        return object.__getattribute__(self, name) if name in mine else getattr(self._handler, name)
