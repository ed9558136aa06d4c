"""New labelled rows are those whose id or label the earlier dataset had not."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_platform.manifest import Manifest, Produced, Recipe, digest_file
from mlops_platform.resources.artifacts import ArtifactStore
from mlops_platform.resources.home import Home
from mlops_platform.retraining.news import PARTS, news_between

START = datetime(2024, 1, 1, tzinfo=UTC)
LABELS = st.dictionaries(st.integers(0, 12), st.integers(0, 1), max_size=10)


def dataset(store: ArtifactStore, labels: dict[int, int], embargo: tuple[int, int] = (0, 0)) -> str:
    """A dataset of one row an id, one row a day, dealt to the three parts; days of an embargo are in none of them."""
    days = {"train_end": embargo[0], "validation_start": embargo[1], "validation_end": 0, "holdout_start": 0}
    boundaries = {name: (START + timedelta(days=day)).isoformat() for name, day in days.items()}
    labels = {number: label for number, label in labels.items() if not embargo[0] <= number < embargo[1]}
    folder = store.stage()
    for place, part in enumerate(PARTS):
        ids = sorted(number for number in labels if number % 3 == place)
        rows = {"id": [f"e{number}" for number in ids], "label": [labels[number] for number in ids],
                "event_timestamp": [START + timedelta(days=number) for number in ids]}  # fmt: skip
        schema = {"id": pl.String(), "label": pl.Int8(), "event_timestamp": pl.Datetime("us", "UTC")}
        pl.DataFrame(rows, schema=schema).write_parquet(folder / f"{part}.parquet")
    files = {path.name: digest_file(path) for path in folder.iterdir()}
    recipe = Recipe(station="p/m/dataset", functions=(), code="", config={}, software={}, inputs={})
    produced = Produced(at=START.isoformat(), seconds=0, run_id="", correlation_id="", actor="tests")
    return store.commit(
        folder,
        Manifest(kind="dataset", station="p/m/dataset", environment="dev", files=files, table=None,
                 content={"boundaries": boundaries}, recipe=recipe, produced=produced),
    ).digest  # fmt: skip


@settings(max_examples=int(os.environ.get("EXAMPLES", "40")), deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(before=LABELS.filter(bool), now=LABELS.filter(bool))
def test_it_counts_what_a_comparison_by_hand_counts(
    tmp_path: Path, before: dict[int, int], now: dict[int, int]
) -> None:
    store = ArtifactStore(Home(tmp_path))
    news = news_between(store, dataset(store, now), dataset(store, before), "id")
    assert news.rows == sum(before.get(number) != label for number, label in now.items())
    assert news.span == max(timedelta(days=max(now) - max(before)), timedelta(0)) and not news.earlier_is_gone


def test_without_an_earlier_dataset_every_row_is_new(tmp_path: Path) -> None:
    store = ArtifactStore(Home(tmp_path))
    newer = dataset(store, {1: 0, 2: 1})
    assert news_between(store, newer, None, "id").rows == 2
    gone = news_between(store, newer, "sha256:" + "0" * 64, "id")
    assert gone.rows == 2 and gone.earlier_is_gone


def test_what_left_an_embargo_is_no_news(tmp_path: Path) -> None:
    store, labels = ArtifactStore(Home(tmp_path)), dict.fromkeys(range(6), 1)
    earlier = dataset(store, labels, embargo=(2, 4))
    assert news_between(store, dataset(store, {**labels, 6: 0}), earlier, "id").rows == 1
