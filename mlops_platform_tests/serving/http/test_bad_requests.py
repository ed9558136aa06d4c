"""Requests that cannot be answered: each a clear refusal, never a failure of the service."""

import gzip
import json
from io import BytesIO
from typing import Any

import httpx
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PREDICT, INVOCATIONS = "/v1/models/pump_repair/predict", "/invocations"
ARROW, JSON = "application/vnd.apache.arrow.stream", "application/json"
PARQUET = "application/vnd.apache.parquet"
ROW: dict[str, Any] = {"pump": "P0", "weekday": 4}
TIME = {"event_timestamp": "2024-05-09T07:00:00Z"}


def refused(answer: httpx.Response, status: int, *words: str) -> dict[str, str]:
    """A refusal in the form that OpenAPI promises, which holds these words."""
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert sorted(told) == ["found", "remedy", "required"]
    assert all(type(text) is str and text for text in told.values())
    for word in words:
        assert word in answer.text
    return told


def entities(**changed: Any) -> bytes:
    """A body of two rows, the second changed."""
    return json.dumps({"entities": [ROW, {**ROW, **changed}]}).encode()


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (entities(weekday="hot"), 422, ["entities[1].weekday", "a whole number", "hot"]),
        (entities(weekday=1.5), 422, ["entities[1].weekday", "1.5"]),
        (entities(weekday=True), 422, ["entities[1].weekday", "True"]),
        (entities(weekday=[1]), 422, ["entities[1].weekday"]),
        (entities(weekday={"a": 1}), 422, ["entities[1].weekday"]),
        (entities(weekday=2**63), 422, ["entities[1].weekday", "9223372036854775808"]),
        (entities(weekday=-(2**63) - 1), 422, ["entities[1].weekday"]),
        (entities(weekday=10**400), 422, ["entities[1].weekday"]),
        (entities(weekday=1e300), 422, ["entities[1].weekday"]),
        (entities(pump=7), 422, ["entities[1].pump", "text"]),
        (entities(pump=None), 422, ["entities[1].pump", "None"]),
        (entities(pump="x" * 1001), 422, ["entities[1].pump", "1000"]),
        (b'{"entities": [{"pump": "\\ud800", "weekday": 1}]}', 422, ["entities.pump", "surrogate"]),
        (entities(speed=1), 422, ["entities[1]", "unknown column", "speed"]),
        (b'{"entities": [{"pump": "P0"}]}', 422, ["entities[0]", "weekday"]),
        (b'{"entities": [7]}', 422, ["entities[0]", "an object"]),
        (b'{"entities": []}', 422, ["at least one"]),
        (b'{"entities": {"pump": "P0"}}', 422, ["a list"]),
        (b'{"entities": null}', 422, ["a list"]),
        (b"{}", 422, ["exactly one of entities, rows, features"]),
        (b'{"entities": [], "rows": []}', 422, ["exactly one"]),
        (b'{"rows": [{"pump": "P0", "at": "2024-05-09T06:00:00Z"}], "other": 1}', 422, ["exactly one"]),
        (b'{"entities": [{"pump": "P0", "weekday": 1}], "return_features": "yes"}', 422, ["return_features"]),
        *[
            (entities(event_timestamp=time), 422, ["entities[1].event_timestamp", "2013-07-01T12:00:00Z"])
            for time in ("today", "2024-02-30T00:00:00Z", "2024-05-09T07:00:00", "2024-05-09", 1715238000, "",
                         "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59Z", "2024-05-09T07:00:60Z")
        ],
        (b'{"features": [{"pump": "P0", "weekday": 1, "pump_state__temperature": 1e39, "pump_state__vibration": 1}]}',
         422, ["features[0].pump_state__temperature", "float32"]),
        (b'{"features": [{"pump": "P0", "weekday": 1, "pump_state__temperature": 1e999, "pump_state__vibration": 1}]}',
         422, ["features[0].pump_state__temperature", "inf"]),
        (b'{"features": [{"pump": "P0", "weekday": 1, "pump_state__temperature": 1}]}', 422, ["pump_state__vibration"]),
        (b'{"entities": [{"pump": "P0", "weekday": NaN}]}', 400, ["NaN", "null"]),
        (b'{"entities": [{"pump": "P0", "weekday": Infinity}]}', 400, ["Infinity"]),
        (b'{"entities": [{"pump": "P0", "weekday": -Infinity}]}', 400, ["-Infinity"]),
        (b'{"entities": [{"pump": "P0", "pump": "P1", "weekday": 1}]}', 400, ["pump", "twice"]),
        (b'{"entities": [], "entities": []}', 400, ["entities", "twice"]),
        (b'{"entities": [{"pump": "P0", "weekday": ' + b"9" * 5000 + b"}]}", 400, ["too many digits"]),
        (b"[" * 20_000, 400, ["nesting"]),
        (b'{"a":' * 15_000, 400, ["nesting"]),
        (b'{"entities": [{"pump": "\xff\xfe", "weekday": 1}]}', 400, ["UTF-8"]),
        (entities().decode().encode("utf-16"), 400, ["UTF-8"]), (entities().decode().encode("utf-32"), 400, ["UTF-8"]),
        (entities().decode().encode("utf-16-le"), 400, []), (b'{"\xed\xa0\x80": 1}', 400, ["UTF-8"]),
        (b'{"entities": [{"pump": "P\x00", "weekday": 1}]}', 400, ["control character"]),
        (b'{"entities": [', 400, ["at character"]),
        (b"", 400, ["at character 0"]),
        (b"[]", 400, ["list"]),
        (b"null", 400, ["NoneType"]),
        (b"\x00\x01\x02", 400, []),
        (b'{"entities": [{"pump": "P0", "weekday": 1}]} trailing', 400, ["Extra data"]),
        (json.dumps({"entities": [ROW] * 21}).encode(), 413, ["at most 20 rows", "21"]),
        (b" " * 100_001, 413, ["100,000 bytes"]),
    ],
)  # fmt: skip
def test_a_bad_json_body_is_refused(client: httpx.Client, body: bytes, status: int, words: list[str]) -> None:
    refused(client.post(PREDICT, content=body, headers={"content-type": JSON}), status, *words)


