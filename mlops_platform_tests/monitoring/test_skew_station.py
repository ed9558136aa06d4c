"""The skew of each candidate in the graph: green for the pumps as they are, and no champion without it."""

from collections.abc import Callable

import polars as pl
import pytest

from mlops_platform.monitoring.skew.figures import feature_table, read_report
from mlops_platform.monitoring.skew.online import PackedPath
from mlops_platform.monitoring.skew.replay import Packed
from mlops_platform.resources.artifacts import Artifact
from mlops_platform.resources.history import PromotionHistory
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import FeatureTable
from mlops_platform_tests.lineage.pumps.variants import trained
from mlops_platform_tests.lineage.run import failures, materialize, red_checks

pytestmark = pytest.mark.long

MODEL = "pumps/pump_repair"


def skew(home: Home) -> Artifact:
    return Refs(home).read(f"{MODEL}/skew")


def test_the_pumps_are_told_online_what_they_learned_from(pumps_home: object) -> None:
    home = Home(pumps_home)  # type: ignore[arg-type]
    found, dataset = skew(home), Refs(home).read(f"{MODEL}/dataset")
    content, holdout = found.manifest.content, pl.read_parquet(dataset.file("holdout.parquet"))
    assert (content["agrees"], content["mismatched"], content["coded_otherwise"]) == (True, {}, {})
    assert (content["rows"], content["holdout_rows"]) == (holdout.height, holdout.height)
    assert content["scores"]["compared"] == holdout.height and content["scores"]["largest"] < 1e-6
    assert content["checkpoint"] == Refs(home).read(f"{MODEL}/checkpoint").manifest.digest
    assert sorted(found.manifest.files) == ["skew.json", "skew.png"]
    assert "| pump_state__temperature | 40 | 0.00% |" in feature_table(read_report(found))


def test_a_candidate_that_is_told_otherwise_is_not_promoted(
    pumps_copy: Home, use_home: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_home(pumps_copy.path)
    plain, history = PackedPath.pack, PromotionHistory(pumps_copy, "pumps", "pump_repair")

    def zeros(path: PackedPath, table: FeatureTable, rows: pl.DataFrame) -> Packed:
        return plain(path, table, rows.with_columns(pl.col("vibration").fill_null(0)))

    monkeypatch.setattr(PackedPath, "pack", zeros)
    before = history.moves()
    candidate = f'key:"{MODEL}/checkpoint" or key:"{MODEL}/skew" or group:"evaluation" or group:"registry"'
    result = materialize(pumps_copy, trained(41), candidate)
    red = red_checks(result)
    assert {f"{MODEL}/skew:features_agree", f"{MODEL}/skew:predictions_agree"} <= set(red)
    assert red[f"{MODEL}/skew:features_agree"]["rate_pump_state__vibration"] > 0  # type: ignore[operator]
    assert skew(pumps_copy).manifest.content["mismatched"].keys() == {"pump_state__vibration"}
    assert history.moves() == before and not skew(pumps_copy).manifest.content["agrees"]

    (said,) = failures(materialize(pumps_copy, trained(41), f'key:"{MODEL}/champion"')).values()
    assert "told otherwise: pump_state__vibration" in said and history.moves() == before
