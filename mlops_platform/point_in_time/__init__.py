"""Point-in-time joins: for each entity row, the features that could have been known at its time.

`engine` is pure polars: lazy frames in, a lazy frame out. `feast_store` puts a Feast offline store on it; it is not
imported here, so importing this room loads neither feast nor pandas nor dagster. `check_leak` asks of any function
that builds rows from facts whether a row at T can change with what became known after T; `extended` answers a longer
entity frame from an earlier answer.

Words: an *entity row* asks "these keys, at this time T". A *view row* has keys, an event timestamp (when it was
true), maybe a known timestamp (when we could know it), and features.

| case | answer |
|---|---|
| any entity row, duplicated or unmatched | exactly one row back, in the order given, unmatched with nulls |
| known time (default `respect`) | a row is visible at T if event <= T and (known is null or known <= T); of the \
visible rows the newest wins, and only then the ttl is checked on it |
| known time `ignore` | a row is visible if event <= T, whenever it was recorded: Feast's habit, and a leak |
| event time equal to T; age equal to the ttl | both match (inclusive); one microsecond more does not |
| ttl None or zero | no limit |
| ties on event time | latest known wins; nulls of known lose; then, or without a known column, the last row of the \
file (of several files: by path; of a Delta table: the file written last, so that compaction or a deletion, which \
write old rows anew, can change which of two wholly equal rows wins: keep a known timestamp) |
| newest row holds a null | null: nothing is carried forward through nulls |
| null event time; null or NaN key | ignored; matches nothing; a null T matches nothing |
| naive times; other zones; text | UTC; converted; parsed as ISO 8601 |
| units | compared in microseconds: nanoseconds are cut off, milliseconds widened |
| key types differ (text, integer), key column missing, column lost, name used twice | `PointInTimeError`, naming \
view, column, found types and remedy. Integer widths, and text and categories, compare by value |
| view without keys | the newest visible row of the whole view |
| types out | as stored; the entity time and the times of chosen rows are `Datetime("us", "UTC")` |
| `latest(start, end)`, `between(start, end)` | both ends inclusive |
| retrieval by dates, without entities | every (keys, event time) between the dates, both included; a row recorded \
after its own event time is not seen at it, unless known time is ignored |
| files replaced since the retrieval was made | `PointInTimeError`; a Delta table is read at one version to the end |
| memory | keys and times of a view, then its chosen features, within `memory_budget`; see `planning` |
"""

from mlops_platform.point_in_time.engine import join_as_of, join_in_parts, plans
from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.incremental import extended
from mlops_platform.point_in_time.leak import LeakReport, check_leak
from mlops_platform.point_in_time.perturbation import Facts
from mlops_platform.point_in_time.pulls import between, latest
from mlops_platform.point_in_time.view_frame import KnownTime, ViewFrame

__all__ = [
    "Facts", "KnownTime", "LeakReport", "PointInTimeError", "ViewFrame", "between", "check_leak", "extended",
    "join_as_of", "join_in_parts", "latest", "plans",
]  # fmt: skip