def test_a_bad_date_that_the_projects_function_meets_is_the_callers(client: httpx.Client) -> None:
    rows = [{"pump": "P0", "at": None}]
    refused(client.post(PREDICT, json={"rows": rows}), 422, "rows[0].at")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "",
                                  "application/json; charset=latin-1", "json", "application/json2"])  # fmt: skip
def test_another_content_type_is_refused(client: httpx.Client, kind: str) -> None:
    headers = {"content-type": kind} if kind else {}
    for path in (PREDICT, INVOCATIONS):
        refused(client.post(path, content=entities(), headers=headers), 415, JSON)


@pytest.mark.parametrize("kind", ["application/json;charset=UTF-8", 'Application/JSON; charset="utf-8"'])
def test_a_content_type_may_name_its_character_set(client: httpx.Client, kind: str) -> None:
    assert client.post(PREDICT, content=entities(), headers={"content-type": kind}).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip", "x"])
def test_a_packed_body_is_refused_before_it_is_unpacked(client: httpx.Client, encoding: str) -> None:
    for path in (PREDICT, INVOCATIONS):
        headers = {"content-type": JSON, "content-encoding": encoding}
        answer = client.post(path, content=gzip.compress(entities()), headers=headers)
        refused(answer, 415, "Content-Encoding", encoding)
        assert answer.headers["accept-encoding"] == "identity"


def test_a_mark_of_the_byte_order_and_an_encoding_that_is_none_are_taken(client: httpx.Client) -> None:
    headers = {"content-type": JSON, "content-encoding": "identity"}
    body = b"\xef\xbb\xbf" + entities()
    assert client.post(PREDICT, content=body, headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/docs/", "/v1/models/", "/livez/", PREDICT + "/"])
def test_a_slash_too_many_is_an_unknown_path_and_leads_nowhere(client: httpx.Client, path: str) -> None:
    refused(client.get(path, follow_redirects=False), 404)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [("*/*", JSON), (f"{ARROW}, {JSON}", ARROW), (f"{ARROW};q=0, {JSON}", JSON), (f"{ARROW};q=0.0,*/*", JSON),
     (f"{ARROW} ; q=0.5", ARROW)],
)  # fmt: skip
def test_an_answer_is_in_arrow_where_that_is_taken(client: httpx.Client, accept: str, kind: str) -> None:
    answer = client.post(PREDICT, content=entities(), headers={"content-type": JSON, "accept": accept})
    assert answer.headers["content-type"] == kind


