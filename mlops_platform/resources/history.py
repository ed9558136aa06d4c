"""The door to the promotion history: an append-only chain of who moved the champion, when, why, from and to.

One file an entry, put if absent, each carrying the digest of the one before it, so that an edit shows.
"""

import contextlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from mlops_platform.errors import CorruptArtifactError, PlatformError
from mlops_platform.manifest import canonical_json, digest_bytes
from mlops_platform.resources.artifacts import write_whole
from mlops_platform.resources.home import Home
from mlops_platform.resources.locks import exclusive

PROMOTE, KEEP, ROLLBACK, ALLOW, FOUND, REHEARSAL = "promote", "keep", "rollback", "allow", "found", "rehearsal"
ROLLOUT = "rollout"
DECISIONS = frozenset({PROMOTE, KEEP, ROLLBACK, ALLOW, ROLLOUT})
"""Actions that decide something; the others tell of the alias and leave all as it was."""

_FIRST = "sha256:" + "0" * 64
_CARRIED = "alias"


@dataclass(frozen=True, kw_only=True)
class Move:
    """One entry: a move of the champion alias, a decision not to move it, or what was found of it.

    Attributes:
        at: When, ISO 8601 in UTC.
        action: ``promote`` or ``keep``, by the gate, a rollout's judge or a person; ``rollout``, by which a challenger
            begins to meet live traffic beside the champion; ``rollback``, which bars the version left; ``allow``, which
            lifts a bar; ``found``, an alias moved by somebody else; ``rehearsal``, two of them, there and back.
        version: Registry version that the entry is about: judged, left, allowed, found in the alias (None if the alias
            was gone), or live before and after a rehearsal.
        champion: Registry version that is live after this entry; None if none is.
        previous: Registry version that was live before.
        checkpoint: Digest of the live checkpoint after this entry.
        challenger: Digest of the checkpoint of ``version``, if it is known.
        verdict: Digest of the gate's verdict, if it is known.
        reason: The verdict in words and numbers, or what the person said.
        actor: Who or what asked.
        run_id: Dagster run; None for a command.
        person: Whether a person decided, by command or job.
        awaits: Whether only a person's approval is missing.
        seconds: Of a rehearsal's way back, how long the rollback had taken until it was verified.
        ended_by: Of an entry that ends a rollout: digest of the judge's finding, or of the verdict on the challenger
            that takes its place; None where a person ended it.
        skew: Digest of the skew report that the decision relied on, if it is known.
        skewed: Whether that report is what holds the challenger back.
        before: Digest of the entry before.
    """

    at: str
    action: str
    version: str | None
    champion: str | None
    previous: str | None
    checkpoint: str | None
    challenger: str | None
    verdict: str | None
    reason: str
    actor: str
    run_id: str | None
    person: bool = False
    awaits: bool = False
    seconds: float | None = None
    ended_by: str | None = None
    skew: str | None = None
    skewed: bool = False
    before: str = _FIRST


