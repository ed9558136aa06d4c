"""The retrieval job: a lazy polars frame that knows what it reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.saved_dataset import SavedDatasetStorage

from mlops_platform.point_in_time.arrow_output import to_plain_arrow, with_plain_types
from mlops_platform.point_in_time.engine import join_as_of, join_in_parts, plans
from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_entities import EntityFrame
from mlops_platform.point_in_time.feast_persist import export, persist
from mlops_platform.point_in_time.feast_sources import OpenedTable
from mlops_platform.point_in_time.feast_tensors import to_tensors
from mlops_platform.point_in_time.feast_timeout import collect
from mlops_platform.point_in_time.planning import Plan
from mlops_platform.point_in_time.view_frame import KnownTime, ViewFrame


@dataclass(frozen=True, kw_only=True)
class TableRead:
    """One table, as one view of a job reads it.

    Attributes:
        view: Name of the view, or of the source for a pull.
        path: Path as written in the FileSource; the key for `table_versions`.
        location: Absolute path or URI.
        format: "parquet" or "delta".
        version: Delta version; None for Parquet.
        event_timestamp: Its event column.
        known_timestamp: Its known column; None means the view cannot tell late facts from timely ones.
        known_time: "respect" or "ignore".
    """

    view: str
    path: str
    location: str
    format: str
    version: int | None
    event_timestamp: str
    known_timestamp: str | None
    known_time: KnownTime

    @classmethod
    def of(cls, table: OpenedTable, view: str, event: str, known: str | None, known_time: KnownTime) -> "TableRead":
        """Return how a view reads a table that was opened for it."""
        return cls(
            view=view, path=table.path, location=table.location, format=table.format, version=table.version,
            event_timestamp=event, known_timestamp=known, known_time=known_time,
        )  # fmt: skip

    def __str__(self) -> str:
        version = f" version {self.version}" if self.version is not None else ""
        known = f"known by {self.known_timestamp!r} ({self.known_time})" if self.known_timestamp else "no known time"
        return f"{self.view}: {self.format} {self.path!r}{version}, true by {self.event_timestamp!r}, {known}"


@dataclass(frozen=True, kw_only=True)
class Join:
    """What a historical retrieval joins.

    Attributes:
        entities: The entity rows.
        views: The views, in the order of their features.
        memory_budget: Bytes that the process may use.
        taken: By view, how it was read by the last run.
    """

    entities: EntityFrame
    views: Sequence[ViewFrame]
    memory_budget: int
    taken: dict[str, Plan] = field(default_factory=dict, init=False)

    def frame(self, *, with_times: bool = False) -> pl.LazyFrame:
        """Return the answer, with the times of the rows chosen or without."""
        return join_as_of(
            self.entities.rows.lazy(), self.views, event_timestamp=self.entities.event_timestamp,
            with_times=with_times, memory_budget=self.memory_budget, taken=self.taken,
        )  # fmt: skip

    def parts(self) -> Iterator[pl.DataFrame]:
        """Return the answer a stretch of entity rows at a time."""
        return join_in_parts(
            self.entities.rows.lazy(), self.views, event_timestamp=self.entities.event_timestamp,
            memory_budget=self.memory_budget, taken=self.taken,
        )  # fmt: skip

    def plans(self) -> list[Plan]:
        """Return how each view was read by the last run, or would be read now, if there was none."""
        if self.taken:
            return [self.taken[view.name] for view in self.views]
        return plans(
            self.entities.rows.lazy(), self.views, event_timestamp=self.entities.event_timestamp,
            memory_budget=self.memory_budget,
        )  # fmt: skip


class PolarsRetrievalJob(RetrievalJob):
    """A retrieval that runs when its result is asked for.

    Delta tables are read at the versions in `reads`, whatever happens to them meanwhile.
    """

    def __init__(
        self, *, frame: pl.LazyFrame, reads: Sequence[TableRead], repo_path: Path | str | None,
        full_feature_names: bool = False, on_demand_feature_views: Sequence[OnDemandFeatureView] = (),
        metadata: RetrievalMetadata | None = None, notes: Sequence[str] = (), join: Join | None = None,
        staging: FileSource | None = None,
    ) -> None:  # fmt: skip
        """Hold the lazy result and what is known about it.

        `notes` are lines that `explain` adds; `join` is what a historical retrieval joins; `staging` is
        the folder for `to_remote_storage`.
        """
        self._frame = frame
        self._join = join
        self._repo_path = repo_path
        self._full_feature_names = full_feature_names
        self._on_demand_feature_views = list(on_demand_feature_views)
        self._metadata = metadata
        self._notes = tuple(notes)
        self._staging = staging
        self.reads = tuple(reads)

    def explain(self) -> str:
        """Return, for each view, which table at which version is read, how known time is treated, and the plan.

        The plan is that of the last run; before there was one it is that of a run now, for which rows are counted and
        some keys sampled.
        """
        lines = [str(read) for read in self.reads]
        if self._join:
            lines = [f"{read}\n  {plan}" for read, plan in zip(lines, self._join.plans(), strict=True)]
        return "\n".join([*lines, *self._notes])

    def to_polars(self, validation_reference: Any = None, timeout: int | None = None) -> pl.DataFrame:
        """Run the retrieval and return polars, in the types of `to_arrow`.

        Types are as stored, but, at any depth, datetimes are `Datetime("us", "UTC")`, categories text, arrays lists.

        Args:
            validation_reference: Feast's; the result is checked against its profile.
            timeout: Seconds that the query may take; on-demand views and validation are not counted.

        Raises:
            PointInTimeError: The rows cannot be read as declared.
            RetrievalTimeoutError: The time was over; a TimeoutError too.
            ValidationFailed: The profile was not met.
        """
        if self._on_demand_feature_views or validation_reference is not None:
            table = self.to_arrow(validation_reference=validation_reference, timeout=timeout)
            return pl.DataFrame(pl.from_arrow(table))
        return with_plain_types(self._collect(self._frame, timeout))

    def to_polars_with_times(self) -> pl.DataFrame:
        """Run a historical retrieval and return polars, telling for each view which row was chosen.

        Returns:
            As `to_polars`, without on-demand features; after the features of each view its
            `<view>__event_timestamp` and `<view>__known_timestamp`, `Datetime("us", "UTC")`, null where none matched.

        Raises:
            PointInTimeError: The job is a pull, or the rows cannot be read as declared.
        """
        if self._join is None:
            raise PointInTimeError("a pull chooses no rows for entities: its own time columns say when they were true.")
        return with_plain_types(self._collect(self._join.frame(with_times=True), None))

    def _collect(self, frame: pl.LazyFrame, timeout: int | None) -> pl.DataFrame:
        try:
            return collect(frame, timeout)
        except PointInTimeError:
            raise
        except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as found:
            raise self._failed(found) from found

    def _failed(self, found: BaseException) -> PointInTimeError:
        read = "\n".join(map(str, self.reads))
        return PointInTimeError(f"reading failed: {found}\nwhat was read:\n{read}")

    def _arrow_parts(self, timeout: int | None = None) -> Iterator[pa.Table]:
        """The result in parts that fit in memory, where polars computes all of it."""
        if self._join is None or self._on_demand_feature_views or timeout is not None:
            yield self.to_arrow(timeout=timeout)
            return
        try:
            yield from map(to_plain_arrow, self._join.parts())
        except (OSError, pl.exceptions.PolarsError) as found:
            raise self._failed(found) from found

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        rows = self._collect(self._frame, timeout)
        try:
            return to_plain_arrow(rows)
        except pa.ArrowInvalid as found:
            raise PointInTimeError(
                f"the answer does not fit in Arrow's plain types: {found}. A column of text or lists may hold 2 GiB: "
                f"ask for fewer rows at once, or use to_polars()."
            ) from found

    def _to_df_internal(self, timeout: int | None = None) -> Any:
        return self._to_arrow_internal(timeout).to_pandas()

    @property
    def full_feature_names(self) -> bool:
        """Whether output columns carry the name of their view."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """The on-demand views that Feast computes on top of the result."""
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """Feature references, entity columns and time range; None for pulls."""
        return self._metadata

    @property
    def features(self) -> list[str]:
        """The feature references; `to_feast_df` hands them on."""
        return list(self._metadata.features) if self._metadata else []

    def to_sql(self) -> str:
        """Raise NotImplementedError: polars runs the retrieval, no SQL; `explain` says what is read."""
        raise NotImplementedError("PolarsRetrievalJob runs no SQL: explain() says what is read.")

    def to_tensor(
        self, kind: str = "torch", default_value: Any = float("nan"), timeout: int | None = None
    ) -> dict[str, Any]:
        """Run the retrieval and return a tensor for each column of numbers or booleans, a list for any other.

        Unlike Feast's own, this goes straight from polars to torch, and types are those stored: Float64 stays so.

        Args:
            kind: "torch".
            default_value: Stands for nulls and NaNs; a column of integers with nulls is Float64 unless it is one too.
            timeout: As for `to_polars`.

        Raises:
            PointInTimeError: Another kind, or missing values and a `default_value` that is no number.
            ImportError: torch is not installed.
        """
        if kind != "torch":
            raise PointInTimeError(f"to_tensor: required is kind='torch'; found {kind!r}.")
        return to_tensors(self.to_polars(timeout=timeout), default_value)

    def supports_remote_storage_export(self) -> bool:
        """Return whether a `staging_location` is configured."""
        return self._staging is not None

    def to_remote_storage(self) -> list[str]:
        """Run the retrieval and write it as Parquet files to a new folder of the `staging_location`.

        Returns:
            Their URIs (or paths), in the order of the rows; none if there are no rows.

        Raises:
            PointInTimeError: No `staging_location` is configured, or the rows cannot be read as declared.
        """
        if self._staging is None:
            raise PointInTimeError(
                "to_remote_storage: required is a staging_location in the offline_store of feature_store.yaml; found "
                "none. Configure one, such as s3://bucket/staging."
            )
        return export(self._arrow_parts(), self._staging, self._repo_path)

    def persist(
        self, storage: SavedDatasetStorage, allow_overwrite: bool | None = False, timeout: int | None = None
    ) -> None:
        """Run the retrieval and write it to a Parquet file, a folder with one, or a Delta table, local or on a store.

        An answer larger than the memory budget is computed and written in parts, unless on-demand views or a timeout
        ask for all of it at once; a Delta table takes parts in any order, Parquet keeps the order of the entity rows.
        Nothing half-written is ever at the destination: Parquet is written beside it and renamed, an object store
        takes a file whole, Delta commits.

        Args:
            storage: SavedDatasetFileStorage; a relative path lies below the Feature repository; `.parquet` means one
                file, else a folder is made.
            allow_overwrite: Whether what is there may be replaced.
            timeout: As for `to_polars`.

        Raises:
            SavedDatasetLocationAlreadyExists: Something is there and may not be replaced; nothing was run.
            PointInTimeError: Another kind of storage or format.
        """
        persist(
            storage,
            lambda: self._arrow_parts(timeout),
            repo_path=self._repo_path,
            allow_overwrite=bool(allow_overwrite),
        )