def test_an_answer_in_another_form_is_refused(client: httpx.Client) -> None:
    headers = {"content-type": JSON, "accept": "text/html"}
    refused(client.post(PREDICT, content=entities(), headers=headers), 406, "text/html")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/models/nothing/predict", 404), ("GET", "/v1/models/nothing", 404), ("GET", "/nowhere", 404),
        ("GET", PREDICT, 405), ("DELETE", "/v1/models", 405), ("PUT", "/invocations", 405), ("POST", "/readyz", 405),
        ("POST", "/v1/models/pump_repair/other", 404), ("GET", "/v1/models/%00", 404), ("GET", "/v1/models/a%2Fb", 404),
        ("GET", "/../../etc/passwd", 404), ("GET", "/v1/models/%ff%fe", 404),
    ],
)  # fmt: skip
def test_an_unknown_path_or_method_is_refused(client: httpx.Client, method: str, path: str, status: int) -> None:
    answer = client.request(method, path)
    refused(answer, status)
    if status == 405:
        assert answer.headers["allow"]


def arrow(frame: pl.DataFrame | pa.Table) -> bytes:
    """A stream."""
    table = frame.to_arrow() if isinstance(frame, pl.DataFrame) else frame
    target = BytesIO()
    with pa.ipc.new_stream(target, table.schema) as writer:
        writer.write_table(table)
    return target.getvalue()


def ask(client: httpx.Client, content: bytes, kind: str = "entities") -> httpx.Response:
    """Asks in Arrow."""
    return client.post(PREDICT, params={"kind": kind}, content=content, headers={"content-type": ARROW})


GOOD = pl.DataFrame({"pump": ["P0", "P1"], "weekday": [1, None]})
VALUES = GOOD.with_columns(pump_state__temperature=pl.lit(60.0), pump_state__vibration=pl.lit(1))


