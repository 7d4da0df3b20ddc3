"""A network between a client and Redis that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib


class Proxy:
    """A proxy before a Redis. It cuts a connection instead of passing on the answer, `lose` times; those that are
    open when it is told to :meth:`hush` never pass anything again, and stay open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._tasks: set[asyncio.Task[None]] = set()
        self._hushed: set[asyncio.StreamReader] = set()
        self._readers: set[asyncio.StreamReader] = set()
        self.lose = 0

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    def hush(self) -> None:
        """Let the connections that are open now be half-open."""
        self._hushed |= self._readers

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        redis_reader, redis_writer = await asyncio.open_connection("127.0.0.1", self._port)
        self._readers |= {reader, redis_reader}
        there = asyncio.create_task(self._pass(reader, redis_writer))
        try:
            # Cancelled at the end of the test: asyncio would report it.
            with contextlib.suppress(asyncio.CancelledError):
                await self._answer(redis_reader, writer)
        finally:
            there.cancel()
            for each in (writer, redis_writer):
                each.close()
                with contextlib.suppress(ConnectionError):
                    await each.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer := await self._read(reader):
            if self.lose:
                self.lose -= 1
                return
            writer.write(answer)
            await writer.drain()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await self._read(reader):
            writer.write(asked)
            await writer.drain()

    async def _read(self, reader: asyncio.StreamReader) -> bytes:
        some = await reader.read(65_536)
        if reader in self._hushed:
            await asyncio.Event().wait()
        return some
