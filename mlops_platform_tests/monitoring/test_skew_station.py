"""The skew of each candidate in the graph: green for the pumps as they are, and no champion without it."""

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


def test_a_candidate_that_is_told_otherwise_is_not_promoted(moved_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, history = PackedPath.pack, PromotionHistory(moved_home, "pumps", "pump_repair")

    def zeros(path: PackedPath, table: FeatureTable, rows: pl.DataFrame) -> Packed:
        return plain(path, table, rows.with_columns(pl.col("vibration").fill_null(0)))

    monkeypatch.setattr(PackedPath, "pack", zeros)
    before, passing = history.moves(), trained(8)
    candidate = f'key:"{MODEL}/checkpoint" or key:"{MODEL}/skew" or group:"evaluation" or group:"registry"'
    result = materialize(moved_home, passing, candidate)
    red = red_checks(result)
    assert {f"{MODEL}/skew:features_agree", f"{MODEL}/skew:predictions_agree"} <= set(red)
    assert red[f"{MODEL}/skew:features_agree"]["rate_pump_state__vibration"] > 0  # type: ignore[operator]
    assert skew(moved_home).manifest.content["mismatched"].keys() == {"pump_state__vibration"}
    assert history.moves() == before and not skew(moved_home).manifest.content["agrees"]

    # Asked for alone, the champion's station says what is live, and why the candidate is not.
    assert (alone := materialize(moved_home, passing, f'key:"{MODEL}/champion"')).success, failures(alone)
    (kept,) = history.moves()[len(before) :]
    assert (kept.action, kept.champion, kept.skewed) == ("keep", before[-1].champion, True)
    assert "otherwise than it learned: pump_state__vibration" in kept.reason