@pytest.mark.parametrize(
    ("frame", "kind", "words"),
    [
        (GOOD.with_columns(weekday=pl.lit("hot")), "entities", ["entities.weekday", "int64", "String"]),
        (GOOD.with_columns(weekday=pl.lit(1.0)), "entities", ["entities.weekday", "Float64"]),
        (GOOD.with_columns(pump=pl.lit(None, dtype=pl.String)), "entities", ["entities[0].pump"]),
        (GOOD.with_columns(pump=pl.lit("x" * 1001)), "entities", ["entities[0].pump"]),
        (GOOD.with_columns(speed=1), "entities", ["unknown column", "speed"]),
        (GOOD.drop("weekday"), "entities", ["weekday", "no such column"]),
        (GOOD.with_columns(weekday=pl.lit([1])), "entities", ["plain values"]),
        (GOOD.with_columns(event_timestamp=pl.datetime(2024, 5, 9)), "entities", ["a time zone"]),
        (GOOD.with_columns(event_timestamp=pl.datetime(1800, 5, 9, time_zone="UTC")), "entities", ["1900"]),
        (GOOD.clear(), "entities", ["at least one row"]),
        (GOOD, "questions", ["entities, rows, features"]),
        (VALUES.with_columns(pump_state__temperature=pl.lit(float("nan"))), "features", ["temperature", "NaN", "null"]),
        (VALUES.with_columns(pump_state__temperature=pl.lit(float("inf"))), "features", ["temperature", "inf"]),
        (VALUES.with_columns(pump_state__temperature=pl.lit(1e39)), "features", ["temperature", "float32"]),
        (pl.concat([GOOD] * 11), "entities", ["at most 20 rows"]),
    ],
)  # fmt: skip
def test_a_bad_arrow_body_is_refused(client: httpx.Client, frame: pl.DataFrame, kind: str, words: list[str]) -> None:
    refused(ask(client, arrow(frame), kind), 413 if "rows" in words[-1] and frame.height > 20 else 422, *words)


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_arrow_is_refused_before_it_is_unpacked(client: httpx.Client, compression: str) -> None:
    target = BytesIO()
    table = GOOD.to_arrow()
    with pa.ipc.new_stream(target, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    refused(ask(client, target.getvalue()), 400, "compressed")


@pytest.mark.parametrize("query", [{"kind": "questions"}, {"return_features": "perhaps"}])
def test_an_unknown_value_of_the_query_is_refused_beside_json_too(client: httpx.Client, query: dict[str, str]) -> None:
    answer = client.post(PREDICT, params=query, content=entities(), headers={"content-type": JSON})
    refused(answer, 422, next(iter(query)))


def test_parquet_of_too_many_rows_is_refused_by_its_footer(client: httpx.Client) -> None:
    target = BytesIO()
    pl.DataFrame({"pump": ["P0"] * 100_000, "weekday": 1}).write_parquet(target)
    answer = client.post(INVOCATIONS, content=target.getvalue(), headers={"content-type": PARQUET})
    refused(answer, 413, "100,000")


def test_arrow_of_a_column_twice_is_refused(client: httpx.Client) -> None:
    table = pa.table([pa.array(["P0"]), pa.array(["P1"]), pa.array([1])], names=["pump", "pump", "weekday"])
    refused(ask(client, arrow(table)), 400, "twice")


def test_arrow_takes_other_widths_and_categories_of_the_same_kind(client: httpx.Client) -> None:
    frame = GOOD.with_columns(pl.col("weekday").cast(pl.UInt8), pl.col("pump").cast(pl.Categorical))
    assert ask(client, arrow(frame)).status_code == 200
    assert ask(client, arrow(frame.with_columns(weekday=None))).status_code == 200


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_broken_arrow_is_refused_and_never_a_failure(client: httpx.Client, data: st.DataObject) -> None:
    whole = arrow(VALUES)
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole)
    for _ in range(data.draw(st.integers(1, 8))):
        if broken:
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    answer = ask(client, bytes(broken), "features")
    # Some bytes may change and leave a table that says something else.
    assert answer.status_code in (200, 400, 413, 422), answer.text


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, ["dataframe_split"]), ({"rows": []}, 400, ["dataframe_split"]),
        ({"dataframe_split": [], "inputs": []}, 400, ["exactly one"]),
        ({"dataframe_split": {"columns": ["pump"]}}, 422, ["data"]),
        ({"dataframe_split": {"columns": ["pump", "pump"], "data": [[1, 2]]}}, 422, ["unique"]),
        ({"dataframe_split": {"columns": ["pump", "weekday"], "data": [["P0"]]}}, 422, ["a list of 2"]),
        ({"dataframe_split": {"columns": [1], "data": [["P0"]]}}, 422, ["unique names"]),
        ({"dataframe_records": {}}, 422, ["at least one object"]), ({"dataframe_records": [1]}, 422, ["object"]),
        ({"dataframe_records": [ROW, {"pump": "P1"}]}, 422, ["same columns"]),
        ({"dataframe_records": [{"pump": "P1"}]}, 422, ["weekday"]),
        ({"dataframe_records": [{**ROW, "weekday": "hot"}]}, 422, ["dataframe_records[0].weekday"]),
        ({"dataframe_records": [ROW] * 21}, 413, ["20 rows"]),
        ({"inputs": {"pump": ["P0"], "weekday": [1, 2]}}, 422, ["one length"]), ({"inputs": 5}, 422, ["one length"]),
        ({"instances": [[1, 2]]}, 422, ["object"]), ({"dataframe_records": [ROW], "params": {"a": 1}}, 422, ["params"]),
    ],
)  # fmt: skip
def test_a_bad_body_in_mlflows_forms_is_refused(client: httpx.Client, body: Any, status: int, words: list[str]) -> None:
    refused(client.post(INVOCATIONS, json=body), status, *words)


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"pump,weekday\nP0,hot\n", 422), (b"pump\nP0\n", 422), (b"pump,weekday\n", 422), (b"", 400), (b"\xff\xfe,", 400),
     (b"pump,weekday\nP0,1,2,3\n", 400), (b"pump,weekday\nP0,1e400\n", 422), (b"pump,weekday\nP0,inf\n", 422),
     (b"pump,pump\nP0,P1\n", 422), (b"\x00\x00\x00", 400)],
)  # fmt: skip
def test_bad_csv_is_refused(client: httpx.Client, body: bytes, status: int) -> None:
    answer = client.post(INVOCATIONS, content=body, headers={"content-type": "text/csv"})
    assert answer.status_code in {status, 422}, answer.text
    refused(answer, answer.status_code)


def test_bad_parquet_is_refused(client: httpx.Client) -> None:
    headers = {"content-type": "application/vnd.apache.parquet"}
    refused(client.post(INVOCATIONS, content=b"PAR1 no", headers=headers), 400, "Parquet")
