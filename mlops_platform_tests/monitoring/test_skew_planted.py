"""Skew that was planted in the online path is found, and found where it was planted."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from mlops_platform.monitoring.skew.figures import beyond_limit, scores_agree
from mlops_platform.monitoring.skew.online import PackedPath, TemporaryDoor
from mlops_platform.monitoring.skew.replay import Packed
from mlops_platform.online_store import OnlineFeatures, PackedView
from mlops_platform.resources.prediction_log.personal import PersonalColumns
from mlops_platform.scoring import Vocabulary
from mlops_platform.spec import FeatureTable
from mlops_platform_tests.monitoring.machines import MODEL, NAMES, examples, readings, replayed

TABLE = readings()
ROWS = examples(TABLE)


def packing(change: Callable[[pl.DataFrame], pl.DataFrame]) -> type[PackedPath]:
    """An online path that brings rows online otherwise than they are."""

    class Otherwise(PackedPath):
        def pack(self, table: FeatureTable, rows: pl.DataFrame) -> Packed:
            return super().pack(table, change(rows))

    return Otherwise


class WithoutTtl(TemporaryDoor):
    """A door that forgets how old a row may be."""

    def view(self, table: FeatureTable) -> PackedView:
        return replace(super().view(table), ttl=None)


class OtherCodes(PackedPath):
    """A path whose category of pumps has its codes the other way about."""

    def encode(self, frame: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        first, *others = self.scorer.encoding.vocabularies
        turned = Vocabulary(first.name, first.dtype, tuple(reversed(first.values)))  # type: ignore[arg-type]
        return replace(self.scorer.encoding, vocabularies=(turned, *others)).encode(frame)


class AnHourEarly(PackedPath):
    """A path that takes local times for UTC: it asks for what was newest an hour before."""

    def read(self, examples: pl.DataFrame) -> OnlineFeatures:
        return super().read(examples.with_columns(pl.col("event_timestamp").dt.offset_by("-1h")))


def first_of_ties(rows: pl.DataFrame) -> pl.DataFrame:
    """Of a row and its corrections, the first that was known."""
    names = [name.removeprefix("pump_state__") for name in NAMES]
    return rows.with_columns(pl.col(names).first().over("pump", "event_timestamp"))


CHANGES: dict[str, tuple[Callable[[pl.DataFrame], pl.DataFrame], set[str]]] = {
    "tie rule": (first_of_ties, {"pressure"}),
    "rounding": (lambda rows: rows.with_columns(pl.col("pressure").cast(pl.Float32).cast(pl.Float64)), {"pressure"}),
    "null to zero": (lambda rows: rows.with_columns(pl.col("vibration").fill_null(0)), {"vibration"}),
    "time zone": (lambda rows: rows.with_columns((pl.col("hour") + 1) % 24), {"hour"}),
    "category": (lambda rows: rows.with_columns(pl.col("mode").str.to_uppercase()), {"mode"}),
}


@pytest.mark.parametrize("planted", CHANGES)
def test_a_feature_that_is_other_online_is_found_by_name(planted: str, tmp_path: Path) -> None:
    change, names = CHANGES[planted]
    report = replayed(tmp_path, ROWS, TABLE, path=packing(change))
    expected = {f"pump_state__{name}" for name in names}
    assert differing(report) == expected == {name for name in beyond_limit(report) if name in NAMES}
    for each in report["features"]:
        if each["name"] in expected:
            assert each["example"]["online"] != each["example"]["offline"]
            assert set(each["example"]["keys"]) == {"pump"} and each["upper"] > each["rate"] > 0


def differing(report: dict[str, Any]) -> set[str]:
    return {each["name"] for each in report["features"] if each["mismatched"]}


def test_the_clean_path_gives_no_mismatch(tmp_path: Path) -> None:
    report = replayed(tmp_path, ROWS, TABLE)
    assert differing(report) == set() == set(beyond_limit(report))
    scores = report["scores"]
    assert (report["rows"], scores["compared"], scores["ruled"], scores["mismatched"]) == (300, 300, 0, 0)
    # One row and many are not added up in the same order.
    assert scores["largest"] < 1e-5 and scores_agree(report)
    statuses = report["statuses"]["pump_state"]
    assert min(statuses[name] for name in ("present", "missing", "stale")) > 0 == statuses["later"]
    assert report["unseen_rate"] == pytest.approx(3 / 300, rel=0.01)


def test_a_ttl_that_is_not_enforced_shows_in_every_feature(tmp_path: Path) -> None:
    report = replayed(tmp_path, ROWS, TABLE, door=WithoutTtl)
    assert differing(report) == set(NAMES)
    example = report["features"][0]["example"]
    assert example["offline"] is None and example["online"] is not None and example["status"] == "present"
    assert report["statuses"]["pump_state"]["stale"] == 0


def test_questions_of_another_time_zone_show_where_rows_grow_too_old(tmp_path: Path) -> None:
    report = replayed(tmp_path, ROWS, TABLE, path=AnHourEarly)
    assert differing(report) and report["statuses"]["pump_state"]["later"] > 0


def test_a_category_coded_otherwise_is_found_though_its_value_is_the_same(tmp_path: Path) -> None:
    report = replayed(tmp_path, ROWS, TABLE, path=OtherCodes)
    assert differing(report) == set() and set(beyond_limit(report)) == {"pump"}
    assert not scores_agree(report) and report["scores"]["example"]["online"] != report["scores"]["example"]["offline"]


def test_a_declared_tolerance_lets_rounding_pass_and_nothing_more(tmp_path: Path) -> None:
    rounding, _ = CHANGES["rounding"]
    allowed = replace(MODEL, skew=replace(MODEL.skew, tolerances={"pump_state__pressure": 1e-6}))
    report = replayed(tmp_path, ROWS, TABLE, path=packing(rounding), model=allowed)
    assert differing(report) == set() and report["features"][0]["tolerance"] == 1e-6
    twice = packing(lambda rows: rows.with_columns(pl.col("pressure") * 2))
    assert differing(replayed(tmp_path / "b", ROWS, TABLE, path=twice, model=allowed)) == {"pump_state__pressure"}


def test_a_row_that_comes_online_a_moment_late_is_found(tmp_path: Path) -> None:
    late = packing(lambda rows: rows.with_columns(pl.col("pressure").shift(1).over("pump")))
    assert differing(replayed(tmp_path, ROWS, TABLE, path=late)) == {"pump_state__pressure"}


def test_values_of_personal_columns_are_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_platform.monitoring.skew import findings

    personal = PersonalColumns(hashed=frozenset({"pump"}), left_out=frozenset({"pump_state__mode"}))
    monkeypatch.setattr(findings, "personal_columns", lambda project, model: personal)
    report = replayed(tmp_path, ROWS, TABLE, path=packing(CHANGES["category"][0]))
    (found,) = (each["example"] for each in report["features"] if each["mismatched"])
    assert {found["online"], found["offline"], *found["keys"].values()} == {findings.WITHHELD}
