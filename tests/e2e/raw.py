"""A websocket client below the protocol: it sends what no browser would, and reads only when it is asked to."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from types import TracebackType
from typing import Self

from tests.e2e.server import ServerProcess

CONTINUATION, TEXT, CLOSE, PING = 0x0, 0x1, 0x8, 0x9


class Raw:
    """One TCP connection to a server, upgraded.

    :param session: the cookie that it shows.
    :param buffer: bytes that the kernel keeps for it to read, as few as it can.
    :raises ConnectionRefusedError: if it is not let in.
    """

    def __init__(self, server: ServerProcess, *, session: str = "", buffer: int | None = None) -> None:
        self._connection = socket.socket()
        if buffer:
            self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._connection.settimeout(10)
        self._connection.connect(("127.0.0.1", server.port))
        self._read = b""
        self.kinds: list[int] = []
        """What frames came."""
        self._connection.sendall(request(server, session))
        while b"\r\n\r\n" not in self._read:
            self._read += self._connection.recv(65_536)
        head, _, self._read = self._read.partition(b"\r\n\r\n")
        if head.startswith(b"HTTP/1.1 403"):
            self._connection.close()
            raise ConnectionRefusedError(head)
        assert head.startswith(b"HTTP/1.1 101"), head

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def send(self, content: bytes, kind: int = TEXT, *, last: bool = True, length: int | None = None) -> None:
        """Send a frame, or a fragment.

        :param last: whether the message ends with it.
        :param length: what its head says, if that is a lie.
        """
        length = len(content) if length is None else length
        head = bytes([(0x80 if last else 0) | kind])
        if length < 126:
            head += bytes([0x80 | length])
        else:
            head += (
                struct.pack("!BH", 0x80 | 126, length) if length < 65_536 else struct.pack("!BQ", 0x80 | 127, length)
            )
        # The mask there must be; this one changes nothing.
        self._connection.sendall(head + bytes(4) + content)

    def say(self, frame: object) -> None:
        """Send a frame of the protocol."""
        self.send(json.dumps(frame).encode())

    def frame(self) -> tuple[int, bytes] | None:
        """Return the next frame; None at the end of the connection."""
        try:
            head = self._take(2)
            length = head[1] & 0x7F
            if length >= 126:
                length = int.from_bytes(self._take(2 if length == 126 else 8))
            content = self._take(length)
        except (EOFError, ConnectionResetError):
            return None
        self.kinds.append(head[0] & 0x0F)
        return self.kinds[-1], content

    def ended(self, within: float = 10) -> int | None:
        """Read to the end of the connection.

        :param within: seconds until then.
        :returns: the close code; None if it was dropped without one.
        """
        end, code = time.monotonic() + within, None
        while frame := self.frame():
            if frame[0] == CLOSE:
                code = int.from_bytes(frame[1][:2])
            assert time.monotonic() < end, f"expected the end within {within} s"
        return code

    def _take(self, count: int) -> bytes:
        while len(self._read) < count:
            if not (more := self._connection.recv(65_536)):
                raise EOFError
            self._read += more
        taken, self._read = self._read[:count], self._read[count:]
        return taken


def request(server: ServerProcess, session: str = "") -> bytes:
    """Return what a browser of the same site asks for first."""
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /prog/ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nOrigin: {server.url}\r\nCookie: {session}\r\n"
        f"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()
