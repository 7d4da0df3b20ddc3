"""The network between a browser and the server: it can be cut, and fall silent."""

from __future__ import annotations

import asyncio
import contextlib


class Wire:
    """`async with Wire(port) as wire: ... wire.url`.

    :param port: of the server.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._whole = True
        self._speaks = asyncio.Event()
        self._speaks.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self.cut()
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """Break all connections, and let none be made."""
        self._whole = False
        for writer in self._writers:
            writer.transport.abort()

    def hush(self) -> None:
        """Pass nothing on any more; connections stay open, and new ones are made."""
        self._speaks.clear()

    def mend(self) -> None:
        """Be as before."""
        self._whole = True
        self._speaks.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(OSError, asyncio.CancelledError):
            if not self._whole:
                writer.transport.abort()
                return
            there, back = await asyncio.open_connection("127.0.0.1", self._port)
            both = {writer, back}
            self._writers |= both
            try:
                await asyncio.gather(self._pass(reader, back), self._pass(there, writer))
            finally:
                self._writers -= both
                for each in both:
                    each.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while some := await reader.read(65_536):
            await self._speaks.wait()
            writer.write(some)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
