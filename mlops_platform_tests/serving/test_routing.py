"""The division of callers is sticky, even, the same in every process, and moves few when the share changes."""

import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops_platform.errors import PlatformError
from mlops_platform.serving.routing import canary_rows, places
from mlops_platform.spec import Rollout

MANY = pl.DataFrame({"pump": [f"P{number}" for number in range(20_000)], "site": ["a", "b"] * 10_000})


def canary(share: float, *sticky: str) -> Rollout:
    return Rollout(kind="canary", share=share, sticky=sticky)


@settings(max_examples=40, deadline=None)
@given(share=st.floats(0.01, 0.99), salt=st.text(max_size=8))
def test_the_share_is_met_within_its_statistical_bounds(share: float, salt: str) -> None:
    met = canary_rows(canary(share), MANY, salt=salt).mean()
    # Five standard deviations: once in a million.
    assert abs(met - share) < 5 * np.sqrt(share * (1 - share) / MANY.height)


def test_places_are_even_and_of_another_rollout_others() -> None:
    one, other = (places(MANY, (), salt=salt) for salt in ("one", "other"))
    assert np.abs(np.histogram(one, bins=10, range=(0, 1))[0] / MANY.height - 0.1).max() < 0.02
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.05 and one.max() < 1 and one.min() >= 0


@given(shares=st.tuples(st.floats(0.01, 0.98), st.floats(0.01, 0.98)))
def test_a_changed_share_moves_only_what_it_must(shares: tuple[float, float]) -> None:
    less, more = (canary_rows(canary(share), MANY.head(500), salt="x") for share in sorted(shares))
    assert not (less & ~more).any()


def test_an_entity_stays_on_its_side() -> None:
    asked = pl.concat([MANY.head(50), MANY.head(50).reverse()])
    found = canary_rows(canary(0.5), asked, salt="x")
    assert (found[:50] == found[50:][::-1]).all()
    assert (canary_rows(canary(0.5), asked.select("site", "pump"), salt="x") == found).all()
    by_site = canary_rows(canary(0.5, "site"), MANY, salt="y")
    assert len(set(by_site[::2])) == len(set(by_site[1::2])) == 1


def test_a_number_is_the_same_key_whatever_its_width() -> None:
    wide = pl.DataFrame({"unit": [1, 2, None]})
    narrow = wide.cast(pl.Int32)
    assert (places(wide, (), salt="x") == places(narrow, (), salt="x")).all()
    text = places(pl.DataFrame({"unit": ["1", "null", None]}), (), salt="x")
    assert text[0] == places(wide, (), salt="x")[0] and text[1] != text[2]


def test_every_process_divides_alike() -> None:
    program = (
        "import polars as pl\nfrom mlops_platform.serving.routing import places\n"
        "print(places(pl.DataFrame({'pump': ['P1', 'P2']}), (), salt='x').tolist())"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    expected = [0.66532797235536, 0.1411673485460259]
    assert said.strip() == str(places(pl.DataFrame({"pump": ["P1", "P2"]}), (), salt="x").tolist()) == str(expected)


def test_a_shadow_answers_nobody_and_an_unknown_key_is_a_mistake() -> None:
    assert not canary_rows(Rollout(), MANY, salt="x").any()
    with pytest.raises(PlatformError, match="sticky keys town"):
        canary_rows(canary(0.5, "town"), MANY, salt="x")
