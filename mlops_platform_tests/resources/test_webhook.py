"""Each event reaches a real receiver, signed, at least once, in order; nothing that is secret is told elsewhere."""

import ipaddress
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from mlops_platform.errors import PlatformError
from mlops_platform.resources import webhook
from mlops_platform.resources.home import Home
from mlops_platform.resources.outbox import Event, Notification, Outbox, Teller
from mlops_platform.resources.webhook import MOST_TRIES, Webhook, after, deliver
from mlops_platform_tests.resources.receiver import SECRET, Receiver, drip, receiving, redirected, silent, verified

START = datetime.now(UTC)
DAY = timedelta(days=1)


def event(key: str = "1", model: str = "pump_repair", minute: int = 0) -> Event:
    return Event(kind="promotion", key=key, project="pumps", environment="dev", model=model, reason="better by +0.02",
                 at=(START + timedelta(minutes=minute)).isoformat(), by="ada", asset=f"pumps/{model}/champion",
                 version={"about": "2", "from": "1", "to": "2"}, run_id="a-run")  # fmt: skip


def told(*events: Event) -> Teller:
    return Teller(name="tests", mark=lambda: str(len(events)), events=lambda _: events)


@pytest.fixture
def outbox(home: Home) -> Outbox:
    found = Outbox(home, "pumps")
    found.look([told(event())], START)
    return found


def hook(receiver: Receiver, secret: str = SECRET) -> Webhook:
    return Webhook(url=receiver.url, secret=secret)


def at(moment: datetime, outbox: Outbox, target: Webhook | None) -> dict[str, int]:
    return dict(deliver(outbox, target, clock=lambda: moment))


def the(outbox: Outbox) -> Notification:
    (found,) = outbox.newest(2)
    return found


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_a_post_is_signed_and_tells_the_event(outbox: Outbox) -> None:
    with receiving() as receiver:
        assert dict(deliver(outbox, hook(receiver))) == {"delivered": 1}
    (request,) = receiver.requests
    assert request.path == "/hook?token=hidden" and request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Mlops-Id"] == request.event["id"] == event().id
    assert {name: request.event[name] for name in ("schema", "kind", "model", "environment", "by", "links")} == {
        "schema": 1, "kind": "promotion", "model": "pump_repair", "environment": "dev", "by": "ada",
        "links": {"dagster_run": "/runs/a-run"},
    }  # fmt: skip
    assert verified(request.headers, request.body, SECRET, time.time())
    assert not verified(request.headers, request.body + b" ", SECRET, time.time())
    assert not verified(request.headers, request.body, "another", time.time())
    assert not verified(request.headers, request.body, SECRET, time.time() + 301)
    assert (the(outbox).state, the(outbox).last, outbox.waiting()) == ("delivered", "HTTP 200", [])


def test_errors_are_tried_again_later_and_the_body_stays_the_same(outbox: Outbox) -> None:
    with receiving(500, 503) as receiver:
        assert at(START, outbox, hook(receiver)) == {"waiting": 1}
        assert at(START, outbox, hook(receiver)) == {}, "it is not due yet"
        assert at(START + timedelta(seconds=11), outbox, hook(receiver)) == {"waiting": 1}
        assert at(START + timedelta(seconds=60), outbox, hook(receiver)) == {"delivered": 1}
        assert at(START + DAY, outbox, hook(receiver)) == {}
    assert len({request.body for request in receiver.requests}) == 1 and len(receiver.requests) == 3


def test_a_receiver_that_is_not_there_is_tried_again(outbox: Outbox) -> None:
    target = Webhook(url=f"http://127.0.0.1:{closed_port()}", secret=SECRET)
    assert dict(deliver(outbox, target)) == {"waiting": 1}
    assert the(outbox).last.startswith("ConnectionRefusedError")


@pytest.mark.parametrize("slow", [silent, drip])
def test_a_slow_receiver_is_left_after_a_while(
    outbox: Outbox, slow: webhook.Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "_SECONDS_A_POST", 0.4)
    begun = time.monotonic()
    with receiving(slow) as receiver:
        assert dict(deliver(outbox, hook(receiver))) == {"waiting": 1}
        assert time.monotonic() - begun < 2