class PromotionHistory:
    """The history of one model."""

    def __init__(self, home: Home, project: str, model: str) -> None:
        self.folder = home.history / project / model
        self.project, self.model = project, model
        self._home = home

    def lock(self) -> contextlib.AbstractContextManager[None]:
        """Held by whoever decides and moves the alias, from the first look to the last move."""
        return exclusive(self._home, f"{self.project}.{self.model}.champion")

    def moves(self) -> list[Move]:
        """Every entry, oldest first.

        Raises:
            CorruptArtifactError: An entry is missing or was edited.
        """
        return [move for _, move in self.entries()]

    def entries(self) -> list[tuple[str, Move]]:
        """Every entry with its digest, oldest first.

        Raises:
            CorruptArtifactError: An entry is missing or was edited.
        """
        entries: list[tuple[str, Move]] = []
        before = _FIRST
        for number, path in enumerate(sorted(self.folder.glob("*.json")), start=1):
            data = path.read_bytes()
            move = _move(path, data)
            if path.name != _name(number) or move.before != before:
                raise CorruptArtifactError(
                    required=f"entry {number} of {self.folder}, continuing {before}",
                    found=f"{path.name}, continuing {move.before}",
                    remedy="restore the folder from a backup: an entry was removed or edited",
                )
            before = digest_bytes(data)
            entries.append((before, move))
        return entries

    def live(self, at: datetime | None = None) -> Move | None:
        """The entry that decided what was champion at a time (now without one); None if nothing was."""
        past = [m for m in self.moves() if at is None or datetime.fromisoformat(m.at) <= at]
        return past[-1] if past and past[-1].champion is not None else None

    def rival(self, challenger: str) -> str | None:
        """Checkpoint that a challenger has to beat: the live one, or, if it is live itself, the one it displaced."""
        live = [move.checkpoint for move in self.moves() if move.action != REHEARSAL]
        others = [checkpoint for checkpoint in live if checkpoint not in (challenger, None)]
        return others[-1] if others else None

    def barred(self) -> dict[str, Move]:
        """The rollback that barred each checkpoint that no automatic promotion may bring back."""
        found: dict[str, Move] = {}
        for move in self.moves():
            if move.action == ROLLBACK and move.challenger is not None:
                found[move.challenger] = move
            elif move.action == ALLOW and move.challenger is not None:
                found.pop(move.challenger, None)
        return found

    def rollout(self) -> Move | None:
        """The entry by which the open rollout began; None where no challenger meets live traffic."""
        found = self.rollout_entry()
        return found[1] if found else None

    def rollout_entry(self) -> tuple[str, Move] | None:
        """The entry by which the open rollout began, with its digest, which names the rollout."""
        begun: tuple[str, Move] | None = None
        for digest, move in self.entries():
            if move.action == ROLLOUT and (begun is None or begun[1].challenger != move.challenger):
                begun = digest, move
            elif begun is not None and ends(move, begun[1]):
                begun = None
        return begun

    def ended_rollouts(self) -> dict[str, Move]:
        """By checkpoint, the entry by which its newest rollout ended without its promotion.

        One that awaits approval was won: only a person's word is missing.
        """
        ended: dict[str, Move] = {}
        begun: Move | None = None
        for move in self.moves():
            if move.action == ROLLOUT:
                begun = move
            elif begun is not None and begun.challenger is not None and ends(move, begun):
                ended[begun.challenger], begun = move, None
            if move.action == PROMOTE and move.challenger is not None:
                ended.pop(move.challenger, None)
        return ended

    def awaiting(self) -> Move | None:
        """The newest decision, if it awaits a person's approval."""
        newest = self.newest_decision()
        return newest if newest is not None and newest.awaits else None

    def newest_decision(self) -> Move | None:
        """The newest entry that decided something."""
        return next((move for move in reversed(self.moves()) if move.action in DECISIONS), None)

    def rehearsed(self) -> Move | None:
        """The end of the newest rehearsal that was carried through."""
        return next((m for m in reversed(self.moves()) if m.action == REHEARSAL and m.seconds is not None), None)

    def cut_off(self) -> Move | None:
        """The newest entry, if it is a rehearsal whose way back is missing."""
        moves = self.moves()
        unfinished = bool(moves) and moves[-1].action == REHEARSAL and moves[-1].champion != moves[-1].version
        return moves[-1] if unfinished else None

    def head_before(self, verdict: str) -> str:
        """Digest of the newest decision, leaving out the one that this verdict itself made."""
        decided = [(n, m) for n, m in enumerate(self.moves(), start=1) if m.action in DECISIONS]
        if decided and decided[-1][1].verdict == verdict and not decided[-1][1].person:
            decided.pop()
            # The rollout that this verdict put an end to.
            while decided and decided[-1][1].ended_by == verdict:
                decided.pop()
        return self._digest(decided[-1][0]) if decided else _FIRST

    def carried_out(self) -> tuple[str | None] | None:
        """The version that we last saw the alias at, in a tuple; None where that was never noted."""
        path = self.folder / _CARRIED
        return (json.loads(path.read_bytes())["alias"],) if path.is_file() else None

    def note_carried_out(self, alias: str | None) -> None:
        """Notes where the alias was put, so that an alias put elsewhere by somebody else is told from a late one."""
        if self.carried_out() != (alias,):
            write_whole(self.folder / _CARRIED, json.dumps({"alias": alias}).encode(), replace=True)

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


def ends(move: Move, begun: Move) -> bool:
    """Whether an entry ends the rollout that another began: its challenger is kept out, or what is live changed."""
    if move.action in (PROMOTE, ROLLBACK):
        return True
    return move.action == KEEP and move.challenger == begun.challenger


def _move(path: Path, data: bytes) -> Move:
    try:
        return Move(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise CorruptArtifactError(
            required=f"an entry of a promotion history in {path}", found=str(error),
            remedy="restore it from a backup; if a newer release of the platform wrote it, install that one",
        ) from error  # fmt: skip


def _name(number: int) -> str:
    return f"{number:06d}.json"
