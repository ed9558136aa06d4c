"""What a person does with the champion: roll back, promote, stop a rollout, lift a bar, rehearse."""

import time
from dataclasses import dataclass

from mlops_platform.errors import PlatformError
from mlops_platform.registry.alias import ChampionAlias, now, require_live, way_back
from mlops_platform.registry.promotion import end_rollout
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.history import ALLOW, PROMOTE, REHEARSAL, ROLLBACK, Move, PromotionHistory


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who asked, and why.

    Attributes:
        by: Name of the person.
        because: The person's reason.
        run_id: Dagster run, if it was asked by a job.
    """

    by: str
    because: str
    run_id: str | None = None


def rollback(alias: ChampionAlias, asked: Asked, *, to: str | None = None) -> Move:
    """Makes an earlier champion live again, and bars the one left from automatic promotion.

    Args:
        alias: Of the model.
        asked: Who and why.
        to: The version; None for the one that was live before and is not barred.

    Raises:
        PlatformError: Nothing is live, the version was never live, is live already or is barred, or there is none.
    """
    require_live(alias)
    with alias.history.lock():
        alias.settle(asked.run_id)
        live = require_live(alias)
        version, checkpoint = rollback_target(alias.history, live, to)
        _require_same(alias, version, checkpoint)
        _end_rollout(alias, asked, f"Version {live.champion}, which it was compared with, is rolled back")
        move = alias.history.append(
            Move(at=now(), action=ROLLBACK, version=live.champion, champion=version, previous=live.champion,
                 checkpoint=checkpoint, challenger=live.checkpoint, verdict=None, reason=asked.because,
                 actor=asked.by, run_id=asked.run_id, person=True)
        )  # fmt: skip
        alias.carry_out()
    return move


def promote(alias: ChampionAlias, asked: Asked, *, version: str) -> Move:
    """Makes a registered version live by a person's word; the last step where the gate requires approval.

    Raises:
        PlatformError: The version is not registered, is live already, or is barred; or its checkpoint is gone.
    """
    alias.registered_checkpoint(version)
    with alias.history.lock():
        alias.settle(asked.run_id)
        checkpoint = alias.registered_checkpoint(version)
        live = alias.history.live()
        _require_not_live(live, version)
        _require_not_barred(alias.history, version, checkpoint)
        ArtifactStore(alias.door.home).open("checkpoint", checkpoint)
        _end_rollout(alias, asked, f"Version {version} is promoted", but=checkpoint)
        judged = [move for move in alias.history.moves() if move.challenger == checkpoint and move.verdict]
        move = alias.history.append(
            Move(at=now(), action=PROMOTE, version=version, champion=version, previous=live.champion if live else None,
                 checkpoint=checkpoint, challenger=checkpoint, reason=asked.because, actor=asked.by,
                 verdict=judged[-1].verdict if judged else None, skew=judged[-1].skew if judged else None,
                 run_id=asked.run_id, person=True)
        )  # fmt: skip
        alias.carry_out()
    return move


def stop_rollout(alias: ChampionAlias, asked: Asked) -> Move:
    """Ends the open rollout at once: the champion answers everything, and the challenger is kept out.

    Raises:
        PlatformError: No rollout is open.
    """
    require_live(alias)
    with alias.history.lock():
        alias.settle(asked.run_id)
        move = end_rollout(alias.history, asked.because, actor=asked.by, run_id=asked.run_id, person=True)
        if move is None:
            raise PlatformError(required=f"an open rollout of {alias.history.model}", found="none",
                                remedy=f"see: mlops history {alias.history.model}")  # fmt: skip
        alias.carry_out()
    return move


def _end_rollout(alias: ChampionAlias, asked: Asked, why: str, *, but: str | None = None) -> None:
    end_rollout(alias.history, f"{why}: {asked.because}", actor=asked.by, run_id=asked.run_id, person=True, but=but)


def allow(alias: ChampionAlias, asked: Asked, *, version: str) -> Move:
    """Lifts the bar of a version that was rolled back; it moves nothing.

    Raises:
        PlatformError: The version is not barred.
    """
    require_live(alias)
    with alias.history.lock():
        alias.settle(asked.run_id)
        live = require_live(alias)
        barred = {move.version: checkpoint for checkpoint, move in alias.history.barred().items()}
        if version not in barred:
            raise PlatformError(
                required=f"a barred version of {alias.history.model}", found=f"version {version}, which is not barred",
                remedy=f"barred now: {', '.join(v for v in barred if v) or 'none'}",
            )  # fmt: skip
        move = alias.history.append(
            Move(at=now(), action=ALLOW, version=version, champion=live.champion, previous=live.champion,
                 checkpoint=live.checkpoint, challenger=barred[version], verdict=None, reason=asked.because,
                 actor=asked.by, run_id=asked.run_id, person=True)
        )  # fmt: skip
        alias.carry_out()
    return move


def rehearse(alias: ChampionAlias, asked: Asked) -> Move:
    """Rolls back and forward again, looks in MLflow and in the history after each, and bars nothing.

    Returns:
        The entry of the way back, with the seconds of the way there: entry written, alias moved, both read again.

    Raises:
        PlatformError: There is nothing to roll back to, or something else was live than should have been.
    """
    require_live(alias)
    with alias.history.lock():
        alias.settle(asked.run_id)
        alias.carry_out()
        live = require_live(alias)
        version, checkpoint = rollback_target(alias.history, live, None)
        _require_same(alias, version, checkpoint)
        begun = time.perf_counter()
        there = alias.history.append(
            Move(at=now(), action=REHEARSAL, version=live.champion, champion=version, previous=live.champion,
                 checkpoint=checkpoint, challenger=live.checkpoint, verdict=None, reason=asked.because,
                 actor=asked.by, run_id=asked.run_id, person=True)
        )  # fmt: skip
        _move_and_verify(alias, there)
        seconds = time.perf_counter() - begun
        reason = f"{asked.because} Version {version} was live after {seconds:.2f} s, and {live.champion} is again."
        back = alias.history.append(
            way_back(there, checkpoint=live.checkpoint, actor=asked.by, run_id=asked.run_id, seconds=seconds,
                     reason=reason.strip())
        )  # fmt: skip
        _move_and_verify(alias, back)
    return back


def rollback_target(history: PromotionHistory, live: Move, to: str | None) -> tuple[str, str]:
    """Version and checkpoint to roll back to.

    Raises:
        PlatformError: There is none, or the one named cannot be.
    """
    once = {move.champion: move.checkpoint for move in history.moves() if move.action != REHEARSAL}
    barred = history.barred()
    if to is None:
        earlier = [move for move in history.moves() if move.action != REHEARSAL and move.champion != live.champion]
        free = [move for move in earlier if move.checkpoint is not None and move.checkpoint not in barred]
        if not free:
            shut = sorted(bar.version for bar in barred.values() if bar.version)
            lift = f"mlops allow {history.model} --version {(shut or ['N'])[-1]} --by NAME --because TEXT"
            raise PlatformError(
                required=f"an earlier champion of {history.model} to roll back to",
                found=f"none but version {live.champion}, which is live"
                + (f"; barred: {', '.join(shut)}" if shut else ""),
                remedy=lift if shut else f"there is nothing before it; see: mlops history {history.model}",
            )
        to = free[-1].champion
    _require_not_live(live, to)
    checkpoint = once.get(to)
    if to is None or checkpoint is None:
        known = ", ".join(version for version in once if version)
        raise PlatformError(
            required=f"a version of {history.model} that was live before", found=f"version {to}, which never was",
            remedy=f"one of {known}; a version that was never live is promoted: "
            f"mlops promote {history.model} --version {to} --by NAME --because TEXT",
        )  # fmt: skip
    _require_not_barred(history, to, checkpoint)
    return to, checkpoint


def _require_not_live(live: Move | None, version: str | None) -> None:
    if live is not None and live.champion == version:
        raise PlatformError(required="a version other than the live one", found=f"version {version}, which is live",
                            remedy="name another version; nothing was moved")  # fmt: skip


def _require_not_barred(history: PromotionHistory, version: str, checkpoint: str) -> None:
    bar = history.barred().get(checkpoint)
    if bar is not None:
        raise PlatformError(
            required=f"a version of {history.model} that is not barred",
            found=f"version {version}, barred by {bar.actor} at {bar.at}: {bar.reason}",
            remedy=f"mlops allow {history.model} --version {version} --by NAME --because TEXT",
        )


def _require_same(alias: ChampionAlias, version: str, checkpoint: str) -> None:
    found = alias.registered_checkpoint(version)
    if found != checkpoint:
        raise PlatformError(
            required=f"version {version} of {alias.name} to be checkpoint {checkpoint}, as the history says",
            found=f"{found} in MLflow", remedy="the version was made anew by hand: roll back to another one",
        )  # fmt: skip


def _move_and_verify(alias: ChampionAlias, move: Move) -> None:
    alias.carry_out()
    pointed, live = alias.pointed(), require_live(alias).champion
    if not pointed == live == move.champion:
        raise PlatformError(
            required=f"version {move.champion} of {alias.name} to be live", found=f"alias {pointed}, history {live}",
            remedy="somebody else moves the alias: find out who, then rehearse again",
        )  # fmt: skip
