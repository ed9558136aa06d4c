"""The walk from an answer back to its rows holds whatever happened since."""

from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pytest

from mlops_platform.errors import MissingArtifactError
from mlops_platform.provenance.walk import Why, why
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.lineage.run import materialize

pytestmark = pytest.mark.long


def log(home: Home) -> pl.DataFrame:
    return DeltaDoor(home.prediction_log("pumps", "pump_repair")).scan().sort("answered_at").collect()


def rows_of(found: Why) -> list[tuple[str, list[int]]]:
    return [(file["name"], file["rows"]) for row in found.features if row.source for file in row.source.files]


def test_an_unknown_prediction_says_where_ids_are(pumps_home, use_home: Callable) -> None:
    with pytest.raises(MissingArtifactError, match="mlops status"):
        why(use_home(pumps_home), PROJECT, "p-0000000000000000")


def test_a_later_correction_does_not_change_an_old_answers_walk(pumps_copy: Home, use_home: Callable) -> None:
    use_home(pumps_copy.path)
    answered = log(pumps_copy)["prediction_id"][0]
    before = why(pumps_copy, PROJECT, answered)
    (file, (number, *_)), *_ = rows_of(before)
    corrected = pl.read_parquet(pumps_copy.landing / "readings" / file)[number].with_columns(pl.col("temperature") + 20)
    corrected.write_parquet(pumps_copy.landing / "readings" / "correction.parquet")
    assert materialize(pumps_copy, PROJECT).success
    after = why(pumps_copy, PROJECT, answered)
    assert (after.features_read, rows_of(after)) == (before.features_read, rows_of(before))
    assert [row.recomputed_equal for row in after.features] == [True]


def test_a_correction_known_now_is_a_new_version_and_old_rows_stay(pumps_copy: Home, use_home: Callable) -> None:
    use_home(pumps_copy.path)
    table = DeltaDoor(pumps_copy.feature_table("pumps", "pump_state"))
    before = table.scan().collect()
    newest = pl.read_parquet(pumps_copy.landing / "readings" / "readings-2024-05.parquet").tail(1)
    newest.with_columns(pl.col("temperature") + 20).write_parquet(pumps_copy.landing / "readings" / "late.parquet")
    assert materialize(pumps_copy, PROJECT).success
    added = table.scan().collect().join(before, on=before.columns, how="anti", nulls_equal=True)
    assert added.height == 1 and added["known_timestamp"][0] > datetime(2026, 1, 1, tzinfo=UTC)
    assert before.join(table.scan().collect(), on=before.columns, how="anti", nulls_equal=True).is_empty()


def test_the_log_has_each_answer_once_however_often_it_is_asked(pumps_copy: Home, use_home: Callable) -> None:
    use_home(pumps_copy.path)
    before = log(pumps_copy)
    for path in (pumps_copy.artifacts / "predictions").iterdir():
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    assert materialize(pumps_copy, PROJECT).success
    assert log(pumps_copy).equals(before) and before["prediction_id"].is_unique().all()
