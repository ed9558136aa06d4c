"""Who is let in: tokens, names of the service, and addresses that need them."""

import base64
import socket
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mlops_platform.errors import PlatformError
from mlops_platform.serving.http.settings import allowed_hosts, is_loopback, tokens_from

PREDICT = "/v1/models/pump_repair/predict"
BODY = {"entities": [{"pump": "P0", "weekday": 1}]}
FIRST, SECOND = "first-token-of-this-test", "second-token-of-this-test"


@pytest.fixture(scope="module")
def guarded(module_serving: Callable[..., Any]) -> httpx.Client:
    """A client of an application with two tokens."""
    found: httpx.Client = module_serving(tokens=(FIRST, SECOND)).client
    return found


@pytest.fixture(scope="module")
def named(module_serving: Callable[..., Any]) -> httpx.Client:
    """A client of an application without one, on the loopback interface."""
    found: httpx.Client = module_serving(hosts=allowed_hosts("127.0.0.1", (), ())).client
    return found


def bearer(token: str) -> dict[str, str]:
    """The header."""
    return {"authorization": f"Bearer {token}"}


def basic(token: str) -> dict[str, str]:
    """What a browser sends for a password."""
    return {"authorization": f"Basic {base64.b64encode(f'me:{token}'.encode()).decode()}"}


@pytest.mark.parametrize("token", [FIRST, SECOND])
def test_every_token_is_let_in(guarded: httpx.Client, token: str) -> None:
    # What it asks for is beside the point: the body is read after the token.
    assert guarded.post(PREDICT, json={}, headers=bearer(token)).status_code == 422
    assert guarded.get("/v1/models", headers=bearer(token)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, bearer("first"), bearer(FIRST + "x"), bearer("é" * 24), {"authorization": FIRST},
     {"authorization": "Basic !!!"}, {"authorization": "Bearer"}, {"authorization": f"Token {FIRST}"}],
)  # fmt: skip
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", PREDICT), ("POST", "/invocations"), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/docs"),
     ("GET", "/openapi.json"), ("POST", "/nowhere"), ("DELETE", "/readyz/x")],
)  # fmt: skip
def test_nothing_is_told_or_done_without_a_token(
    guarded: httpx.Client, headers: dict[str, str], method: str, path: str
) -> None:
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = guarded.request(method, path, headers=encoded)  # type: ignore[arg-type]
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"]
    assert FIRST not in answer.text
    assert answer.json()["required"].startswith("Authorization: Bearer")


def test_a_browser_reads_with_the_token_as_password_and_writes_nothing(guarded: httpx.Client) -> None:
    assert guarded.get("/docs", headers=basic(SECOND)).status_code == 200
    assert guarded.get("/docs", headers=basic("wrong")).status_code == 401
    assert guarded.post(PREDICT, json=BODY, headers=basic(SECOND)).status_code == 401


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/ping", "/health"])
def test_probes_need_no_token_and_no_name(serving: Callable[..., Any], path: str) -> None:
    client = serving(tokens=(FIRST,), hosts=("models.example",)).client
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.", "[::1", "127.0.0.1:80:80"]
)
def test_a_name_that_is_not_the_services_is_refused(named: httpx.Client, host: str) -> None:
    answer = named.post(PREDICT, json={}, headers={"host": host})
    assert answer.status_code == 421
    assert "127.0.0.1" in answer.json()["required"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080"])
def test_the_loopback_interfaces_own_names_are_taken(named: httpx.Client, host: str) -> None:
    assert named.get("/v1/models", headers={"host": host}).status_code == 200


def test_two_hosts_are_a_broken_request(client: httpx.Client) -> None:
    with socket.create_connection((client.base_url.host, client.base_url.port or 0), timeout=10) as connection:
        connection.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 400")


def test_two_tokens_in_one_request_are_a_broken_one(guarded: httpx.Client) -> None:
    headers = [("authorization", f"Bearer {FIRST}"), ("authorization", "Bearer another")]
    for pair in (headers, headers[::-1]):
        assert guarded.get("/v1/models", headers=pair).status_code == 400


@pytest.mark.parametrize(("host", "loopback"), [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True),
                                                ("localhost", True), ("0.0.0.0", False), ("::", False),
                                                ("192.168.0.4", False), ("example.org", False)])  # fmt: skip
def test_another_address_than_loopback_needs_a_token(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    if loopback:
        assert allowed_hosts(host, (), ())
        return
    with pytest.raises(PlatformError, match="MLOPS_SERVE_TOKEN"):
        allowed_hosts(host, (), ())
    assert allowed_hosts(host, (FIRST,), ()) == ()
    assert allowed_hosts(host, (FIRST,), ("Models.example",)) == ("models.example",)


def test_tokens_come_from_the_environment_and_weak_ones_are_refused() -> None:
    assert tokens_from({}) == ()
    assert tokens_from({"MLOPS_SERVE_TOKEN": f" {FIRST}, {SECOND},"}) == (FIRST, SECOND)
    for weak in ("short", f"{FIRST},short", "with blanks in the middle", "täken-which-is-not-ascii"):
        with pytest.raises(PlatformError) as found:
            tokens_from({"MLOPS_SERVE_TOKEN": weak})
        assert weak not in str(found.value)
