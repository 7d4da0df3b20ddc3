"""Inboxes in the Redis of the schedule: a hash and a list for each job."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import asdict

from ..delay.connections import connector
from ..delay.scripts import Scripts
from ..protocol import Line, State
from .inbox import LIVE, OVER, End, Heard, Inbox, Report, Said

_TAG = "{inbox}"
"""One for all jobs, so that a batch of them is read with one call."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_decode_line = msgspec.msgpack.Decoder(Line).decode
_decode_end = msgspec.msgpack.Decoder(End).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)


class RedisInbox(Inbox):
    """Of all processes on one Redis.

    :param url: of the Redis, as the schedule has it.
    :param most: how many lines of a job are kept: the newest.
    :raises ValueError: if it is no URL of a Redis.
    """

    def __init__(self, url: str, most: int) -> None:
        self._scripts = Scripts(connector(url), [], folder=Path(__file__).parent / "lua", keys=("jobs",))
        self._most = most

    async def put(
        self,
        job: str,
        report: Report | None = None,
        lines: Sequence[Line] = (),
        end: End | None = None,
        *,
        waiting: bool = False,
        sender: str = "",
        number: int = 0,
    ) -> Heard:
        fields = [(name, _encode(each)) for name, each in asdict(report).items() if each is not None] if report else []
        words: list[Any] = [job, self._most, LIVE, OVER, int(waiting), sender, number, _encode(end) if end else ""]
        words += [len(fields), *(word for field in fields for word in field), *map(_encode, lines)]
        cancelled, over = await self._scripts.run("put", _TAG, *words)
        return Heard(bool(cancelled), bool(over))

    async def read(self, jobs: Sequence[str]) -> Sequence[Said | None]:
        return [_said(each) for each in await self._scripts.run("read", _TAG, *jobs)] if jobs else []

    async def lines(self, job: str, first: int, most: int) -> tuple[int, Sequence[Line]]:
        first, found = await self._scripts.run("lines", _TAG, job, first, most)
        return first, [_line(each) for each in found]

    async def follow(self, job: str, last: int) -> None:
        await self._scripts.run("follow", _TAG, job, last)

    async def cancel(self, job: str) -> None:
        await self._scripts.run("cancel", _TAG, job, _encode(End(State.CANCELLED)), LIVE, OVER)

    async def aclose(self) -> None:
        await self._scripts.aclose()


def _said(found: Sequence[Any]) -> Said | None:
    """Return what a job's hash says; what other hands have put there says nothing."""
    if not found:
        return None
    silence, *words = found
    fields = dict(zip((bytes(word).decode(errors="replace") for word in words[::2]), words[1::2], strict=True))
    said = {name: _plain(fields[name]) for name in Report.__struct_fields__ if name in fields}
    try:
        report = msgspec.convert(said, Report)
    except msgspec.ValidationError:
        report = Report()
    try:
        end = _decode_end(fields["end"]) if "end" in fields else None
    except _UNREADABLE:
        end = End(State.FAILED, "How it ended cannot be read.")
    lines = fields.get("lines", b"0")
    return Said(report, int(lines) if lines.isdigit() else 0, end, int(silence), fields.get("waiting") == b"1")


def _plain(text: bytes) -> Any:
    try:
        return _decode(text)
    except _UNREADABLE:
        return None


def _line(text: bytes) -> Line:
    """Return a line; one that other hands have put there keeps its number, and says nothing."""
    try:
        return _decode_line(text)
    except _UNREADABLE:
        return Line("")
