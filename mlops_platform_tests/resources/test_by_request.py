"""Further slots of a pool: no more than it has, and given back."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from mlops_platform.resources import by_request
from mlops_platform.resources.by_request import further_slot


def context(instance: dg.DagsterInstance) -> Any:
    """What is asked of an asset's context."""
    run, op = SimpleNamespace(run_id="run"), SimpleNamespace(op_handle="tuning")
    return SimpleNamespace(instance=instance, run=run, op_execution_context=op)


def test_further_slots_are_bounded_by_the_pool_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_request, "_POLL_SECONDS", 0.01)
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        storage, asking = instance.event_log_storage, context(instance)
        storage.set_concurrency_slots("gpu", 2)
        assert storage.claim_concurrency_slot("gpu", "run", "tuning").is_claimed
        with further_slot(asking, "gpu", lambda: True) as granted:
            patience = iter([True, True, False])
            with further_slot(asking, "gpu", lambda: next(patience)) as refused:
                assert granted and not refused
        assert storage.get_concurrency_info("gpu").active_slot_count == 1
        with further_slot(asking, "gpu", lambda: True) as again:
            assert again and storage.get_concurrency_info("gpu").active_slot_count == 2
        info = storage.get_concurrency_info("gpu")
        assert (info.slot_count, info.active_slot_count, info.pending_step_count) == (2, 1, 0)
        with further_slot(asking, "unbounded", lambda: False) as free:
            assert free


def test_without_pools_nothing_bounds(tmp_path: Path) -> None:
    with dg.DagsterInstance.ephemeral() as instance, further_slot(context(instance), "gpu", lambda: True) as granted:
        assert granted
