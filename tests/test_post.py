"""What may be called at somebody's word: public addresses, whatever they are written as, and nothing else."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from progrock import post as module
from progrock.post import NotPublic, post, public
from tests.conftest import until
from tests.letterbox import Letterbox


@pytest.fixture
async def box() -> AsyncIterator[Letterbox]:
    async with Letterbox() as box:
        yield box


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.0.1",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.1.1.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "fc00::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
    ],
)
def test_what_is_not_public(address: str) -> None:
    assert public(address) is False


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_what_is_public(address: str) -> None:
    assert public(address) is True


@pytest.mark.parametrize("name", ["example.com", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", ""])
def test_a_name_says_nothing(name: str) -> None:
    assert public(name) is None


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0177.0.0.1", "127.1", "0"],
)
async def test_this_machine_is_not_called_however_it_is_written(box: Letterbox, host: str) -> None:
    with pytest.raises((NotPublic, aiohttp.InvalidURL)):
        await post(f"http://{host}:{box.port}/", b"x", {}, anywhere=False)
    assert box.letters == []


async def test_a_name_that_leads_elsewhere_the_second_time_leads_nowhere(
    box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def getaddrinfo(host: str, port: int, *options: Any) -> list[Any]:
        # The first look is at something decent, as whoever checks before the call would see it.
        asked.append(host)
        address = "8.8.8.8" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert socket.getaddrinfo("rebind.example", box.port)[0][4][0] == "8.8.8.8"
    with pytest.raises(NotPublic):
        await post(f"http://rebind.example:{box.port}/", b"x", {}, anywhere=False)
    assert len(asked) == 2
    assert box.letters == []


async def test_of_a_name_with_several_addresses_none_that_is_not_public_is_called(
    box: Letterbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(host: str, port: int, *options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in ("127.0.0.1", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(NotPublic):
        await post(f"http://both.example:{box.port}/", b"x", {}, anywhere=False)
    assert box.letters == []


async def test_what_is_allowed_is_called(box: Letterbox) -> None:
    box.answers, box.headers = [503], {"Retry-After": "7"}
    assert await post(f"{box.url}/a?b=c", b"body", {"X-More": "yes"}, anywhere=True) == (503, "7")
    (letter,) = box.letters
    assert (letter.path, letter.headers["X-More"], letter.body) == ("/a?b=c", "yes", b"body")


async def test_a_redirect_is_not_followed(box: Letterbox) -> None:
    box.answers, box.headers = [307], {"Location": f"{box.url}/elsewhere"}
    assert (await post(f"{box.url}/", b"x", {}, anywhere=True)).status == 307
    assert [letter.path for letter in box.letters] == ["/"]


async def test_who_hangs_is_given_up(box: Letterbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMEOUT", 0.2)
    box.gate.clear()
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await post(f"{box.url}/", b"x", {}, anywhere=True)
    assert time.monotonic() - began < 8


async def test_an_answer_without_end_is_not_read() -> None:
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while sent < 1_000_000_000:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert (await post(f"http://127.0.0.1:{port}/", b"x", {}, anywhere=True)).status == 200
    assert sent < 100_000_000


async def test_what_is_no_http_is_no_answer() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(aiohttp.ClientError):
            await post(f"http://127.0.0.1:{port}/", b"x", {}, anywhere=True)


async def test_names_that_take_long_hold_up_no_other(box: Letterbox, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, getaddrinfo = threading.Event(), socket.getaddrinfo

    def slow(host: str, *options: Any) -> list[Any]:
        if host == "slow.example":
            gate.wait(20)
            raise socket.gaierror
        return getaddrinfo(host, *options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    monkeypatch.setattr(module._names, "most", 50)
    waiting = [asyncio.create_task(post("https://slow.example/", b"x", {}, anywhere=False)) for _ in range(49)]
    await until(lambda: module._names._running == 49)
    # Neither those of ours nor those of anybody else in the process.
    assert (await post(f"http://localhost:{box.port}/", b"x", {}, anywhere=True)).status == 204
    assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    monkeypatch.setattr(module._names, "most", 49)
    with pytest.raises(aiohttp.ClientConnectorError):
        await post(f"http://localhost:{box.port}/", b"x", {}, anywhere=True)
    gate.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {aiohttp.ClientConnectorDNSError}
    assert module._names._running == 0
