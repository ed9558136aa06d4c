"""What the promotion history has to tell: promotions, rejections, approvals awaited, rollbacks, hand edits."""

from collections.abc import Iterator

from mlops_platform.resources.history import FOUND, KEEP, PROMOTE, ROLLBACK, ROLLOUT, Move, PromotionHistory, ends
from mlops_platform.resources.home import Home
from mlops_platform.resources.outbox import Event, Teller
from mlops_platform.spec import Model, Project

_KINDS = {PROMOTE: "promotion", ROLLBACK: "rollback", FOUND: "alias_moved", ROLLOUT: "rollout_begun"}


def promotion_tellers(project: Project, home: Home) -> list[Teller]:
    """The promotion history of each model."""
    return [_teller(project, home, model) for model in project.models]


def _teller(project: Project, home: Home, model: Model) -> Teller:
    history = PromotionHistory(home, project.name, model.name)

    def events(_: str | None) -> Iterator[Event]:
        begun: Move | None = None
        for digest, move in history.entries():
            kind = kind_of(move, begun)
            begun = move if move.action == ROLLOUT else None if begun and ends(move, begun) else begun
            if kind is not None:
                yield _event(project, home, model, kind, digest, move)

    def mark() -> str:
        # Entries are only ever added.
        return str(sum(1 for _ in history.folder.glob("*.json")))

    return Teller(name=f"history/{model.name}", mark=mark, events=events)


def kind_of(move: Move, begun: Move | None = None) -> str | None:
    """What an entry is to those who are told of it; None for what is no news.

    Args:
        move: The entry.
        begun: The entry by which the rollout began that was open before it.
    """
    if begun is not None and move.action == ROLLOUT and move.challenger == begun.challenger:
        return None
    if move.action != KEEP:
        return _KINDS.get(move.action)
    if move.awaits:
        return "awaiting_approval"
    if begun is not None and ends(move, begun):
        return "rollout_ended"
    # What is live already is kept and was not rejected.
    return None if move.challenger == move.checkpoint else "rejection"


def _event(project: Project, home: Home, model: Model, kind: str, digest: str, move: Move) -> Event:
    return Event(
        kind=kind, key=digest, project=project.name, environment=home.environment, at=move.at,
        reason=_reason(project, model, move), by=move.actor, model=model.name,
        asset=f"{project.name}/{model.name}/champion",
        version={"about": move.version, "from": move.previous, "to": move.champion},
        digests={"entry": digest, "verdict": move.verdict, "checkpoint": move.challenger}, run_id=move.run_id,
    )  # fmt: skip


def _reason(project: Project, model: Model, move: Move) -> str:
    """The entry's reason, unless the gate's words may name a value of a personal column by which it slices."""
    of_tables = [*(t.columns for t in project.raw_tables), *(t.columns for t in project.feature_tables)]
    columns = [*model.context, *model.carried, *(column for columns in of_tables for column in columns)]
    personal = {column.name for column in columns if column.personal} & {*model.slices, *model.gate.slice_margins}
    if not personal or move.person or move.action == FOUND:
        return move.reason
    return f"The verdict's words are withheld, since it slices by personal data: {', '.join(sorted(personal))}."
