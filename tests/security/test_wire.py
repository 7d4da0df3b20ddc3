"""What comes over the wire and is no honest request, against a real daphne."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack

import psutil
import pytest

from tests.e2e.conftest import connect
from tests.e2e.raw import CLOSE, Raw, request
from tests.e2e.server import ServerProcess

DAPHNE = ("-m", "daphne", "-v0", "-b127.0.0.1", "-p{port}", "config.asgi:application")
ROOT_PATH = "Daphne-Root-Path"
"""A header by which daphne lets a proxy, or anybody, say where the site is mounted."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess("http://127.0.0.1:1", tmp_path_factory.mktemp("wire"), command=DAPHNE) as server:
        yield server


def said(server: ServerProcess, *pieces: bytes) -> bytes:
    """Send bytes, and return what comes until the server closes the connection, or calls them senseless."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            while not answer.startswith(b"HTTP/1.1 400") and (more := connection.recv(65_536)):
                answer += more
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has heard enough
    return answer


def status(answer: bytes) -> int:
    """Return the status of the only answer that came, 0 if none did."""
    assert answer.count(b"HTTP/1.1 ") <= 1, answer
    return int(answer.split(b" ", 2)[1]) if answer else 0


def asking(*headers: bytes, what: bytes = b"GET /prog/jobs/", body: bytes = b"") -> bytes:
    return b"\r\n".join([what + b" HTTP/1.1", b"Host: 127.0.0.1", b"Connection: close", *headers, b"", body])


SMUGGLING = [
    b"X-A: 1\x0bX-B: 2",
    b"X-A: 1\x0c",
    b"X-A: \x1c\x1d\x1e",
    b"X-A: 1\x85X-B: 2",
    b"X\x0bA: 1",
    b"X A: 1",
    b"X-A : 1",
    b": 1",
    b"X-A",
    b"Content-Length: 4\r\nTransfer-Encoding: chunked",
    b"Content-Length: 4\r\nContent-Length: 5",
    b"Content-Length: +4",
    b"Content-Length: 4, 5",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: \x0bchunked",
]


@pytest.mark.parametrize("header", SMUGGLING, ids=repr)
def test_bytes_that_two_servers_would_read_differently_are_refused(server: ServerProcess, header: bytes) -> None:
    behind = asking(what=b"GET /prog/jobs/?smuggled")
    assert status(said(server, asking(header, what=b"POST /prog/jobs/", body=b"0\r\n\r\n" + behind))) in (0, 400)
    # Nor does one of them open a websocket.
    assert status(said(server, request(server)[:-2] + header + b"\r\n\r\n")) in (0, 400)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (asking(what=b"GET /prog/jobs/?" + b"x" * 20_000), {0, 400, 414}),
        (asking(b"X-A: " + b"x" * 20_000), {0, 400, 431}),
        (asking(*[b"X-A%d: 1" % n for n in range(600)]), {0, 400, 431}),
        (asking(b"Cookie: sessionid=" + b"x" * 10_000), {200}),
        (asking(what=b"GET /prog/updates?after=" + b"9" * 10_000), {400}),
        (asking(what=b"GET /prog/jobs/" + b"%00" * 3_000 + b"/"), {404}),
    ],
    ids=["url", "header", "headers", "cookie", "number", "nul"],
)
def test_what_is_far_too_long_is_cut_off_or_refused(server: ServerProcess, head: bytes, expected: set[int]) -> None:
    assert status(said(server, head)) in expected


def test_a_body_that_is_too_long_is_refused_and_kept_by_nobody(server: ServerProcess) -> None:
    piece = b"x" * 1_000_000
    announced = asking(
        b"Content-Type: application/json", b"Content-Length: %d" % (30 * len(piece)), what=b"POST /prog/jobs/"
    )
    chunked = asking(b"Content-Type: application/json", b"Transfer-Encoding: chunked", what=b"POST /prog/jobs/")
    chunks = [b"%x\r\n" % len(piece) + piece + b"\r\n"] * 30

    def ask() -> int:
        # daphne hands on nothing before it has all of it, so that all of it has to go somewhere: once.
        assert status(said(server, announced, *[piece] * 30)) in (0, 403, 413)
        assert status(said(server, chunked, *chunks, b"0\r\n\r\n")) in (0, 403, 413)
        return psutil.Process(server.pid).memory_info().rss

    # What is given back late is not kept: of ten bodies, each of 30 MB, the last four leave nothing behind.
    seen = [ask() for _ in range(5)]
    assert seen[-1] - max(seen[:3]) < 60_000_000


def test_a_body_that_says_that_it_is_compressed_is_not_unpacked(server: ServerProcess) -> None:
    bomb = gzip.compress(b'{"text": "%b"}' % (b"x" * 60_000_000))
    assert len(bomb) < 65_536
    before = psutil.Process(server.pid).memory_info().rss
    for coding in (b"gzip", b"deflate", b"br"):
        headers = (
            b"Content-Type: application/json",
            b"Content-Encoding: " + coding,
            b"Authorization: Bearer x",
            b"Content-Length: %d" % len(bomb),
        )
        answer = said(server, asking(*headers, what=b"POST /prog/tracked/", body=bomb))
        assert status(answer) in (400, 401)
    assert psutil.Process(server.pid).memory_info().rss - before < 20_000_000


async def test_websockets_are_not_compressed(server: ServerProcess) -> None:
    """A frame of a few bytes that unpacks to gigabytes is nothing that anybody here would unpack."""
    client = await connect(server, compression="deflate")
    assert client.connection.response is not None
    assert "Sec-WebSocket-Extensions" not in client.connection.response.headers
    await client.connection.close()

    def abuse() -> int | None:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = packer.compress(b"x" * 50_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
        with Raw(server) as abuser:
            # RSV1, which says that it is compressed.
            head = bytes([0x80 | 0x40 | 1, 0x80 | 127]) + struct.pack("!Q", len(bomb))
            abuser._connection.sendall(head + bytes(4) + bomb)
            return abuser.ended(5)

    before = psutil.Process(server.pid).memory_info().rss
    assert await asyncio.to_thread(abuse) in (None, 1002)
    assert psutil.Process(server.pid).memory_info().rss - before < 20_000_000


async def test_who_sends_a_byte_now_and_then_keeps_nobody_waiting(server: ServerProcess) -> None:
    head = asking(b"Content-Type: application/json", b"Content-Length: 60000", what=b"POST /prog/jobs/")
    with ExitStack() as stack:
        slow = [
            await asyncio.to_thread(
                lambda: stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 5))
            )
            for _ in range(300)
        ]
        for at, each in enumerate(slow):
            each.sendall(head[:40] if at % 2 else head)
        for n in range(3):
            for each in slow:
                each.sendall(b"{")
            began = time.monotonic()
            answer = await asyncio.to_thread(said, server, asking(what=b"GET /prog/jobs/?n=%d" % n))
            assert status(answer) == 200
            assert time.monotonic() - began < 5  # who were kept waiting would get none within ten
        client = await connect(server)
        assert (await client.hear())["type"] == "hello"
        await client.connection.close()


INJECTIONS = [b"%0d%0aX-Evil: 1", b"%0aX-Evil:%201", b"%E5%98%8D%E5%98%8AX-Evil: 1", b"\"'><script data-pwned>"]


@pytest.mark.parametrize("evil", INJECTIONS, ids=repr)
def test_nothing_in_a_request_becomes_a_header_or_markup_of_the_answer(server: ServerProcess, evil: bytes) -> None:
    quoted = evil.replace(b" ", b"%20").replace(b'"', b"%22").replace(b"<", b"%3C").replace(b">", b"%3E")
    asked = [
        asking(what=b"GET /prog/jobs/?after=" + quoted),
        asking(what=b"GET /prog/jobs/" + quoted + b"/"),
        asking(what=b"GET /prog/jobs/" + quoted + b"/fragments?show=" + quoted),
        asking(what=b"GET /" + quoted + b"/prog/"),
        asking(b"Accept: text/html", what=b"GET /prog/jobs/" + quoted + b"/"),
        asking(b"Accept: text/html", ROOT_PATH.encode() + b": /" + evil, what=b"GET /prog/jobs/"),
        asking(b"Accept: text/html", ROOT_PATH.encode() + b": //evil.example/" + evil),
        asking(b"HX-Trigger: " + evil, what=b"GET /prog/jobs/x/fragments"),
        asking(b"Idempotency-Key: " + evil, b"Prefer: wait=" + evil, what=b"POST /prog/jobs/"),
        asking(b"Origin: " + evil, b"Referer: " + evil, what=b"POST /prog/jobs/"),
        asking(what=evil.replace(b" ", b"") + b" /prog/jobs/"),
    ]
    for each in asked:
        answer = said(server, each)
        head, _, _ = answer.partition(b"\r\n\r\n")
        assert status(answer) in (0, 200, 302, 400, 403, 404, 405)
        assert b"\nx-evil" not in head.lower()
        assert b"<script data-pwned>" not in answer or head.count(b"application/") == 1, each


async def test_a_client_is_told_no_more_than_that_something_went_wrong(server: ServerProcess) -> None:
    """With DEBUG on, as `make rock` has it, a websocket tells nothing of our insides."""
    client = await connect(server)
    await client.hear()
    frames = [
        '{"action": "start", "params": {"tempo": "\\ud800"}}',
        '{"action": "watch", "job": "' + "x" * 1_000 + '"}',
        '{"action": "start", "service": "' + "\\u0000" * 64 + '"}',
        '{"action": "start", "key": "\\u0000", "params": {"\\u0000": "\\u0000"}}',
        '{"action": "subscribe", "channel": "\\u0000"}',
        '{"action": "start", "params": ' + '{"a":' * 500 + "1" + "}" * 501,
    ]
    for frame in frames:
        await client.say(frame)
        text = json.dumps(await client.hear())
        for inside in ("Traceback", 'File "', "progrock.", "site-packages", "django", "msgspec"):
            assert inside not in text
    assert (await client.ask({"action": "ping"}))["type"] == "pong"
    await client.connection.close()


def test_a_connection_ends_as_it_should(server: ServerProcess) -> None:
    """What these tests take for an end is one: an honest request gets its answer."""
    assert status(said(server, asking())) == 200
    with Raw(server) as honest:
        honest.send(b"", CLOSE)
        assert honest.ended(5) in (None, 1000, 1005)
