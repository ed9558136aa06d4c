"""``why`` over HTTP: the schema holds, refusals are told, and nothing on the page can become markup."""

import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_platform.provenance.html import link, table, tag
from mlops_platform.provenance.page import page
from mlops_platform.provenance.router import Explanation, Untold
from mlops_platform.provenance.walk import why
from mlops_platform.resources.delta import DeltaDoor
from mlops_platform.resources.home import Home
from mlops_platform_tests.lineage.pumps.project import PROJECT
from mlops_platform_tests.provenance.conftest import Client, answer, feature_row

HOSTILE = "<script>alert('1')</script>\"><img src=x onerror=alert(1)> & \N{RIGHT-TO-LEFT OVERRIDE}"


class Seen(HTMLParser):
    """Elements with their attributes, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_live_and_batch_answers_are_told_in_the_schema_that_is_published(live: Home, client: Client) -> None:
    batch = DeltaDoor(live.prediction_log("pumps", "pump_repair")).scan().collect()["prediction_id"][0]
    for asked, mode in ((answer(live, 1, feature_row(live)), "online"), (batch, "batch")):
        response = client.get(f"/v1/predictions/{asked}/why")
        told = Explanation.model_validate(response.json())
        assert (response.status_code, told.mode, told.prediction["prediction_id"]) == (200, mode, asked)
        assert response.headers["cache-control"] == "no-store"
    documented = client.get("/openapi.json").json()["paths"]["/v1/predictions/{prediction_id}/why"]["get"]["responses"]
    assert set(documented) >= {"200", "404", "410", "503"}


@pytest.mark.parametrize("asked", ["p-0", "..%2f..%2fetc", "%00", "o-%27%20OR%201=1", "%E2%98%83", "x" * 150])
@pytest.mark.parametrize("suffix", ["", "/why"])
def test_an_unknown_id_is_a_404_that_says_what_to_do(client: Client, asked: str, suffix: str) -> None:
    response = client.get(f"/v1/predictions/{asked}{suffix}")
    assert response.status_code == 404
    if not suffix and "text/html" in response.headers["content-type"]:
        assert "cannot be explained" in response.text
    elif "required" in response.json():
        assert "mlops status" in Untold.model_validate(response.json()).remedy


def test_a_table_that_is_gone_is_410_and_what_was_edited_503_without_folders(live: Home, client: Client) -> None:
    asked = answer(live, 1, feature_row(live))
    dataset = why(live, PROJECT, asked).dataset
    assert dataset is not None
    manifest = live.artifacts / "dataset" / dataset.digest.removeprefix("sha256:") / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"rows":', b'"rowz":', 1))
    edited = client.get(f"/v1/predictions/{asked}/why")
    manifest.unlink()
    shutil.rmtree(live.root / "tables" / "pumps" / "raw" / "readings")
    gone, shown = client.get(f"/v1/predictions/{asked}/why"), client.get(f"/v1/predictions/{asked}")
    assert (edited.status_code, gone.status_code, shown.status_code) == (503, 410, 410)
    assert str(live.path) not in edited.text + gone.text + shown.text


def test_the_page_tells_the_walk_and_needs_nothing_from_elsewhere(live: Home, client: Client) -> None:
    asked = answer(live, 1, feature_row(live), role="shadow")
    response = client.get(f"/v1/predictions/{asked}")
    seen = Seen(response.text)
    names = {name for name, _ in seen.elements}
    assert names.isdisjoint({"script", "iframe", "object", "img", "link", "form"})
    assert not any(key.startswith("on") or key == "src" for _, told in seen.elements for key in told)
    assert "default-src 'none'" in response.headers["content-security-policy"]
    told = " ".join(seen.texts)
    for text in ("nobody was shown this answer", "recomputed: equal", "readings-2024-05.parquet", "Not recorded",
                 "conditions met", "promote", "<b>P1</b>"):  # fmt: skip
        assert text in told
    anchors = {attributes["href"] for name, attributes in seen.elements if name == "a"}
    assert {f"{asked}/why", "#features", "#version", "#question"} <= anchors
    places = {attributes.get("id") for _, attributes in seen.elements}
    assert {str(anchor)[1:] for anchor in anchors if str(anchor).startswith("#")} <= places
    assert any(re.fullmatch(r"http://127.0.0.1:3000/runs/[0-9a-f-]+", str(anchor)) for anchor in anchors)


def test_hostile_texts_anywhere_stay_texts(live: Home) -> None:
    found = why(live, PROJECT, answer(live, 1, feature_row(live)))
    move, row = replace(found.moves[0], reason=HOSTILE, actor=HOSTILE), found.features[0]
    run = replace(found.runs[0], mlflow="javascript:alert(1)", actor=HOSTILE)
    bad = replace(
        found, prediction={**found.prediction, "example_id": HOSTILE, "model": HOSTILE}, moves=[move], runs=[run],
        inputs={HOSTILE: HOSTILE}, missing=[HOSTILE], links={"version": "data:text/html,x"},
        features=[replace(row, view=HOSTILE, keys={HOSTILE: HOSTILE}, values={HOSTILE: HOSTILE}, status=HOSTILE)],
    )  # fmt: skip
    clean, hostile = Seen(page(found)), Seen(page(bad))
    assert {name for name, _ in hostile.elements} <= {name for name, _ in clean.elements}
    assert "".join(hostile.texts).count("<script>alert") >= 10
    assert not any(str(told.get("href", "")).startswith(("javascript", "data")) for _, told in hostile.elements)


@given(st.text(), st.text())
def test_whatever_text_comes_is_the_text_that_is_read(text: str, url: str) -> None:
    seen = Seen(table((text,), [(tag("b", text, title=text), link(text, url))]).text)
    assert {name for name, _ in seen.elements} <= {"div", "table", "thead", "tbody", "tr", "th", "td", "b", "span", "a"}
    wanted = text.replace("\r\n", "\n").replace("\r", "\n")
    assert "".join(seen.texts).replace("\r\n", "\n").replace("\r", "\n") == wanted * 3


def test_the_words_of_an_older_home_do_not_need_its_log_columns(pumps_home: Path) -> None:
    home = Home(pumps_home)
    asked = DeltaDoor(home.prediction_log("pumps", "pump_repair")).scan().collect()["prediction_id"][0]
    assert "recomputed: equal" in page(why(home, PROJECT, asked))
