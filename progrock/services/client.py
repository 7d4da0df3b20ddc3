"""Calls to a remote HTTP API: bounded in time and size, and never raising for what the other side does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
import msgspec
from yarl import URL

from .. import counts, tracing
from ..step import Miss
from .base import Elsewhere, File

_BODY_MOST = 1 << 20
_AGAIN_MOST = 86_400
_REDIRECTS = (301, 302, 303, 307, 308)
_FILE_HEADERS = (
    *("Content-Type", "Content-Length", "Content-Range", "Content-Encoding", "Accept-Ranges"),
    *("ETag", "Last-Modified"),
)
_decode = msgspec.json.Decoder().decode

Body = Literal["needed", "optional", "ignored"]
"""What an answer's JSON is: needed, if the code is no refusal; or the body may be empty, and that of a code other than
200 and 201 anything; or any body may."""


class Reply(msgspec.Struct, frozen=True):
    """An answer that can be read: its status, headers and JSON; None if it has none."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Client:
    """What an adapter speaks to an HTTP API with; one for an event loop.

    :param base_url: scheme, host and optional path prefix; nothing else is ever called.
    :param timeout: milliseconds for a whole call, the wait for a connection included; of a file, for its beginning,
        and for each piece of it.
    :param connect_timeout: milliseconds for the connection alone.
    :param connections: how many calls, and as many files again, may be on the way at once.
    :param hidden: credentials: should an answer bring one back, nobody gets to see it.
    :param traceparent: whether a call says to which trace it belongs, if spans are made at all.
    """

    def __init__(
        self,
        base_url: str,
        *,
        timeout: int = 10_000,
        connect_timeout: int = 3_000,
        connections: int = 50,
        hidden: Collection[str] = (),
        traceparent: bool = False,
    ) -> None:
        parts = urlsplit(base_url)
        if "@" in base_url:
            # Not shown: this is where a password would be.
            raise ValueError("Expected base_url without user and password (use headers), got some.")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"Expected base_url as http(s)://host[:port][/path], got {base_url.partition('?')[0]!r}.")
        self._url = URL(base_url.rstrip("/"))
        self._base = str(self._url).rstrip("/")
        self._timeout = timeout / 1000
        self._connect_timeout = connect_timeout / 1000
        self._connections = connections
        self._traceparent = traceparent
        self._hidden = [msgspec.json.encode(each)[1:-1] for each in hidden if each]
        # Files have connections of their own: readers that are slow must not keep looks from being taken.
        self._looks: aiohttp.ClientSession | None = None
        self._files: aiohttp.ClientSession | None = None

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        sent: tuple[bytes, str] | None = None,
        headers: Mapping[str, str] | None = None,
        expect: tuple[int, ...] = (200,),
        body: Body = "needed",
    ) -> Reply | Miss:
        """Make one call and read its JSON.

        :param path: below the base URL, already quoted; it goes out as it is.
        :param json: what is sent.
        :param sent: the same, if it is no JSON or encoded already: bytes and media type; headers may replace that.
        :param expect: the status codes that carry an answer; any other is a miss.
        :param body: what an answer without JSON is: a miss, unless this says otherwise.
        """
        if json is not None:
            sent = msgspec.json.encode(json), "application/json"
        # Not the query: there are services whose credentials are in it.
        url = self._base + path.partition("?")[0]
        with tracing.calling(method, url, self._url.host or "", self._url.port or 0) as called:
            if called and self._traceparent:
                headers = {**(headers or {}), "traceparent": tracing.traceparent()}
            answer = await self._call(method, path, sent, headers, expect, body, called)
            if called and isinstance(answer, Miss):
                called.missed(answer.code)
            return answer

    async def _call(
        self,
        method: str,
        path: str,
        sent: tuple[bytes, str] | None,
        headers: Mapping[str, str] | None,
        expect: tuple[int, ...],
        body: Body,
        called: tracing.Called | None,
    ) -> Reply | Miss:
        self._looks = self._looks or self._session()
        try:
            request = self._request(self._looks, method, path, sent, headers)
            async with asyncio.timeout(self._timeout), request as response:
                counts.replied(response.status)
                if called:
                    called.replied(response.status)
                if response.status not in expect:
                    return _unexpected(response)
                text = await _read(response)
                if text is None:
                    return Miss("nonsense", "The service's answer was far too long.")
                if self._hidden:
                    text = _without(text, self._hidden)
                strict = body == "needed" or (body == "optional" and bool(text) and response.status in (200, 201))
                return Reply(response.status, response.headers, _json(text, strict=strict and response.status < 400))
        except aiohttp.ConnectionTimeoutError:
            return Miss("unreachable", "The service cannot be reached.", heard=False)
        except (TimeoutError, aiohttp.ServerTimeoutError):
            return Miss("unreachable", "The service did not answer in time.")
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return Miss("nonsense", "The service's answer made no sense.")
        except aiohttp.ClientPayloadError:
            return Miss("unreachable", "The service broke off in the middle of its answer.")
        except aiohttp.ClientResponseError:
            return Miss("nonsense", "The service's answer made no sense.")
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError):
            return Miss("unreachable", "The service cannot be reached safely: TLS failed.", heard=False)
        except aiohttp.ClientConnectorError:
            return Miss("unreachable", "The service cannot be reached.", heard=False)
        except (aiohttp.ClientError, OSError):
            return Miss("unreachable", "The service cannot be reached.")

    async def fetch(self, path: str, headers: Mapping[str, str], *, redirect: bool = False) -> File | Elsewhere | Miss:
        """Open a file to be streamed through; closing its body closes the connection.

        :param redirect: whether the service may say that it is elsewhere, see :meth:`elsewhere`.
        """
        self._files = self._files or self._session()
        request = self._request(self._files, "GET", path, None, headers)
        try:
            async with asyncio.timeout(self._timeout):
                response = await request.__aenter__()
        except (TimeoutError, aiohttp.ServerTimeoutError):
            return Miss("unreachable", "The service did not answer in time.")
        except (aiohttp.ClientError, OSError):
            return Miss("unreachable", "The service cannot be reached.")
        if redirect and response.status in _REDIRECTS:
            response.close()
            return self.elsewhere(response.headers.get("Location"), path)
        if response.status not in (200, 206, 304, 416):
            response.close()
            return _unexpected(response)
        found = {name: response.headers.get(name, "") for name in _FILE_HEADERS}
        # Others than these cannot be sent on.
        kept = {name: value for name, value in found.items() if value and value.isascii() and value.isprintable()}
        body = self._stream(response)
        # Begun, so that closing it closes the connection though nobody has read from it.
        await anext(body)
        return File(response.status, kept, body)

    def below(self, url: str | None, path: str) -> str | None:
        """Return a URL that a reply names as a path below the base URL; None if it is elsewhere.

        :param url: as it stands in a header: whole, or relative to the call.
        :param path: that of the call.
        """
        whole = self._whole(url, path)
        if whole is None or _origin(whole) != _origin(self._url):
            return None
        rest, prefix = whole.raw_path_qs, self._url.raw_path.rstrip("/")
        return rest[len(prefix) :] if rest.startswith(f"{prefix}/") else None

    def elsewhere(self, url: str | None, path: str) -> Elsewhere | Miss:
        """Return a URL that a reply names as one to send browsers to: by https, or where the service itself is."""
        whole = self._whole(url, path)
        if whole is None or (whole.scheme != "https" and _origin(whole) != _origin(self._url)):
            return Miss("nonsense", "The service names a place for the file that cannot be.")
        return Elsewhere(str(whole))

    def _whole(self, url: str | None, path: str) -> URL | None:
        if not url or not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>'):
            return None
        try:
            whole = URL(self._base + path, encoded=True).join(URL(url, encoded=True))
            usable = whole.scheme in ("http", "https") and whole.host and whole.user is None and whole.password is None
        except ValueError:
            return None
        return whole if usable else None

    async def aclose(self) -> None:
        """Let go of connections."""
        for session in (self._looks, self._files):
            if session is not None:
                await session.close()
        self._looks = self._files = None

    def _request(
        self,
        session: aiohttp.ClientSession,
        method: str,
        path: str,
        sent: tuple[bytes, str] | None,
        headers: Mapping[str, str] | None,
    ) -> aiohttp.client._RequestContextManager:
        # As it is: whoever reads quoted dots and slashes again goes to places that were not asked for.
        url = URL(self._base + path, encoded=True)
        if sent is None:
            return session.request(method, url, headers=headers, allow_redirects=False)
        body, kind = sent
        if not any(name.lower() == "content-type" for name in headers or ()):
            headers = {**(headers or {}), "Content-Type": kind}
        return session.request(method, url, data=body, headers=headers, allow_redirects=False)

    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ttl_dns_cache=60),
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=self._connect_timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
            # No compression: an answer is never larger than what was read of it.
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            trust_env=False,
        )

    async def _stream(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
        try:
            yield b""
            while True:
                # The timeout is a read's, not the whole file's: a file is as long as it is.
                async with asyncio.timeout(self._timeout):
                    chunk = await response.content.read(1 << 16)
                if not chunk:
                    break
                yield chunk
        finally:
            response.close()


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """Return the body, or None if it is longer than any answer should be."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _BODY_MOST:
            return None
    return bytes(body)


def _origin(url: URL) -> tuple[str, str | None, int | None]:
    return url.scheme, url.host, url.port


def _without(text: bytes, hidden: Iterable[bytes]) -> bytes:
    """Return JSON without the texts that are to be hidden, which come as JSON has them."""
    if b"\\" in text:
        # Some quote slashes, or plus signs: so that there is one form to look for.
        with contextlib.suppress(msgspec.DecodeError, UnicodeError, RecursionError):
            text = msgspec.json.encode(_decode(text))
    for each in hidden:
        text = text.replace(each, b"***")
    return text


def _json(text: bytes, *, strict: bool) -> Any:
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        if strict:
            raise
        return None


def _unexpected(response: aiohttp.ClientResponse) -> Miss:
    """Return what a status that carries no answer means."""
    status = response.status
    again = retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
    if status in (404, 410):
        return Miss("vanished", "The service does not know this job any more.", heard=False)
    if status == 429:
        return Miss("unreachable", "The service is busy and asks us to wait.", again, heard=False)
    if status in (408, 425) or status >= 500:
        return Miss("unreachable", f"The service is in trouble (it answered {status}).", again)
    if status in (401, 403):
        return Miss("auth", f"The service does not accept our credentials (it answered {status}).", heard=False)
    if 400 <= status < 500:
        return Miss("refused", f"The service refused the call (it answered {status}).", heard=False)
    return Miss("nonsense", f"The service gave an answer that was not expected ({status}).")


def retry_after(value: str | None, now: datetime) -> int | None:
    """Return a Retry-After header (RFC 9110, 10.2.3) in milliseconds: seconds or a date.

    :returns: None if it is neither, or more than a day: that is a mistake, and would cost every job of the service.
    """
    if not value:
        return None
    if value.isascii() and value.isdigit():
        seconds = float(value[:9])
    else:
        try:
            date = parsedate_to_datetime(value)
            seconds = ((date if date.tzinfo else date.replace(tzinfo=UTC)) - now).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return int(max(0.0, seconds) * 1000) if seconds <= _AGAIN_MOST else None
