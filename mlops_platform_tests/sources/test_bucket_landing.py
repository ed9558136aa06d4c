"""A landing in a bucket: whole objects, few requests, and stores that fail or refuse."""

import http.server
import threading
import time
from collections.abc import Iterator

import pytest

from mlops_platform.errors import PlatformError, StoreError
from mlops_platform.resources.home import Home
from mlops_platform.sources import sensors, watch
from mlops_platform.sources.folders import BucketFolder
from mlops_platform_tests.sources.buckets import KEY, NOWHERE, SECRET, requests
from mlops_platform_tests.sources.ticks import ASKED, INGESTED, NOTHING, Ticks


def test_an_object_is_whole_so_the_first_sight_asks(on_bucket: Ticks) -> None:
    on_bucket.land("a.parquet")
    assert on_bucket.said(2) == [None, ASKED]
    on_bucket.ingest()
    assert on_bucket.said(2) == [INGESTED, NOTHING]


def test_an_object_that_is_no_parquet_file_is_refused_by_the_ingest_not_waited_for(on_bucket: Ticks) -> None:
    on_bucket.place.put("cut.parquet", b"PAR1 and no end")
    assert on_bucket.said() == [None]
    on_bucket.ingest()
    assert on_bucket.ledger() == ["cut.parquet"] and on_bucket.rests()


def test_a_rewrite_within_the_second_is_noticed_by_its_tag(on_bucket: Ticks) -> None:
    listed = BucketFolder(on_bucket.home.landing / "readings").listed
    for _ in range(20):
        time.sleep(1 - time.time() % 1)
        on_bucket.land("a.parquet", 1)
        before = listed()
        first = on_bucket.asks(1).run_key
        on_bucket.land("a.parquet", 2)
        if listed() == before:
            break
        on_bucket.said(4)
    else:
        pytest.fail("no two writes within one second")
    on_bucket.ingest()
    assert on_bucket.asks(1).run_key != first
    on_bucket.ingest()
    assert on_bucket.ledger()[-1] == "a.parquet" and on_bucket.rests()


def test_a_tick_asks_little_of_a_known_landing(on_bucket: Ticks) -> None:
    for number in range(1_200):
        on_bucket.place.put(f"{number}", b"x", "plan")
    on_bucket.tick()
    on_bucket.tick()
    with requests() as heard:
        on_bucket.tick()
    # Three raw tables, a thousand objects with each request, and nothing is read that is known.
    assert len(heard) == 1 + 1 + 2 and all("list-type=2" in request for request in heard)


def test_by_hand_what_is_remembered_is_not_read_again(on_bucket: Ticks) -> None:
    for number in range(3):
        on_bucket.land(f"{number}.parquet", number)
    found = watch.files_now(on_bucket.home, "pumps", "readings")
    with requests() as heard:
        assert watch.files_now(on_bucket.home, "pumps", "readings") == found
    assert not [request for request in heard if request.startswith("GET") and "list-type" not in request]


def test_folders_below_a_table_and_their_markers_are_no_files(on_bucket: Ticks) -> None:
    for name in ("", "old/a.parquet", "old/", "/a.parquet"):
        on_bucket.place.put(name, b"x PAR1")
    assert on_bucket.said(2) == [INGESTED, NOTHING]


def test_a_store_that_does_not_answer_fails_the_tick_and_loses_nothing(
    on_bucket: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_bucket.land("a.parquet")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", NOWHERE)
        begun = time.monotonic()
        with pytest.raises(StoreError, match="an object store that answers for s3://lake") as failed:
            on_bucket.tick()
        assert time.monotonic() - begun < 30 and SECRET not in str(failed.value) and KEY not in str(failed.value)
    assert on_bucket.said() == [None]


def test_a_store_that_fails_while_it_is_read_keeps_what_was_read(
    on_bucket: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        on_bucket.land(f"{number}.parquet", number)
    read = BucketFolder.read

    def fails(folder: BucketFolder, name: str, *rest: object) -> object:
        if name == "2.parquet":
            raise StoreError(required="an answer", found="none", remedy="try again")
        return read(folder, name, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(BucketFolder, "read", fails)
        with pytest.raises(StoreError):
            on_bucket.tick()
    known = watch.settled(on_bucket.home.landing_memory("pumps"), "readings")
    assert {"0.parquet", "1.parquet"} <= known.keys() < {f"{number}.parquet" for number in range(4)}
    assert on_bucket.asks(1).tags["mlops/new_files"] == "4"


def test_an_object_deleted_while_it_is_read_is_gone(on_bucket: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlops_platform.resources import object_store

    on_bucket.land("a.parquet")
    facts = object_store.listed_objects

    def then_gone(folder: object) -> list:
        found = facts(folder)
        for each in found:
            on_bucket.place.delete(each.name)
        return found

    monkeypatch.setattr(object_store, "listed_objects", then_gone)
    assert on_bucket.said(2) == ["files are arriving", INGESTED]


def test_a_missing_bucket_is_told(on_bucket: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_LANDING", "s3://no-such-lake/x")
    with pytest.raises(StoreError, match="the bucket no-such-lake"):
        on_bucket.tick()


@pytest.fixture
def refusing() -> Iterator[str]:
    """A store that lets nobody in, and repeats to whom."""

    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = f"<Error><Code>AccessDenied</Code><Message>not you, {KEY} {SECRET}</Message></Error>".encode()
            self.send_response(403)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_credentials_that_are_refused_are_told_and_not_shown(
    on_bucket: Ticks, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", refusing)
    with pytest.raises(StoreError, match="credentials that may use the bucket lake") as refused:
        on_bucket.tick()
    assert KEY not in str(refused.value) and SECRET not in str(refused.value)
    assert refused.value.__cause__ is None and "AWS_ACCESS_KEY_ID" in refused.value.remedy


@pytest.mark.parametrize(
    "uri",
    ["gs://lake/x", "ftp://me:hidden@host/x", "s3://me:hidden@lake/x", "s3://", "s3:///x", "s3://lake/x?key=hidden"],
)
def test_a_landing_of_another_form_is_refused_without_repeating_it(home: Home, uri: str) -> None:
    with pytest.raises(PlatformError, match="Remedy") as refused:
        _ = Home(home.path, landing_at=uri).landing
    assert "hidden" not in str(refused.value)


def test_landings_do_not_share_a_memory(home: Home) -> None:
    memories = {Home(home.path, landing_at=at).landing_memory("pumps") for at in ("", "s3://a/x", "s3://b/x")}
    assert len(memories) == 3


@pytest.mark.long
def test_ten_thousand_objects_at_once_take_bounded_ticks_and_are_asked_for_together(on_bucket: Ticks) -> None:
    for number in range(10_000):
        on_bucket.place.put(f"{number}.parquet", f"{number} PAR1".encode(), "plan")
    asked, longest = [], 0.0
    for _ in range(12):
        begun = time.perf_counter()
        asked += on_bucket.tick().run_requests or []
        longest = max(longest, time.perf_counter() - begun)
        if asked:
            break
    assert [request.tags["mlops/new_files"] for request in asked] == ["10000"]
    assert longest < sensors.budget_for(on_bucket.home.landing).seconds + 15