def certificate(folder: Path) -> Path:
    """A certificate of this machine's address, signed by itself, and its key in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "receiver")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    extension = x509.Extension(address.oid, critical=False, value=address)
    unsigned = x509.CertificateBuilder(
        issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1,
        not_valid_before=START - DAY, not_valid_after=START + DAY, extensions=[extension],
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "receiver.pem"
    path.write_bytes(unsigned.sign(key, SHA256()).public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.mark.parametrize("trusted", [True, False])
def test_over_tls_the_receivers_certificate_is_verified(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trusted: bool
) -> None:
    path = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with receiving(tls=tls) as receiver:
        assert dict(deliver(outbox, hook(receiver))) == {"delivered" if trusted else "waiting": 1}
        assert len(receiver.requests) == trusted
    assert trusted or the(outbox).last.startswith("SSLCertVerificationError")


def test_a_receiver_that_drips_over_tls_is_left_too(
    outbox: Outbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(path)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setattr(webhook, "_SECONDS_A_POST", 0.4)
    begun = time.monotonic()
    with receiving(drip, tls=tls) as receiver:
        assert dict(deliver(outbox, hook(receiver))) == {"waiting": 1}
        assert time.monotonic() - begun < 2 and len(receiver.requests) == 1


def test_a_redirect_is_not_followed(outbox: Outbox) -> None:
    with receiving() as elsewhere, receiving(lambda handler: redirected(handler, elsewhere.port)) as receiver:
        assert dict(deliver(outbox, hook(receiver))) == {"waiting": 1}
        assert elsewhere.requests == []
    assert "redirect" in the(outbox).last


def test_delays_grow_to_hours_and_end(outbox: Outbox) -> None:
    found, now, delays = the(outbox), START, []
    while found.state == "waiting":
        found = after(found, 500, now)
        if found.next_try:
            delays.append((datetime.fromisoformat(found.next_try) - now).total_seconds())
            now = datetime.fromisoformat(found.next_try)
    assert found.tries == MOST_TRIES and found.state == "undelivered"
    assert all(5 * 2**n <= delay <= 10 * 2**n for n, delay in enumerate(delays[:10]))
    assert max(delays) <= 4 * 3600 and now - START < 3 * DAY


def test_after_three_days_it_is_kept_as_undelivered(outbox: Outbox) -> None:
    with receiving(500) as receiver:
        assert at(START, outbox, hook(receiver)) == {"waiting": 1}
        assert at(START + 3 * DAY + timedelta(hours=1), outbox, hook(receiver)) == {"undelivered": 1}
    assert (the(outbox).state, the(outbox).last, the(outbox).tries) == ("undelivered", "HTTP 500", 1)


def test_with_no_address_an_event_waits_and_an_address_set_in_time_gets_it(outbox: Outbox) -> None:
    assert at(START + DAY, outbox, None) == {}
    with receiving() as receiver:
        assert at(START + 2 * DAY, outbox, hook(receiver)) == {"delivered": 1}


def test_events_of_one_model_keep_their_order_and_do_not_overtake(home: Home) -> None:
    outbox = Outbox(home, "pumps")
    outbox.look([told(*(event(str(n), minute=n) for n in (3, 1, 2)), event("other", model="valve"))], START + DAY)
    with receiving() as receiver:
        receiver.answers = [500, 500]
        assert at(START + DAY, outbox, hook(receiver)) == {"waiting": 2}, "the first of each model"
        assert at(START + 2 * DAY, outbox, hook(receiver)) == {"delivered": 4}
    posted = [request.event for request in receiver.requests]
    times = [each["at"] for each in posted[2:] if each["model"] == "pump_repair"]
    assert times == sorted(times) and len(times) == 3


def test_one_that_the_receiver_refuses_holds_back_no_other(home: Home) -> None:
    outbox = Outbox(home, "pumps")
    outbox.look([told(*(event(str(n), minute=n) for n in (1, 2)))], START)
    with receiving(422) as receiver:
        assert at(START, outbox, hook(receiver)) == {"waiting": 1, "delivered": 1}
        assert at(START + timedelta(minutes=1), outbox, hook(receiver)) == {"delivered": 1}


def test_no_post_is_begun_when_the_time_is_up(home: Home) -> None:
    outbox = Outbox(home, "pumps")
    outbox.look([told(*(event(str(n)) for n in range(5)))], START)
    with receiving() as receiver:
        assert deliver(outbox, hook(receiver), clock=lambda: START, seconds=-1).total() == 0
        assert receiver.requests == []
    assert len(outbox.waiting()) == 5


_KILLED = """
import sys
from pathlib import Path
from mlops_platform.resources.home import Home
from mlops_platform.resources.outbox import Outbox
from mlops_platform.resources.webhook import Webhook, deliver
deliver(Outbox(Home(Path(sys.argv[1])), "pumps"), Webhook(url=sys.argv[2], secret=sys.argv[3]))
"""


def test_who_is_killed_before_it_notes_the_delivery_posts_again_under_the_same_id(outbox: Outbox, home: Home) -> None:
    with receiving() as receiver:
        command = [sys.executable, "-c", _KILLED, str(home.path), receiver.url, SECRET]
        receiver.answers = [lambda _: os.kill(process.pid, signal.SIGKILL)]
        process = subprocess.Popen(command)
        assert process.wait(60) == -signal.SIGKILL
        assert the(outbox).state == "waiting" and the(outbox).tries == 0
        assert dict(deliver(outbox, hook(receiver))) == {"delivered": 1}
    assert len({request.headers["X-Mlops-Id"] for request in receiver.requests}) == 1 and len(receiver.requests) == 2


def test_who_is_killed_after_it_noted_the_delivery_does_not_post_again(outbox: Outbox, home: Home) -> None:
    left = home.root / "notifications" / "pumps" / "waiting" / f"{event().id}.json"
    data = left.read_bytes()
    with receiving() as receiver:
        deliver(outbox, hook(receiver))
        left.write_bytes(data)
        assert outbox.waiting() == [] and deliver(outbox, hook(receiver)).total() == 0
    assert len(receiver.requests) == 1 and [each.state for each in outbox.newest(5)] == ["delivered"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://receiver.example/x", "file:///etc/passwd", "receiver.example/x", "http://", "https://:443/x",
        "http://receiver.example:port/", "http://receiver.example:0/", "http://ada:hunter2@receiver.example/",
        "https://receiver.example/#hunter2", "http://receiver.example/a b", "http://receiver.example/\nX: hunter2",
        f"http://{'a' * 70}.example/", "http://[::1/", "javascript:hunter2",
    ],
)  # fmt: skip
def test_a_bad_address_is_an_error_that_tells_no_secret(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(webhook.URL, url)
    monkeypatch.setenv(webhook.SECRET, SECRET)
    with pytest.raises(PlatformError) as raised:
        Webhook.from_environment()
    assert "hunter2" not in str(raised.value) and SECRET not in str(raised.value)


def test_an_address_without_a_secret_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(webhook.URL, "https://receiver.example/hook")
    with pytest.raises(PlatformError, match="MLOPS_WEBHOOK_SECRET"):
        Webhook.from_environment()
    monkeypatch.setenv(webhook.SECRET, SECRET)
    found = Webhook.from_environment()
    assert found is not None and found.host == "https://receiver.example"
    assert SECRET not in repr(found) and "/hook" not in repr(found)


def test_neither_secret_nor_address_is_written_anywhere(outbox: Outbox, home: Home) -> None:
    with receiving(500, 307) as receiver:
        at(START, outbox, hook(receiver))
        at(START + DAY, outbox, hook(receiver))
        at(START + 2 * DAY, outbox, hook(receiver))
    text = "".join(path.read_text() for path in (home.root / "notifications").rglob("*.json"))
    assert SECRET not in text and "hidden" not in text and len(text) > 100
    assert all(SECRET not in str(request.headers) + str(request.body) for request in receiver.requests)


def test_an_id_names_its_event_alone() -> None:
    one = event()
    others = [event("2"), event(model="valve"), replace(one, kind="rollback"), replace(one, environment="prod")]
    assert len({each.id for each in (one, *others)}) == 5
    assert replace(one, reason="told otherwise").id == one.id


def test_a_record_looked_at_again_gives_nothing_new(outbox: Outbox, home: Home) -> None:
    assert outbox.look([told(event(), event("2"))], START) == [event("2")]
    with receiving() as receiver:
        deliver(outbox, hook(receiver))
    (home.root / "notifications" / "pumps" / "looked.json").unlink()
    assert outbox.look([told(event(), event("2"))], START) == []


def test_what_lies_far_back_at_the_first_look_is_no_news_ever(home: Home) -> None:
    outbox = Outbox(home, "pumps")
    assert outbox.look([told(event())], START + 4 * DAY) == []
    assert outbox.look([told(event(), event("2", minute=4 * 1440))], START + 5 * DAY) == [event("2", minute=4 * 1440)]


def test_who_dies_while_it_looks_leaves_nothing_out(home: Home) -> None:
    def faulty(_: str | None) -> list[Event]:
        raise OSError

    outbox = Outbox(home, "pumps")
    with pytest.raises(OSError):
        outbox.look([told(event()), Teller(name="faulty", mark=lambda: "1", events=faulty)], START)
    outbox.look([told(event())], START)
    assert [each.event for each in outbox.waiting()] == [event()]


def test_a_mark_that_stays_is_not_read_again(home: Home) -> None:
    reads: list[str | None] = []

    def events(before: str | None) -> list[Event]:
        reads.append(before)
        return []

    outbox = Outbox(home, "pumps")
    for mark in ("1", "1", "2"):
        outbox.look([Teller(name="tests", mark=lambda mark=mark: mark, events=events)], START)  # type: ignore[misc]
    assert reads == [None, "1"]


def test_the_folder_holds_no_drafts(outbox: Outbox, home: Home) -> None:
    folder: Path = home.root / "notifications" / "pumps"
    (folder / "waiting" / ".half-written.json").write_text("{")
    assert len(outbox.waiting()) == 1
