"""A server on loopback that says nothing, or what no decent server would, whatever it is asked."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_SENT_MOST = 1 << 28


class Hostile:
    """What it is going to say, and what came of it.

    :param says: the bytes of its answer.
    :param endless: bytes that come after them again and again.
    :param pause: seconds before each of these.
    :param silent: whether it keeps the connection open once it has nothing more to say.
    """

    def __init__(self, says: bytes, endless: bytes, pause: float, *, silent: bool) -> None:
        self.says, self.endless, self.pause, self.silent = says, endless, pause, silent
        self.host, self.port = "127.0.0.1", 0
        self.calls = 0
        """Connections that it has had."""
        self.sent = 0
        """Bytes that it got rid of."""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Treat one connection as it was told to."""
        self.calls += 1
        with suppress(OSError):
            await reader.read(1 << 16)
            await self._say(writer, self.says)
            while self.endless and self.sent < _SENT_MOST:
                await asyncio.sleep(self.pause)
                await self._say(writer, self.endless)
            if not self.silent:
                writer.write_eof()
            # Until it leaves: who closes first may cut off what is still on its way.
            await reader.read()
        writer.close()

    async def _say(self, writer: asyncio.StreamWriter, what: bytes) -> None:
        writer.write(what)
        await writer.drain()
        self.sent += len(what)


@asynccontextmanager
async def hostile(
    says: bytes = b"", *, endless: bytes = b"", pause: float = 0, silent: bool = False
) -> AsyncIterator[Hostile]:
    """Run such a server in the running event loop."""
    it = Hostile(says, endless, pause, silent=silent)
    callers: set[asyncio.Task[None]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if (caller := asyncio.current_task()) is not None:
            callers.add(caller)
        with suppress(asyncio.CancelledError):
            await it.answer(reader, writer)
        writer.transport.abort()

    server = await asyncio.start_server(answer, it.host, 0)
    it.port = server.sockets[0].getsockname()[1]
    try:
        yield it
    finally:
        server.close()
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)


def nobody() -> tuple[str, int]:
    """Return a host and port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
        return str(host), int(port)


def http(body: bytes, status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """Return a reply as it goes over the wire.

    :param length: the bytes that it says it has, if that is a lie.
    """
    size = len(body) if length is None else length
    lines = (f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {size}", *headers, "", "")
    return "\r\n".join(lines).encode() + body
