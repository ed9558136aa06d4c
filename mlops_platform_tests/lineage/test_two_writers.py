"""A table may be written by another process at any moment: a manifest cites the version that its own run left."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from mlops_platform.features import assets as features
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform.resources.locks import exclusive
from mlops_platform.resources.refs import Refs
from mlops_platform.sources import assets as sources
from mlops_platform.sources.ingest import FILES, LedgerEntry
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import failures, land, materialize

OTHERS = LedgerEntry(name="other.parquet", digest="sha256:other", id="other", rows=0, kept=0, quarantined=0, at="")


def test_a_commit_right_after_the_lock_is_another_runs(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    land(home, PROJECT, "2024-03")
    tables = {
        "pumps.readings.raw": DeltaDoor(home.raw_table("pumps", "readings")),
        "pumps.pump_state.features": DeltaDoor(home.feature_table("pumps", "pump_state")),
    }
    left: dict[str, int] = {}

    @contextlib.contextmanager
    def then_another_run(home: Home, name: str) -> Iterator[None]:
        """What any process may do as soon as the lock is let go."""
        with exclusive(home, name):
            yield
        if door := tables.get(name):
            left[name] = door.version
            nothing = door.scan().head(0).collect()
            door.append(nothing, metadata={FILES: [asdict(OTHERS)]}, digests={"2024-03": "sha256:other"})

    monkeypatch.setattr(sources, "exclusive", then_another_run)
    monkeypatch.setattr(features, "exclusive", then_another_run)
    result = materialize(home, PROJECT, '+key:"pumps/features/pump_state"')
    assert result.success, failures(result)
    raw, table = (Refs(home).read(f"pumps/{key}").manifest for key in ("raw/readings", "features/pump_state"))
    assert [raw.delta.version, table.delta.version] == list(left.values()) and len(left) == 2
    assert "sha256:other" not in {*raw.delta.partitions.values(), *table.delta.partitions.values()}
    assert OTHERS.digest not in raw.content["files"] and raw.content["rows"] == table.content["rows"] == 124
