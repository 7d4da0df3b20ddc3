"""Journals in the Redis of the schedule: a stream for each job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..delay.connections import connector
from ..delay.scripts import Scripts
from ..protocol import Line
from .journal import LIVE, Extract, Journal

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Line).decode


def _tag(job: str) -> str:
    return f"{{journal.{job}}}"


class RedisJournal(Journal):
    """Of all processes on one Redis.

    :param url: of the Redis, as the schedule has it.
    :param most: how many lines of a job are kept: the newest.
    :param keep: for how many milliseconds after its end.
    :raises ValueError: if it is no URL of a Redis.
    """

    def __init__(self, url: str, most: int, keep: int) -> None:
        self._scripts = Scripts(connector(url), [], folder=Path(__file__).parent / "lua", keys=("lines",))
        self._most = most
        self._keep = keep

    async def append(self, job: str, lines: Sequence[Line]) -> None:
        words = [word for line in lines for word in (line.n, line.seq, _encode(line))]
        await self._scripts.run("append", _tag(job), self._most, LIVE, *words)

    async def read(self, job: str, after: int = 0) -> Extract:
        whole, found = await self._scripts.run("read", _tag(job), after)
        return Extract([line for line in map(_line, found) if line is not None], bool(whole))

    async def keep(self, job: str) -> None:
        await self._scripts.command("PEXPIRE", f"{_tag(job)}:lines", self._keep)

    async def aclose(self) -> None:
        await self._scripts.aclose()


def _line(text: bytes) -> Line | None:
    """Return a line, None of what other hands have put there."""
    try:
        return _decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
