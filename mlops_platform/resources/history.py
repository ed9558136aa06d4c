"""The door to the promotion history: an append-only chain of who moved the champion, when, why, from and to.

One file an entry, put if absent, each carrying the digest of the one before it, so that an edit shows.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from mlops_platform.errors import CorruptArtifactError, PlatformError
from mlops_platform.manifest import canonical_json, digest_bytes
from mlops_platform.resources.artifacts import write_whole
from mlops_platform.resources.home import Home

_FIRST = "sha256:" + "0" * 64


@dataclass(frozen=True, kw_only=True)
class Move:
    """One move of the champion alias, or one decision not to move it.

    Attributes:
        at: When, ISO 8601 in UTC.
        action: ``promote`` or ``keep``.
        version: Registry version that was judged.
        champion: Registry version that is live after this entry; None if none is.
        previous: Registry version that was live before.
        checkpoint: Digest of the live checkpoint after this entry.
        challenger: Digest of the checkpoint that was judged.
        verdict: Digest of the gate's verdict.
        reason: The verdict in words and numbers.
        actor: Who or what asked.
        run_id: Dagster run.
        before: Digest of the entry before.
    """

    at: str
    action: str
    version: str
    champion: str | None
    previous: str | None
    checkpoint: str | None
    challenger: str
    verdict: str
    reason: str
    actor: str
    run_id: str
    before: str = _FIRST


class PromotionHistory:
    """The history of one model."""

    def __init__(self, home: Home, project: str, model: str) -> None:
        self.folder = home.history / project / model

    def moves(self) -> list[Move]:
        """Every entry, oldest first.

        Raises:
            CorruptArtifactError: An entry is missing or was edited.
        """
        moves, before = [], _FIRST
        for number, path in enumerate(sorted(self.folder.glob("*.json")), start=1):
            data = path.read_bytes()
            move = Move(**json.loads(data))
            if path.name != _name(number) or move.before != before:
                raise CorruptArtifactError(
                    required=f"entry {number} of {self.folder}, continuing {before}",
                    found=f"{path.name}, continuing {move.before}",
                    remedy="restore the folder from a backup: an entry was removed or edited",
                )
            moves.append(move)
            before = digest_bytes(data)
        return moves

    def live(self, at: datetime | None = None) -> Move | None:
        """The entry that decided what was champion at a time (now without one); None if nothing was."""
        past = [m for m in self.moves() if at is None or datetime.fromisoformat(m.at) <= at]
        return past[-1] if past and past[-1].champion is not None else None

    def rival(self, challenger: str) -> str | None:
        """Checkpoint that a challenger has to beat: the live one, or, if it is live itself, the one it displaced."""
        live = [move.checkpoint for move in self.moves()]
        others = [checkpoint for checkpoint in live if checkpoint != challenger]
        return others[-1] if others else None

    def head_before(self, verdict: str) -> str:
        """Digest of the newest entry, leaving out the one that this verdict itself made."""
        moves = self.moves()
        if not moves:
            return _FIRST
        return moves[-1].before if moves[-1].verdict == verdict else self._digest(len(moves))

    def append(self, move: Move) -> Move:
        """Writes the next entry.

        Raises:
            PlatformError: Somebody else wrote it first.
        """
        moves = self.moves()
        before = self._digest(len(moves)) if moves else _FIRST
        sealed = Move(**{**asdict(move), "before": before})
        if not write_whole(self._path(len(moves) + 1), canonical_json(asdict(sealed))):
            raise PlatformError(
                required="to be the only one moving the champion", found=f"entry {len(moves) + 1} written meanwhile",
                remedy="run the champion station again",
            )  # fmt: skip
        return sealed

    def _digest(self, number: int) -> str:
        return digest_bytes(self._path(number).read_bytes())

    def _path(self, number: int) -> Path:
        return self.folder / _name(number)


def _name(number: int) -> str:
    return f"{number:06d}.json"
