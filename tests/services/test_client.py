"""Calls to a remote API that is slow, broken or hostile: raw sockets say what no decent server would."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import DummyCookieJar

from progrock.services import Client, Elsewhere, File
from progrock.services.client import Reply, retry_after
from progrock.step import Miss

Serve = Callable[..., Awaitable["Client"]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve one canned reply to every request, byte by byte if asked, and return a client that calls it."""
    servers: list[asyncio.Server] = []
    clients: list[Client] = []

    async def start(reply: bytes, *, pause: float = 0, hang: bool = False, **options: Any) -> Client:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.readuntil(b"\r\n\r\n")
                if pause:
                    for n in range(len(reply)):
                        writer.write(reply[n : n + 1])
                        await writer.drain()
                        await asyncio.sleep(pause)
                writer.write(reply if not pause else b"")
                await writer.drain()
                if hang:
                    await reader.read()
            except (ConnectionError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        servers.append(server)
        port = server.sockets[0].getsockname()[1]
        clients.append(Client(f"http://127.0.0.1:{port}", **options))
        return clients[-1]

    yield start
    for client in clients:
        await client.aclose()
    for server in servers:
        server.close()


def reply(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def miss(client: Client) -> Miss:
    answer = await client.call("GET", "/x")
    assert isinstance(answer, Miss), answer
    assert len(answer.message) < 120
    return answer


async def test_an_answer_is_read(serve: Serve) -> None:
    answer = await (await serve(reply(b'{"a": 1}', "200 OK", "X-More: yes"))).call("POST", "/x", json={"b": 2})
    assert isinstance(answer, Reply)
    assert (answer.status, answer.body, answer.headers["X-More"]) == (200, {"a": 1}, "yes")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (reply(b"<html>"), "nonsense"),
        (reply(b""), "nonsense"),
        (reply(b'{"a": '), "nonsense"),
        (reply(b"\xff\xfe"), "nonsense"),
        (reply(b"[" * 100_000), "nonsense"),
        (reply(b'"' + b"x" * 2_000_000 + b'"'), "nonsense"),
        (reply(b"{}", "204 No Content"), "nonsense"),
        (reply(b"{}", "302 Found", "Location: http://127.0.0.1:1/"), "nonsense"),
        (reply(b"{}", "404 Not Found"), "vanished"),
        (reply(b"{}", "410 Gone"), "vanished"),
        (reply(b"{}", "400 Bad Request"), "refused"),
        (reply(b"{}", "401 Unauthorized"), "auth"),
        (reply(b"{}", "403 Forbidden"), "auth"),
        (reply(b"{}", "500 Oops"), "unreachable"),
        (reply(b"{}", "429 Slow"), "unreachable"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "unreachable"),
        (b"", "unreachable"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "nonsense"),
        (b"HTTP/1.1 200 OK\r\n" + b"X-Many: y\r\n" * 100_000 + b"\r\n", "nonsense"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZZ\r\n", "nonsense"),
    ],
)
async def test_whatever_comes_is_a_miss_and_never_raises(serve: Serve, raw: bytes, code: str) -> None:
    assert (await miss(await serve(raw))).code == code


@pytest.mark.parametrize("raw", [b"", reply(b'{"a": 1}')])
async def test_time_is_bounded_over_the_whole_call(serve: Serve, raw: bytes) -> None:
    """A byte now and then does not keep a call alive."""
    client = await serve(raw, pause=0.05 if raw else 0, hang=True, timeout=200)
    began = asyncio.get_running_loop().time()
    assert (await miss(client)).code == "unreachable"
    assert asyncio.get_running_loop().time() - began < 10


async def test_nobody_there_is_a_miss() -> None:
    client = Client("http://127.0.0.1:1")
    assert (await miss(client)).message == "The service cannot be reached."
    await client.aclose()


async def test_a_name_that_does_not_resolve_is_a_miss() -> None:
    client = Client("http://nowhere.invalid")
    assert (await miss(client)).code == "unreachable"
    await client.aclose()


async def test_without_tls_where_it_should_be_nothing_is_said_to_it() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(reply(b"{}"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    client = Client(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    answered = await miss(client)
    await client.aclose()
    server.close()
    assert answered == Miss("unreachable", "The service cannot be reached safely: TLS failed.", heard=False)


async def test_a_busy_service_says_when(serve: Serve) -> None:
    assert (await miss(await serve(reply(b"", "429 Slow", "Retry-After: 7")))).again == 7_000


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("", None),
        ("5", 5_000),
        ("0", 0),
        ("-1", None),
        ("86400", 86_400_000),
        ("86401", None),
        ("1000000000000", None),
        ("9" * 5_000, None),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None),
        ("soon", None),
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30_000),
        ("Wed, 31 Dec 2025 23:00:00 GMT", 0),
        ("Thu, 99 Foo 2026 00:00:00 GMT", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_a_date_or_nothing(header: str | None, wait: int | None) -> None:
    assert retry_after(header, datetime(2026, 1, 1, tzinfo=UTC)) == wait


async def test_a_file_is_streamed_with_the_headers_that_describe_it(serve: Serve) -> None:
    raw = reply(b"x" * 100_000, "206 Partial Content", "Content-Range: bytes 0-9/10", "Set-Cookie: a=b", "ETag: e")
    opened = await (await serve(raw)).fetch("/file", {"Range": "bytes=0-9"})
    assert isinstance(opened, File)
    assert opened.status == 206
    assert set(opened.headers) == {"Content-Length", "Content-Range", "ETag"}
    assert b"".join([chunk async for chunk in opened.body]) == b"x" * 100_000


async def test_headers_of_a_file_that_cannot_be_sent_on_are_left_out(serve: Serve) -> None:
    raw = reply(b"x", "200 OK", "ETag: \xff\xe9", "Last-Modified: a\tb", "Content-Encoding: gzip")
    opened = await (await serve(raw)).fetch("/file", {})
    assert isinstance(opened, File)
    assert opened.headers == {"Content-Length": "1", "Content-Encoding": "gzip"}
    await opened.body.aclose()


async def test_a_file_that_is_not_there_is_a_miss(serve: Serve) -> None:
    opened = await (await serve(reply(b"", "404 Not Found"))).fetch("/file", {})
    assert isinstance(opened, Miss)
    assert opened.code == "vanished"


@pytest.mark.parametrize("url", ["", "ftp://x", "//x", "file:///etc/passwd", "http://", "http://x/?q", "http://x/#f"])
def test_a_base_url_that_cannot_be_called_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="Expected base_url"):
        Client(url)


async def test_a_file_that_stalls_ends_and_one_that_never_comes_is_a_miss(serve: Serve) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx"
    opened = await (await serve(head, hang=True, timeout=1_000)).fetch("/file", {})
    assert isinstance(opened, File)
    began = asyncio.get_running_loop().time()
    body = aiter(opened.body)
    assert await anext(body) == b"x"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(body), 10)
    assert asyncio.get_running_loop().time() - began < 8
    silent = await serve(b"", hang=True, timeout=100)
    async with asyncio.timeout(10):
        assert isinstance(await silent.fetch("/file", {}), Miss)


@pytest.mark.parametrize("status", ["200 OK", "404 Not Found"])
async def test_no_connection_of_a_file_is_kept(serve: Serve, status: str) -> None:
    raw = reply(b"x" * 10, status).replace(b"Length: 10", b"Length: 100")
    client = await serve(raw, hang=True)
    opened = await client.fetch("/file", {})
    if isinstance(opened, File):
        await opened.body.aclose()  # though nobody has read from it
    assert client._files is not None
    assert client._files.connector is not None
    assert not client._files.connector._acquired


async def test_readers_of_files_keep_no_look_from_being_taken(serve: Serve) -> None:
    client = await serve(reply(b"{}").replace(b"Length: 2", b"Length: 9"), hang=True, connections=1, timeout=5_000)
    opened = await client.fetch("/file", {})
    assert isinstance(opened, File)
    await anext(aiter(opened.body))
    answer = await client.call("GET", "/x", expect=(201,))
    await opened.body.aclose()
    assert isinstance(answer, Miss)
    assert answer.code == "nonsense"  # it was made, and answered 200


async def test_no_more_calls_are_made_at_once_than_told(serve: Serve) -> None:
    client = await serve(reply(b"{}").replace(b"Length: 2", b"Length: 9"), hang=True, connections=1, timeout=30_000)
    first = asyncio.create_task(client.call("GET", "/x"))
    await asyncio.sleep(0.1)
    second = asyncio.create_task(client.call("GET", "/x", expect=(201,)))
    await asyncio.sleep(0.1)
    assert not second.done()
    first.cancel()
    assert isinstance(await asyncio.wait_for(second, 10), Miss)  # its turn has come
    await asyncio.wait([first])


async def test_cookies_are_neither_kept_nor_sent(serve: Serve) -> None:
    client = await serve(reply(b"{}", "200 OK", "Set-Cookie: a=b"))
    await client.call("GET", "/x")
    assert client._looks is not None
    assert isinstance(client._looks.cookie_jar, DummyCookieJar)


async def test_the_time_for_a_connection_is_bounded_by_itself(serve: Serve) -> None:
    client = await serve(reply(b"{}"), connect_timeout=1_234)
    await client.call("GET", "/x")
    assert client._looks is not None
    assert client._looks.timeout.sock_connect == 1.234


async def test_who_never_takes_the_connection_has_heard_nothing() -> None:
    """So a start may be made again, whatever the service knows of starts."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):  # nobody accepts: what is more than the backlog waits for ever
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        client = Client(f"http://127.0.0.1:{full.getsockname()[1]}", connect_timeout=100)
        answer = await miss(client)
        await client.aclose()
    assert (answer.code, answer.heard) == ("unreachable", False)


@pytest.mark.parametrize("status", ["408 Timeout", "425 Early", "503 Later"])
async def test_what_passes_is_no_refusal_and_says_when(serve: Serve, status: str) -> None:
    answer = await miss(await serve(reply(b"", status, "Retry-After: 7")))
    assert (answer.code, answer.again) == ("unreachable", 7_000)


@pytest.mark.parametrize("status", ["304 Not Modified", "416 Range Not Satisfiable"])
async def test_a_condition_on_a_file_is_answered(serve: Serve, status: str) -> None:
    opened = await (await serve(reply(b"", status))).fetch("/file", {})
    assert isinstance(opened, File)
    assert opened.status == int(status[:3])
    assert [chunk async for chunk in opened.body] == []


async def test_a_call_is_below_the_base_and_asks_for_no_compression() -> None:
    asked = asyncio.Queue[bytes]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.put_nowait(await reader.readuntil(b"\r\n\r\n"))
        writer.write(reply(b"{}"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/")
    await client.call("GET", "/x")
    await client.aclose()
    server.close()
    request = asked.get_nowait()
    assert request.startswith(b"GET /api/x ")
    assert b"accept-encoding: identity\r\n" in request.lower()


@pytest.mark.parametrize("path", ["/a%2Fb", "/a/%2e%2e/b", "/a?b=%2F+%20"])
async def test_a_path_goes_out_as_it_is(path: str) -> None:
    """Nobody reads the quoting in it again, which would lead to places that were not asked for."""
    asked = asyncio.Queue[bytes]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.put_nowait(await reader.readline())
        writer.write(reply(b"{}"))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/")
    await client.call("GET", path)
    await client.aclose()
    server.close()
    assert asked.get_nowait() == f"GET /api{path} HTTP/1.1\r\n".encode()


@pytest.mark.parametrize(
    ("text", "body", "found"),
    [
        (b"", "optional", None),
        (b"", "ignored", None),
        (b"OK", "ignored", None),
        (b'{"a": 1}', "optional", {"a": 1}),
        (b'{"a": 1}', "ignored", {"a": 1}),
        (b"OK", "optional", "nonsense"),
        (b"OK", "needed", "nonsense"),
    ],
)
async def test_an_answer_may_do_without_json(serve: Serve, text: bytes, body: Any, found: object) -> None:
    answer = await (await serve(reply(text))).call("GET", "/x", body=body)
    assert (answer.code if isinstance(answer, Miss) else answer.body) == found


@pytest.mark.parametrize("status", ["202 Accepted", "303 See Other"])
async def test_what_a_code_says_by_itself_needs_no_json(serve: Serve, status: str) -> None:
    answer = await (await serve(reply(b"<p>Yes", status))).call("GET", "/x", body="optional", expect=(202, 303))
    assert isinstance(answer, Reply)
    assert answer.body is None


async def test_a_credential_that_an_answer_brings_back_is_not_shown(serve: Serve) -> None:
    text = b'{"error": "Bad token s3cret-s3cret!", "s3cret-s3cret": 1}'
    answer = await (await serve(reply(text), hidden=["s3cret-s3cret"])).call("GET", "/x")
    assert isinstance(answer, Reply)
    assert answer.body == {"error": "Bad token ***!", "***": 1}


@pytest.mark.parametrize("text", [rb"a+b\/c==d", rb"\u0061\u002Bb/c==d", rb"a+b/c==d", rb"\n a+b/c==d"])
async def test_a_credential_is_not_shown_however_json_quotes_it(serve: Serve, text: bytes) -> None:
    answer = await (await serve(reply(b'{"error": "' + text + b'"}'), hidden=["a+b/c==d"])).call("GET", "/x")
    assert isinstance(answer, Reply)
    assert answer.body["error"].strip() == "***"


@pytest.mark.parametrize("text", [b"\\", b'{"a": "\\q"}', b"\\" + b"[" * 100_000])
async def test_looking_for_credentials_mends_no_broken_answer(serve: Serve, text: bytes) -> None:
    assert (await miss(await serve(reply(text), hidden=["a+b/c==d"]))).code == "nonsense"


@pytest.mark.parametrize(
    ("base", "location", "path"),
    [
        ("https://x", "https://x/jobs/7?a=%2F#f", "/jobs/7?a=%2F"),
        ("https://x:443/v1", "https://x/v1/jobs/7", "/jobs/7"),
        ("https://x/v1", "/v1/jobs/7", "/jobs/7"),
        ("https://x/v1", "https://X/v1/jobs/7", "/jobs/7"),
        ("https://x/v1", "7", "/jobs/7"),
        ("https://x/v1", "http://x/v1/jobs/7", None),
        ("https://x/v1", "https://x:444/v1/jobs/7", None),
        ("https://x/v1", "https://y/v1/jobs/7", None),
        ("https://x/v1", "https://x/v2/jobs/7", None),
        ("https://x/v1", "https://x/v1", None),
        ("https://x/v1", "https://a:b@x/v1/jobs/7", None),
        ("https://x/v1", "https://x/v1/a b", None),
        ("https://x/v1", "https://x/v1/\r\nX: y", None),
        ("https://x/v1", "https://[x/v1", None),
        ("https://x/v1", "", None),
        ("https://x/v1", None, None),
    ],
)
def test_a_place_that_a_reply_names_is_below_the_base_or_nowhere(
    base: str, location: str | None, path: str | None
) -> None:
    assert Client(base).below(location, "/jobs/new") == path


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://store.example/x?sig=a%2Fb", True),
        ("http://127.0.0.1:9/x", True),
        ("http://127.0.0.1:8/x", False),
        ("ftp://store.example/x", False),
        ("https://a:b@store.example/x", False),
        ('https://store.example/"x', False),
    ],
)
def test_a_file_is_elsewhere_by_https_or_where_the_service_is(url: str, allowed: bool) -> None:
    found = Client("http://127.0.0.1:9/v1").elsewhere(url, "/jobs/7/file")
    assert found == Elsewhere(url) if allowed else isinstance(found, Miss)


@pytest.mark.parametrize(
    "url", ["http://me:s3cret@x", "http://me:s3cret@x/?q", "http://s3cret@", "http://me:s3cret/s3cret@x"]
)
def test_a_password_in_a_base_url_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ValueError, match="without user and password") as raised:
        Client(url)
    assert "s3cret" not in str(raised.value)
