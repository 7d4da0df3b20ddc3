"""What adapters answer, if it is what they promise: anybody may write one, and what it says is told and kept."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from ..protocol import State
from ..step import Look, Miss, deep
from .base import Started

_FIRST_MOST = 10**9
"""The number of a line that rows can still count."""


def checked(answer: object) -> Started | Miss:
    """Return what an adapter says of a start, if its name for the job is one that can be kept."""
    if isinstance(answer, Miss):
        return answer
    name = answer.remote if isinstance(answer, Started) else None
    if isinstance(answer, Started) and isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable():
        return answer
    return Miss("nonsense", "The service's name for the job makes no sense.")


def each_of(looks: object, count: int) -> Sequence[object] | Miss:
    """Return what an adapter says of many jobs, if it says something of each."""
    if isinstance(looks, Miss):
        return looks
    if isinstance(looks, Collection) and len(looks) == count:
        return list(looks)
    return Miss("nonsense", "The adapter gave more or fewer answers than it was asked for.")


def sane(look: object) -> Look:
    """Return what an adapter says of a job, if it is a look, and nothing in it that could not be told or kept."""
    nonsense = Miss("nonsense", "The adapter's answer made no sense.")
    if not isinstance(look, Look):
        return nonsense
    said: Any = look  # what its fields are is only promised
    if not isinstance(said.again, int | None) or not isinstance(said.message, str):
        return nonsense
    if isinstance(look, Miss):
        return look if isinstance(said.code, str) and 0 < len(said.code) <= 64 and said.code.isprintable() else nonsense
    if not isinstance(said.state, State) or not isinstance(said.title, str) or not isinstance(said.file, str | None):
        return nonsense
    if not isinstance(said.lines, list | tuple) or type(said.first) is not int or not 1 <= said.first <= _FIRST_MOST:
        look = replace(look, lines=(), first=1)
    if look.result is None:
        return look
    try:
        # As JSON has it: what cannot be told to a client must not get into the row that it is told from.
        text = msgspec.json.encode(look.result)
        result = msgspec.json.decode(text)
        if deep(result):
            return nonsense
        return replace(look, result=_without_nul(result) if b"\\u0000" in text else result)
    except (TypeError, ValueError, RecursionError):
        return nonsense


def _without_nul(value: Any) -> Any:
    """Return JSON with U+FFFD for NUL, which PostgreSQL cannot keep: one character is no reason to lose a result."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, list):
        return [_without_nul(each) for each in value]
    if isinstance(value, dict):
        return {_without_nul(key): _without_nul(each) for key, each in value.items()}
    return value
