"""A rollout of the pumps' model, begun as the graph would."""

from datetime import UTC, datetime, timedelta

from mlops_platform.resources.history import Move, PromotionHistory
from mlops_platform.resources.home import Home


def begin(home: Home, *, version: str = "1", checkpoint: str | None = None, ago: timedelta = timedelta(0)) -> str:
    """A version that was judged before meets live traffic beside the champion from now, or since some time.

    Args:
        home: Of the pumps, with two versions.
        version: In the registry; by default the first.
        checkpoint: Its digest; by default that of the first promotion.
        ago: How long it is open.

    Returns:
        Digest of the entry.
    """
    history = PromotionHistory(home, "pumps", "pump_repair")
    first, live = history.moves()[0], history.live()
    assert live is not None
    history.append(
        Move(at=(datetime.now(UTC) - ago).isoformat(), action="rollout", version=version, champion=live.champion,
             previous=live.champion, checkpoint=live.checkpoint, challenger=checkpoint or first.checkpoint,
             verdict=first.verdict, reason="passed", actor="graph", run_id="r")
    )  # fmt: skip
    entry = history.rollout_entry()
    assert entry is not None
    return entry[0]
