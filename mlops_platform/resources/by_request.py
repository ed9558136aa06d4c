"""Stations that work only when a person asks for them, and stand for what they made until then.

Whoever asks for such a station chooses it without the one that learns from it. A run over the whole graph, or over a
whole model, contains both, and leaves the first as it stands: nobody who lands a month means to tune for a night.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from mlops_platform.manifest import Manifest, short
from mlops_platform.resources.planning import PlanningContext

_POLL_SECONDS = 1.0


def is_asked(context: dg.AssetExecutionContext, *, unless: dg.AssetKey) -> bool:
    """Whether a run is for this station; a plan is for those it is asked about.

    Args:
        context: Of the asset.
        unless: The station whose presence in the run tells that it is not.
    """
    if isinstance(context, PlanningContext):
        return True
    return unless not in context.job_def.asset_layer.executable_asset_keys


def standing(manifest: Manifest) -> dg.MaterializeResult:
    """The materialization of a station that is left as it stands."""
    metadata = {"memo": "stands until a person asks", "digest": short(manifest.digest)}
    return dg.MaterializeResult(data_version=dg.DataVersion(manifest.digest), metadata=metadata)


@contextmanager
def further_slot(context: dg.AssetExecutionContext, pool: str, wanted: Callable[[], bool]) -> Iterator[bool]:
    """Waits for another slot of a pool beside the one that the station holds, and keeps it to the block's end.

    Args:
        context: Of the asset.
        pool: Its name.
        wanted: Asked while waiting; the wait ends, with False, when it is not.
    """
    storage, step = (
        context.instance.event_log_storage,
        f"{context.op_execution_context.op_handle}.{time.monotonic_ns()}",
    )
    # The station's own step has made its pool known, if the instance bounds it.
    if not storage.supports_global_concurrency_limits or pool not in storage.get_concurrency_keys():
        yield True
        return
    granted = False
    try:
        while wanted() and not granted:
            granted = storage.claim_concurrency_slot(pool, context.run.run_id, step).is_claimed
            if not granted:
                time.sleep(_POLL_SECONDS)
        yield granted
    finally:
        storage.free_concurrency_slot_for_step(context.run.run_id, step)
