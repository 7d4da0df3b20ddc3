"""What happened, as the processes of a fault test saw it: one line each in a file that all of them append to."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that a process did, or that was done to it.

    :param at: when, in nanoseconds of the machine's monotonic clock, which all processes share.
    :param key: of the entry; the name of a scheduler or a reader, when it is about one.
    :param late: microseconds from due to leased.
    :param asked: when it was asked for; it happened between that and `at`.
    :param given: the receipt that was shown for it.
    """

    what: str
    pid: int
    at: int
    key: str = ""
    step: int = 0
    receipt: int = 0
    attempt: int = 0
    late: int = 0
    asked: int = 0
    given: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Event).decode
_file: int | None = None


def tell(*events: Event) -> None:
    """Append to the file that the environment names. A line is written whole or not at all, even by who is killed."""
    global _file
    if _file is None:
        _file = os.open(os.environ["EVENTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    if events:
        os.write(_file, b"".join(_encode(event) + b"\n" for event in events))


def event(what: str, *, at: int = 0, **details: Any) -> Event:
    """Return an event of this process, of now unless told."""
    return Event(what, os.getpid(), at or time.monotonic_ns(), **details)


class Events:
    """The reading end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()
        self._seen: list[Event] = []
        self._offset = 0

    def read(self) -> list[Event]:
        """Return everything so far."""
        with self.path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._seen.extend(_decode(line) for line in whole.splitlines())
        return self._seen

    def of(self, *whats: str, pid: int = 0, key: str = "", since: int = 0, of_chains: bool = False) -> list[Event]:
        """Return some of them, in the order in which they were told."""
        return [
            each
            for each in self.read()
            if each.what in whats
            and pid in (0, each.pid)
            and key in ("", each.key)
            and each.at >= since
            and (each.step or not of_chains)
        ]
