"""Answers meet their labels: once an example, with the newest answer and the label known last."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.monitoring.labelled import Labelled, labelled_answers
from mlops_platform.resources.delta import PARTITION, DeltaDoor

T = datetime(2024, 3, 1, 7, tzinfo=UTC)
DAY = timedelta(days=1)
Answer = tuple[str, str, float]


def logged(log: DeltaDoor, *answers: Answer, at: int = 0, checkpoint: str = "live") -> None:
    """One batch of answers: prediction id, example id, score."""
    ids, examples, scores = zip(*answers, strict=True)
    log.append(pl.DataFrame({
        "prediction_id": ids, "example_id": examples, "score": pl.Series(scores, dtype=pl.Float32),
        "event_timestamp": pl.Series([T + DAY * int(e[1:]) for e in examples], dtype=pl.Datetime("us", "UTC")),
        "checkpoint": [checkpoint] * len(ids), PARTITION: ["2024-03-01"] * len(ids),
        "answered_at": pl.Series([T + DAY * at] * len(ids), dtype=pl.Datetime("us", "UTC")),
    }))  # fmt: skip


def examples(*labels: tuple[str, int | None, int | None]) -> pl.LazyFrame:
    """Example id, label, and the day on which it was known."""
    ids, values, known = zip(*labels, strict=True) if labels else ((), (), ())
    days = [None if day is None else T + DAY * day for day in known]
    return pl.LazyFrame({
        "id": pl.Series(ids, dtype=pl.String), "label": pl.Series(values, dtype=pl.Int8),
        "label_known_timestamp": pl.Series(days, dtype=pl.Datetime("us", "UTC")),
    })  # fmt: skip


def joined(log: DeltaDoor, *labels: tuple[str, int | None, int | None]) -> Labelled:
    return labelled_answers(log.scan(), "live", examples(*labels), identity="id")


def found(labelled: Labelled) -> list[tuple[str, float, int]]:
    return [(e, round(s, 4), y) for e, s, y in labelled.rows.select("example_id", "score", "label").rows()]


@pytest.fixture
def log(tmp_path: Path) -> DeltaDoor:
    return DeltaDoor(tmp_path / "log")


def test_only_what_is_labelled_and_of_the_live_checkpoint(log: DeltaDoor) -> None:
    logged(log, ("p2", "e2", 0.25), ("p1", "e1", 0.5), ("p3", "e3", 0.75))
    logged(log, ("q1", "e1", 0.125), ("q4", "e4", 0.125), checkpoint="earlier")
    labelled = joined(log, ("e1", 1, 2), ("e2", 0, 3), ("e3", None, None), ("e4", 1, 4), ("e9", 1, 2))
    assert found(labelled) == [("e1", 0.5, 1), ("e2", 0.25, 0)]
    assert (labelled.answers, labelled.repeated) == (3, 0)


def test_before_any_label_is_known(log: DeltaDoor) -> None:
    logged(log, ("p1", "e1", 0.5))
    labelled = joined(log)
    assert (labelled.rows.height, labelled.answers) == (0, 1)
    assert labelled_answers(log.scan(), "new", examples(("e1", 1, 2)), identity="id").answers == 0


def test_an_example_answered_again_counts_once_with_its_newest_answer(log: DeltaDoor) -> None:
    logged(log, ("p1", "e1", 0.5), ("p2", "e2", 0.5), at=2)
    logged(log, ("r1", "e1", 0.25), at=1)
    logged(log, ("q1", "e1", 0.75), at=3)
    labelled = joined(log, ("e1", 1, 4), ("e2", 0, 4))
    assert found(labelled) == [("e1", 0.75, 1), ("e2", 0.5, 0)]
    assert (labelled.answers, labelled.repeated) == (2, 2)


def test_a_prediction_logged_twice_counts_once(log: DeltaDoor) -> None:
    for _ in range(2):
        logged(log, ("p1", "e1", 0.5))
    labelled = joined(log, ("e1", 1, 2))
    assert found(labelled) == [("e1", 0.5, 1)] and labelled.repeated == 1


def test_a_corrected_label_counts_as_it_is_known_last(log: DeltaDoor) -> None:
    logged(log, ("p1", "e1", 0.5), ("p2", "e2", 0.5), ("p3", "e3", 0.5))
    labels = [("e1", 1, 2), ("e1", 0, 5), ("e2", 0, 2), ("e2", None, 3), ("e3", None, None), ("e3", 1, 2)]
    assert found(joined(log, *labels)) == [("e1", 0.5, 0), ("e3", 0.5, 1)]
    assert found(joined(log, *reversed(labels))) == [("e1", 0.5, 0), ("e3", 0.5, 1)]


def test_a_label_told_twice_is_one_and_two_at_one_time_are_refused(log: DeltaDoor) -> None:
    logged(log, ("p1", "e1", 0.5))
    assert found(joined(log, ("e1", 1, 2), ("e1", 1, 2))) == [("e1", 0.5, 1)]
    with pytest.raises(PlatformError, match="e1 among them"):
        joined(log, ("e1", 1, 2), ("e1", 0, 2))


def test_an_answer_of_a_shadow_never_counts_and_one_of_a_canary_does(log: DeltaDoor) -> None:
    logged(log, ("p1", "e1", 0.5))
    rows = log.scan().collect()
    roles = pl.Series("role", ["champion", "canary", "shadow", "shadow"])
    later = rows.select(pl.all().repeat_by(4).explode()).with_columns(
        roles, example_id=pl.Series(["e2", "e3", "e1", "e4"]), answered_at=pl.col("answered_at") + DAY
    )
    log.append(later, may_widen=True)
    labelled = joined(log, *((f"e{n}", 1, 9) for n in range(1, 5)))
    assert found(labelled) == [("e1", 0.5, 1), ("e2", 0.5, 1), ("e3", 0.5, 1)]
    assert (labelled.answers, labelled.repeated) == (3, 0)


def test_answers_to_questions_that_named_no_example_have_no_label(log: DeltaDoor) -> None:
    logged(log, ("p1", "e1", 0.5), ("p2", "e2", 0.5))
    log.append(log.scan().collect().with_columns(example_id=pl.lit(None, pl.String)))
    labelled = joined(log, ("e1", 1, 2))
    assert found(labelled) == [("e1", 0.5, 1)] and (labelled.answers, labelled.repeated) == (2, 0)
