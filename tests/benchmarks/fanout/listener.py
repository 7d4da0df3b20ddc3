"""The listening process: many websockets that cost little, so that what is measured is the server."""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import resource
import sys
import time
from array import array
from pathlib import Path

import msgspec

WARM = 20
"""Sockets that are opened before memory is first looked at: what a process needs once is not what a socket needs."""
AT_ONCE = 20
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class _Told(msgspec.Struct):
    job: str
    seq: int


class _Frame(msgspec.Struct):
    type: str
    job: str = ""
    seq: int = 0
    updates: list[_Told] = []
    ack: int = 0


_decode = msgspec.json.Decoder(_Frame).decode


class Socket(asyncio.Protocol):
    """One websocket: upgrades, says one thing, and notes the updates that come.

    :param port: of the server.
    :param path: what is asked for.
    :param session: the key of the session.
    :param first: the frame that is sent once there is a hello.
    :param numbers: of each job.
    :param heard: of each update its job's number, its seq, and when it came in microseconds.
    """

    def __init__(
        self, port: int, path: str, session: str, first: str, numbers: dict[str, int], heard: array[int]
    ) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
            f"Cookie: sessionid={session}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n\r\n"
        )
        self._first = first
        self._numbers = numbers
        self._heard = heard
        self._buffer = b""
        self._open = False
        self.frames = 0
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request.encode())

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if not self._open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.ready.set_exception(ConnectionError(head.decode("latin1")))
                return
            self._open, self._buffer = True, rest
        at = 0
        while (end := self._frame(at)) > at:
            at = end
        self._buffer = self._buffer[at:]

    def connection_lost(self, trouble: Exception | None) -> None:
        if not self.ready.done():
            self.ready.set_exception(ConnectionError("the server closed the connection"))

    def _frame(self, at: int) -> int:
        """Take the frame at a place in the buffer, if it is all there; return where the next begins."""
        buffer = self._buffer
        if len(buffer) < at + 2:
            return at
        length, head = buffer[at + 1], 2
        if length >= 126:
            head = 4 if length == 126 else 10
            if len(buffer) < at + head:
                return at
            length = int.from_bytes(buffer[at + 2 : at + head])
        end = at + head + length
        if len(buffer) < end:
            return at
        content, kind = buffer[at + head : end], buffer[at] & 0x0F
        if kind == TEXT:
            self._text(content)
        elif kind == PING:
            self._send(PONG, content)
        elif kind == CLOSE:
            sys.stderr.write(f"A socket was closed: {int.from_bytes(content[:2])}\n")
        return end

    def _text(self, content: bytes) -> None:
        frame = _decode(content)
        match frame.type:
            case "update":
                self._note(frame.job, frame.seq)
            case "updates":
                for told in frame.updates:
                    self._note(told.job, told.seq)
            case "hello":
                self._send(TEXT, self._first.encode())
            case _ if not self.ready.done():
                self.ready.set_result(frame.type)
        self.frames += 1
        if frame.ack:
            self._send(TEXT, b'{"action":"ack","ack":%d}' % frame.ack)

    def _note(self, job: str, seq: int) -> None:
        self._heard.extend((self._numbers[job], seq, time.time_ns() // 1000))

    def _send(self, kind: int, content: bytes) -> None:
        # A mask there must be; this one changes nothing.
        self._transport.write(bytes((0x80 | kind, 0x80 | len(content), 0, 0, 0, 0)) + content)


async def _listen(folder: Path, ports: list[int], part: int, parts: int, plain: bool, dashboard: bool) -> None:
    # As the parts start at the same time, each reads what the publisher has made.
    jobs = json.loads((folder / "jobs.json").read_text())
    numbers = {job: n for n, (job, _, _) in enumerate(jobs)}
    heard = array("q")
    loop = asyncio.get_running_loop()
    sockets: list[Socket] = []
    few = asyncio.Semaphore(AT_ONCE)

    async def connect(n: int) -> None:
        job, _, session = jobs[n]
        first = '{"action":"list"}' if dashboard else f'{{"action":"watch","job":"{job}"}}'
        port = ports[n % len(ports)]
        path = f"/baseline/{job}/" if plain else "/prog/"
        async with few:
            _, socket = await loop.create_connection(
                lambda: Socket(port, path, session, first, numbers, heard), "127.0.0.1", port
            )
            sockets.append(socket)
            await asyncio.wait_for(socket.ready, 30)

    mine = [0] if dashboard else list(range(part, len(jobs), parts))
    await asyncio.gather(*map(connect, mine[:WARM]))
    await _say("warm")
    await asyncio.gather(*map(connect, mine[WARM:]))
    answers = sum(socket.frames for socket in sockets)
    await _say("connected")
    # What is on its way when the last is published; longer, if there must be more.
    told = array("q", (folder / "told").read_bytes())
    newest = {n: seq for n, seq in zip(told[::2], told[1::2], strict=True) if n in mine or dashboard}

    def lacks() -> bool:
        came = dict.fromkeys(newest, 0)
        for n, seq in zip(heard[::3], heard[1::3], strict=True):
            came[n] = max(seq, came.get(n, 0))
        return any(came[n] < seq for n, seq in newest.items())

    still, before = 0, -1
    while still < (40 if lacks() else 4):
        still = still + 1 if len(heard) == before else 0
        before = len(heard)
        await asyncio.sleep(0.25)
    (folder / f"heard.{part}").write_bytes(heard.tobytes())
    print(json.dumps({"frames": sum(socket.frames for socket in sockets) - answers}), flush=True)


async def _say(word: str) -> None:
    """Say how far it has come, and wait for a line."""
    print(word, flush=True)
    await asyncio.to_thread(sys.stdin.readline)


def main() -> None:
    """Connect, say so, and when told that all is published, write down what was heard."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("ports", type=int, nargs="+")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--dashboard", action="store_true")
    arguments = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(
        _listen(
            arguments.folder, arguments.ports, arguments.part, arguments.parts, arguments.plain, arguments.dashboard
        )
    )


if __name__ == "__main__":
    main()
