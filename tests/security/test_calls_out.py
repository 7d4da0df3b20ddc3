"""Whom our workers call, and by which way: a proxy that the environment names gets nothing of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from progrock import post
from progrock.services import Client


class Listener:
    """A server that answers everything alike, and counts who came."""

    def __init__(self) -> None:
        self.came = 0
        self.url = ""

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def listeners() -> AsyncIterator[tuple[Listener, Listener]]:
    both = Listener(), Listener()
    servers = [await asyncio.start_server(each.take, "127.0.0.1", 0) for each in both]
    for each, server in zip(both, servers, strict=True):
        each.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield both
    for server in servers:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
async def test_no_proxy_of_the_environment_is_used(
    listeners: tuple[Listener, Listener], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    there, proxy = listeners
    monkeypatch.setenv(name, proxy.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    client = Client(there.url)
    await client.call("GET", "/jobs")
    await client.aclose()
    await post.post(f"{there.url}/hook", b"{}", {}, anywhere=True)
    assert (there.came, proxy.came) == (2, 0)
