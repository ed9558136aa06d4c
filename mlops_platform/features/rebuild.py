"""A rebuild that a person asks for: which months of a feature table, and what is wrong with the asking."""

import re
from collections.abc import Sequence

from mlops_platform.errors import PlatformError
from mlops_platform.features.compute import no_rows
from mlops_platform.spec import FeatureTable

WHOLE = "all"
_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")


def months_asked(table: FeatureTable, partitions: Sequence[str], since: str, until: str) -> tuple[str, ...]:
    """The partitions from one month to another, both included.

    Args:
        table: The declaration.
        partitions: All that the table has, in order; ``all`` alone where it is computed in one piece.
        since, until: ``YYYY-MM``, or ``all`` for a table in one piece; empty for the first and the last month, and both
            empty for none.

    Raises:
        PlatformError: No month, none of the table's, or the end before the beginning; or the table has no months.
    """
    if not since and not until:
        return ()
    if not partitions:
        raise no_rows(table)
    if partitions == [WHOLE]:
        if {since, until} - {WHOLE, ""}:
            raise _refused(f"{table.name} to be rebuilt as the one piece that it is", since, until,
                           f"leave the months out: mlops rebuild {table.name}")  # fmt: skip
        return (WHOLE,)
    remedy = f"write for example: mlops rebuild {table.name} --from {partitions[0]} --to {partitions[-1]}"
    first, last = since or partitions[0], until or partitions[-1]
    if not _MONTH.fullmatch(first) or not _MONTH.fullmatch(last):
        raise _refused("the range to rebuild in months, YYYY-MM", since, until, remedy)
    if first > last:
        raise _refused("the range to rebuild to begin before it ends", since, until, remedy)
    if first not in partitions or last not in partitions:
        has = f"months of {table.name}, which has {partitions[0]} to {partitions[-1]}"
        raise _refused(has, since, until, remedy)
    return tuple(month for month in partitions if first <= month <= last)


def _refused(required: str, since: str, until: str, remedy: str) -> PlatformError:
    return PlatformError(
        required=required, found=f"from {since or 'the first'} to {until or 'the last'}", remedy=remedy
    )
