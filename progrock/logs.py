"""Log records: what they are about, and their two forms, in which nobody can forge another one."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from . import tracing

R = TypeVar("R")

_MESSAGE_MOST = 10_000
"""Characters of a message."""
_VALUE_MOST = 500
"""The same of what stands beside it."""
_NUMBER_MOST = 1e30
_OWN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"})
_WORDS = ("job", "entry", "delivery", "service", "attempt", "receipt", "leases", "owner", "trace_id")
"""What a line shows beside its message, in this order; JSON shows all that there is."""
_PLAIN = re.compile(r"[\w.:#@/+-]+", re.ASCII)
# What ends a line, moves a cursor, colours a terminal, or turns the direction of what follows; and what is no text.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)

_NOTHING: Mapping[str, object] = {}
_about: ContextVar[Mapping[str, object]] = ContextVar("progrock_about", default=_NOTHING)


@contextmanager
def about(**words: object) -> Iterator[None]:
    """Say what all that is logged inside is about.

    :param words: by name, such as `job`, `service`, `owner`; they are laid over those outside.
    """
    token = _about.set({**_about.get(), **words})
    try:
        yield
    finally:
        _about.reset(token)


def know(**words: object) -> None:
    """Say what all that is logged in this asyncio task from now on is about, and nothing else.

    For asynchronous generators that a task of their own drains, which cannot put a context back.
    """
    _about.set(words)


def along(work: Callable[[], R]) -> Callable[[], R]:
    """Return work whose log lines, in whatever thread it is done, are about what those here are about."""
    words = dict(_about.get())
    if ids := tracing.ids():
        words |= zip(("trace_id", "span_id"), ids, strict=True)

    def there() -> R:
        with about(**words):
            return work()

    return there


def named(owner: str) -> str:
    """Return an owner as logs have it.

    Users stand there by their keys. Of a session, a socket or an address there is a hash: logs are read, sent and kept
    where the jobs' table is not, and it is still the same word each time.

    :param owner: as jobs have it.
    """
    kind, _, rest = owner.partition(":")
    if kind == "user" or not rest:
        return owner
    return f"{kind}:#{hashlib.sha256(owner.encode(errors='backslashreplace')).hexdigest()[:12]}"


def safe(text: str) -> str:
    r"""Return a text that stays in its line and leaves terminals alone: `\n`, `\x1b`, `\u202e` are shown as such."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class About(logging.Filter):
    """Puts on each record what it is about; what the line says itself, by `extra`, goes before.

    For a handler, whatever its formatter. It takes nothing out.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Put it on."""
        there = vars(record)
        for name, value in _about.get().items():
            if name not in there:
                there[name] = named(value) if name == "owner" and isinstance(value, str) else value
        if "trace_id" not in there and (ids := tracing.ids()):
            there["trace_id"], there["span_id"] = ids
        return True


class Line(logging.Formatter):
    """A line for people: the message, and in brackets what it is about and does not say itself."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and below it, indented, what was raised."""
        message = _message(record)
        line = f"{self.formatTime(record)} {record.levelname:<7} {safe(record.name)}: {message}"
        found = _words(record)
        beside = ((name, found[name]) for name in _WORDS if name in found)
        told = " ".join(f"{name}={_quoted(str(value))}" for name, value in beside if not _says(message, value))
        return "\n".join([f"{line} [{told}]" if told else line, *_raised(self, record)])


class Json(logging.Formatter):
    """A JSON object on a line, for machines: time, level, logger, message, and what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object."""
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        said: dict[str, object] = {
            "time": f"{at}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "logger": safe(record.name),
            "message": _message(record),
            "pid": record.process,
        }
        # No word that a line brings takes the place of one of these.
        said = {**said, **_words(record), **said}
        if raised := _raised(self, record):
            said["exception"] = "\n".join(raised)
        # ASCII: what cannot be shown somewhere arrives there nevertheless.
        return json.dumps(said, ensure_ascii=True, allow_nan=False)


def _message(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except Exception as error:
        # A line with a mistake in it is better than none, and than the standard one on stderr, which is not made safe.
        text = f"{record.msg!s} (its arguments do not fit: {type(error).__name__})"
    return _cut(text, _MESSAGE_MOST)


def _words(record: logging.LogRecord) -> dict[str, object]:
    """Return what a record has beside what all have, as far as it is plain."""
    found: dict[str, object] = {}
    for name, value in vars(record).items():
        if name in _OWN or value is None:
            continue
        if isinstance(value, uuid.UUID | str):
            found[safe(name)] = _cut(str(value), _VALUE_MOST)
        elif isinstance(value, bool | int | float) and abs(value) < _NUMBER_MOST:
            found[safe(name)] = value
    return found


def _raised(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    """Return the lines of what was raised. What it says may have lines too: none looks like the next record."""
    text = ""
    if record.exc_info and record.exc_info[0]:
        text = formatter.formatException(record.exc_info)
    elif record.exc_text:
        text = record.exc_text
    if record.stack_info:
        text = f"{text}\n{formatter.formatStack(record.stack_info)}".strip()
    return [f"    {_cut(line, _MESSAGE_MOST)}" for line in text.split("\n")] if text else []


def _cut(text: str, most: int) -> str:
    return safe(text if len(text) <= most else f"{text[:most]}…")


def _says(message: str, value: object) -> bool:
    """Return whether a message has a text already. A number there may be any other."""
    return isinstance(value, str) and re.search(rf"(?<!\w){re.escape(value)}(?!\w)", message) is not None


def _quoted(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
