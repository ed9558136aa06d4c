"""A station's recipe, what it gave before, and by what two recipes differ."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops_platform.manifest import Manifest, Produced, Recipe
from mlops_platform.resources.differences import differences, flat
from mlops_platform.resources.home import Home
from mlops_platform.resources.memo import Looked, look
from mlops_platform.resources.refs import Refs

STATION = "p/m/s"
CODE = ("mlops_platform.manifest:short",)


def asked(refs: Refs, **changed: Any) -> Looked:
    told: dict[str, Any] = {"code": CODE, "config": {"split": "Split(holdout='10d', parts=2)", "n": [1, 2]},
                            "inputs": {"rows": "sha256:a"}, "software": {"polars": "2.1.0"}, **changed}  # fmt: skip
    return look(refs, STATION, **told)


def make(refs: Refs, looked: Looked, content: int = 1) -> Manifest:
    refs.store.keep_code(looked.parts)
    produced = Produced(at="", seconds=0.0, run_id="r", correlation_id="r", actor="tests")
    manifest = Manifest(kind="thing", station=STATION, environment="dev", files={}, table=None,
                        content={"n": content}, recipe=looked.recipe, produced=produced)  # fmt: skip
    refs.write(refs.store.commit(refs.store.stage(), manifest), looked.recipe.key, run_id="r", because=looked.because)
    return manifest


def said(refs: Refs, before: Recipe, now: Recipe) -> list[str]:
    return [str(difference) for difference in differences(refs.store, before, now)]


@pytest.fixture
def refs(home: Home) -> Refs:
    return Refs(home)


def test_a_known_recipe_is_taken_and_an_unknown_one_is_not(refs: Refs) -> None:
    assert asked(refs).found is None
    made = make(refs, asked(refs))
    found = asked(refs)
    assert found.found is not None and found.found.manifest == made and found.because is None
    assert asked(refs, inputs={"rows": "sha256:b"}).found is None


def test_why_an_artifact_of_the_very_recipe_is_not_taken(refs: Refs) -> None:
    make(refs, asked(refs))
    assert asked(refs, redo=True).because == "what it left outside the store is gone or differs"
    assert asked(refs, outside=True).because is None
    make(refs, asked(refs, config={}), content=2)
    assert "of another making" in (asked(refs, outside=True).because or "")
    for path in (refs.home.artifacts / "thing").glob("*/manifest.json"):
        path.unlink()
    assert "no longer whole" in (asked(refs).because or "")


def test_differences_have_names_and_values(refs: Refs) -> None:
    before = asked(refs).recipe
    assert said(refs, before, before) == []
    other = asked(refs, config={"split": "Split(holdout='11d', parts=2)", "n": [1, 3]}, software={"polars": "2.2.0"},
                  inputs={"rows": "sha256:b", "more": "sha256:c"}).recipe  # fmt: skip
    assert said(refs, before, other) == [
        "configuration n.1: 2 -> 3",
        "configuration split.holdout: '10d' -> '11d'",
        "software polars: 2.1.0 -> 2.2.0",
        "input more: none -> c",
        "input rows: a -> b",
    ]


def test_a_difference_of_code_names_the_function(refs: Refs) -> None:
    before, now = asked(refs), asked(refs, code=("mlops_platform.manifest:digest_of",))
    for looked in (before, now):
        refs.store.keep_code(looked.parts)
    found = said(refs, before.recipe, now.recipe)
    assert "code of mlops_platform.manifest:short no longer reached" in found
    assert "code of mlops_platform.manifest:canonical_json reached now" in found
    edited = {**now.parts, "mlops_platform.manifest:canonical_json": "sha256:other"}
    refs.store.keep_code(edited)
    changed = replace(now.recipe, code="sha256:new")
    assert [str(d) for d in differences(refs.store, now.recipe, changed, edited)] == [
        "code of mlops_platform.manifest:canonical_json changed"
    ]


def test_a_home_that_kept_no_parts_still_says_that_code_changed(refs: Refs) -> None:
    before = asked(refs).recipe
    assert said(refs, before, replace(before, code="sha256:new")) == ["code of mlops_platform.manifest:short changed"]


def test_the_story_tells_the_last_asking_and_the_last_making(refs: Refs) -> None:
    first = asked(refs)
    make(refs, first)
    second = asked(refs, config={})
    # Equal bytes by another recipe: the manifest keeps the first one, the story the second.
    manifest = make(refs, second)
    refs.write(manifest, second.recipe.key, hit=True, run_id="later")
    story = refs.story(STATION)
    assert story is not None and story.made is not None
    assert (story.last.hit, story.last.before, story.last.run_id) == (True, second.recipe.key, "later")
    assert (story.made.recipe, story.made.before) == (second.recipe.key, first.recipe.key)
    assert refs.recipe(STATION) == second.recipe and refs.store.recipe(first.recipe.key) == first.recipe


def test_a_forgotten_station_stands_for_nothing_and_keeps_its_story(refs: Refs) -> None:
    first = asked(refs)
    make(refs, first)
    refs.forget(STATION)
    assert refs.find(STATION) is None and refs.stations() == [] and refs.story(STATION) is None
    make(refs, asked(refs, config={}))
    story = refs.story(STATION)
    assert story is not None and story.last.before == first.recipe.key


@pytest.mark.parametrize("text", ["Split", "f(1)", "f(", "plain (text)"])
def test_what_is_no_declaration_stays_a_text(text: str) -> None:
    assert flat({"a": text}) == {"a": text}


def test_nothing_is_written_by_looking(refs: Refs) -> None:
    before = sorted(refs.home.root.rglob("*"))
    asked(refs)
    assert sorted(Path(refs.home.root).rglob("*")) == before
