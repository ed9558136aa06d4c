"""The asset graph is a golden file: a renamed key loses Dagster's history, so a change of it is seen.

To write the file anew after a deliberate change: ``python -m mlops_platform_tests.lineage.test_graph``.
"""

import json
from pathlib import Path

import dagster as dg

from mlops_platform.lineage import build_definitions
from mlops_platform.projects.flights.project import PROJECT

GOLDEN = Path(__file__).with_name("flights_graph.json")


def graph() -> dict[str, dict[str, object]]:
    """Group, dependencies, kinds and checks of each asset of the flights project."""
    found = build_definitions(PROJECT).resolve_asset_graph()
    checks: dict[str, list[str]] = {}
    for key in found.asset_check_keys:
        blocking = "!" if found.get(key).blocking else ""
        checks.setdefault(key.asset_key.to_user_string(), []).append(key.name + blocking)
    return {
        node.key.to_user_string(): {
            "group": node.group_name,
            "after": sorted(parent.to_user_string() for parent in node.parent_keys),
            "kinds": sorted(node.kinds),
            "owners": sorted(node.owners),
            "checks": sorted(checks.get(node.key.to_user_string(), [])),
            "described": bool(node.description),
        }
        for node in sorted(found.asset_nodes, key=lambda node: node.key)
    }


def test_the_flights_graph_is_the_golden_one() -> None:
    assert graph() == json.loads(GOLDEN.read_text())


def test_every_station_is_owned_described_and_checked() -> None:
    for key, node in graph().items():
        assert node["owners"] and node["kinds"] and node["described"], key
        assert node["checks"], key


def test_keys_end_with_what_people_look_for() -> None:
    tables = {table.name for table in PROJECT.raw_tables} | {table.name for table in PROJECT.feature_tables}
    for key in graph():
        project, middle, last = key.split("/")
        assert project == "flights"
        assert (
            last in tables
            if middle in ("raw", "features")
            else middle in ("feast", "flight_delay", "airport_congestion")
        )


def test_the_graph_has_no_external_or_partitioned_asset() -> None:
    found = build_definitions(PROJECT).resolve_asset_graph()
    assert all(node.partitions_def is None and isinstance(node.key, dg.AssetKey) for node in found.asset_nodes)
    assert not found.external_asset_keys


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(graph(), indent=1, sort_keys=True) + "\n")
