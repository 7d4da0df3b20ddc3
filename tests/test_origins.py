"""Which pages may open a socket: their whole origin counts, and what Django is told of proxies."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from progrock.origins import OriginGuard

SITE = {"host": "example.com", "origin": "http://example.com"}


async def admitted(headers: dict[str, str] | list[tuple[str, str]], **scope: Any) -> bool:
    """Return whether a socket was let in; if not, it was refused before it was accepted."""
    passed: list[Any] = []
    sent: list[Any] = []

    async def application(*asked: Any) -> None:
        passed.append(asked)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = headers.items() if isinstance(headers, dict) else headers
    raw = [(name.encode(), value.encode("latin1")) for name, value in pairs]
    await OriginGuard(application)({"type": "websocket", "headers": raw, **scope}, receive, send)
    assert sent == ([] if passed else [{"type": "websocket.close"}])
    return bool(passed)


@pytest.fixture(autouse=True)
def site() -> Any:
    with override_settings(ALLOWED_HOSTS=["example.com", ".example.com", "[::1]"], CSRF_TRUSTED_ORIGINS=[]):
        yield


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("example.com", "http://example.com"),
        ("example.com:80", "http://example.com"),
        ("Example.COM", "http://example.com"),
        ("example.com:8000", "http://example.com:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
    ],
)
async def test_a_page_of_this_site_is_let_in(host: str, origin: str) -> None:
    assert await admitted({"host": host, "origin": origin})


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.com",
        "null",
        "",
        "http://example.com.evil.com",
        "http://evil-example.com",
        "http://evilexample.com",
        "http://www.example.com",
        "http://example.com.",
        "https://example.com",
        "http://example.com:8000",
        "http://example.com:99999999",
        "http://example.com/",
        "http://example.com@evil.com",
        "http://evil.com#example.com",
        "http://evil.com\\@example.com",
        "http://example.com\n",
        "http://exämple.com",
        "http://example.com http://evil.com",
        "example.com",
        "file://",
        "chrome-extension://example.com",
    ],
)
async def test_any_other_page_is_not(origin: str) -> None:
    assert not await admitted({"host": "example.com", "origin": origin})


@pytest.mark.parametrize(
    "headers",
    [
        [("host", "example.com")],
        [("host", "example.com"), ("origin", "http://evil.com"), ("origin", "http://example.com")],
        [("host", "example.com"), ("host", "evil.com"), ("origin", "http://example.com")],
        [("origin", "http://example.com")],
        [("host", "evil.com"), ("origin", "http://evil.com")],
        [("host", "evil.com"), ("x-forwarded-host", "example.com"), ("origin", "http://example.com")],
    ],
)
async def test_headers_that_cannot_be_relied_on_let_nobody_in(headers: list[tuple[str, str]]) -> None:
    assert not await admitted(headers)


async def test_a_site_over_tls_is_another_one() -> None:
    over_tls = {"host": "example.com", "origin": "https://example.com"}
    assert await admitted(over_tls, scheme="wss")
    assert not await admitted(SITE, scheme="wss")
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        assert await admitted({**over_tls, "x-forwarded-proto": "https"})
        assert not await admitted({**SITE, "x-forwarded-proto": "https"})
        assert not await admitted({**over_tls, "x-forwarded-proto": "http"})
        assert not await admitted({**over_tls, "x_forwarded_proto": "https"})
    assert not await admitted({**over_tls, "x-forwarded-proto": "https"})


async def test_a_proxy_may_say_what_the_browser_asked_for() -> None:
    behind = {"host": "10.0.0.1:8000", "x-forwarded-host": "example.com", "origin": "http://example.com"}
    assert not await admitted(behind)
    with override_settings(USE_X_FORWARDED_HOST=True):
        assert await admitted(behind)


@override_settings(CSRF_TRUSTED_ORIGINS=["https://app.other.org:8443", "https://*.trusted.org", "app://shell"])
@pytest.mark.parametrize(
    ("origin", "lets"),
    [
        ("https://app.other.org:8443", True),
        ("https://app.other.org", False),
        ("http://app.other.org:8443", False),
        ("https://a.b.trusted.org", True),
        ("https://trusted.org", True),
        ("https://eviltrusted.org", False),
        ("https://a.trusted.org:444", False),
        ("http://a.trusted.org", False),
        ("app://shell", True),
        ("null", False),
    ],
)
async def test_the_origins_that_django_trusts_are_let_in(origin: str, lets: bool) -> None:
    assert await admitted({"host": "example.com", "origin": origin}) is lets


async def test_what_is_no_socket_is_none_of_its_business() -> None:
    assert await admitted({}, type="http")


async def test_a_refusal_says_what_was_expected(caplog: pytest.LogCaptureFixture) -> None:
    await admitted({"host": "example.com:8000", "origin": "http://evil.com\x1b[31m"})
    (line,) = caplog.messages
    assert "http://example.com:8000, or one of CSRF_TRUSTED_ORIGINS, got 'http://evil.com\\x1b[31m'" in line
