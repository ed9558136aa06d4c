"""The policy says yes for each declared reason, and for no other, with the numbers."""

from datetime import timedelta

import pytest

from mlops_platform.retraining.news import News
from mlops_platform.retraining.policy import Decision, decide
from mlops_platform.spec import Retraining

BAD = {"bad": True, "reason": "roc_auc 0.61 live against 0.76"}
POLICY = Retraining(new_rows=1_000, new_span="7d", stale_after="30d", cooldown="1d")
SILENT = Retraining(new_rows=1_000, on_bad_monitoring=False)


def asked(policy: Retraining = POLICY, rows: int = 10, days: float = 1, **changed: object) -> Decision:
    news = News(rows=rows, span=timedelta(days=days))
    facts = {"trained": True, "news": news, "stale": False, "cooling": False, "report": None, **changed}
    return decide(policy, **facts)  # type: ignore[arg-type]


def test_a_model_without_a_checkpoint_is_trained() -> None:
    decision = asked(trained=False, news=None, cooling=True)
    assert decision.retrain and decision.reason == "yes: there is no checkpoint yet"


def test_equal_data_train_nothing_whatever_else_is_wrong() -> None:
    decision = asked(news=None, stale=True, report=BAD)
    assert not decision.retrain and "this very dataset" in decision.reason


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"rows": 1_000}, "yes: 1,000 new labelled rows, 1,000 required"),
        ({"days": 7}, "yes: 7.0 new days, 7 required"),
        ({"stale": True}, "yes: trained at least 30d ago"),
        ({"report": BAD}, "yes: the monitoring report is bad (roc_auc 0.61 live against 0.76)"),
    ],
)
def test_each_reason_is_enough(facts: dict[str, object], said: str) -> None:
    decision = asked(**facts)  # type: ignore[arg-type]
    assert decision.retrain and decision.reason == said
    assert [trigger.holds for trigger in decision.triggers].count(True) == 1 and len(decision.triggers) == 4


def test_no_reason_is_no_with_all_numbers() -> None:
    decision = asked(rows=999, days=6.99, report={"bad": False, "reason": "12 labelled answers"})
    assert not decision.retrain
    assert decision.reason == (
        "no: 999 new labelled rows, 1,000 required; 7.0 new days, 7 required; trained less than 30d ago; "
        "the monitoring report is not bad (12 labelled answers)"
    )


def test_a_cooldown_holds_back_every_reason() -> None:
    decision = asked(rows=5_000, stale=True, report=BAD, cooling=True)
    assert not decision.retrain and decision.reason.startswith("no, not yet: 5,000 new") and "1d" in decision.reason


def test_a_reason_that_is_not_declared_is_none() -> None:
    decision = asked(SILENT, rows=999, days=400, stale=True, report=BAD)
    assert not decision.retrain and [trigger.name for trigger in decision.triggers] == ["new_rows"]


def test_a_dataset_that_is_gone_counts_every_row_and_says_so() -> None:
    decision = asked(SILENT, news=News(rows=3_000, span=timedelta(0), earlier_is_gone=True))
    assert decision.retrain and "no longer kept" in decision.reason
