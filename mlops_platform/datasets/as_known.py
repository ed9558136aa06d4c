"""Labels as they were known in time: a correction that came too late for a part leaves it the label of before.

Without this a late correction would take its examples out of the training, since the corrected label was not known at
the cut-off, and so would one that withdraws the label; the label that was known then still is what a training at that
time would have learned from.
"""

from collections.abc import Callable

import polars as pl

from mlops_platform.datasets.split import Boundaries, limits
from mlops_platform.errors import PlatformError


def labels_in_time(function: Callable[[pl.LazyFrame], pl.LazyFrame], raw: pl.LazyFrame, examples: pl.DataFrame,
                   at: Boundaries, identity: str) -> tuple[pl.DataFrame, int]:  # fmt: skip
    """Puts, in the place of examples whose label was known too late for their part, what was known of them in time.

    An example without a label is taken for such a one too: it may have had one that was withdrawn too late.

    Args:
        function: Raw rows to labelled examples.
        raw: The rows, every version of each fact among them.
        examples: What the function gives for all of them, those without a label among them.
        at: The boundaries of the parts.
        identity: Column of the example's id.

    Returns:
        The examples by time and id, and how many have an earlier label. An example of which no label was known in
        time stays as it is, to be purged or counted as unlabelled.

    Raises:
        PlatformError: Two examples have one id.
    """
    require_unique(examples, identity)
    earlier = []
    for within, limit in limits(at):
        late = examples.filter(within, pl.col("label").is_null() | (pl.col("label_known_timestamp") >= limit)).select(
            identity
        )
        if late.is_empty():
            continue
        then = function(raw.filter(pl.col("known_timestamp") < limit)).collect()
        in_time = (within, pl.col("label").is_not_null(), pl.col("label_known_timestamp") < limit)
        earlier.append(then.filter(*in_time).join(late, on=identity, how="semi").select(examples.columns))
    found = pl.concat(earlier) if earlier else examples.clear()
    rest = examples.join(found, on=identity, how="anti")
    return pl.concat([rest, found]).sort("event_timestamp", identity), found.height


def require_unique(examples: pl.DataFrame, identity: str) -> None:
    """Refuses two examples of one id."""
    twice = examples.filter(pl.col(identity).is_duplicated())[identity]
    if not twice.is_empty():
        raise PlatformError(
            required=f"one example for each {identity}",
            found=f"{twice.n_unique()} of them several times, such as {twice[0]!r}",
            remedy="keep only the version of each raw row that was known last: a correction is a further version",
        )
