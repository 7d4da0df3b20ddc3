"""How a process of its own shows jobs: a line for each change, in words or JSON, or bars on a terminal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import msgspec
from django.core.management.base import OutputWrapper

from progrock.protocol import Line, Snapshot, State
from progrock.step import one_line
from progrock.words import REASONS, STATES


class Screen(Protocol):
    """Where jobs are shown."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, snapshot: Snapshot, lines: Sequence[Line] = ()) -> None:
        """Show how a job stands, and what its journal has that is new."""


class Words:
    """A line for each change, for people and logs.

    :param out: where to.
    :param named: whether each line says of which job it is.
    """

    def __init__(self, out: OutputWrapper, *, named: bool) -> None:
        self._out = out
        self._named = named
        self._said: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Everything has been written."""

    def show(self, snapshot: Snapshot, lines: Sequence[Line] = ()) -> None:
        for line in lines:
            write(self._out, said(line))
        # Not how long it may take yet: that is new each time.
        words = " ".join(filter(None, [STATES[snapshot.state], f"{progress(snapshot):>4}", text(snapshot)]))
        if self._named:
            words = f"{snapshot.job} {words}"
        if self._said.get(snapshot.job) != words:
            self._said[snapshot.job] = words
            write(self._out, words)


class Json:
    """A line of JSON for each snapshot, as clients get it."""

    def __init__(self, out: OutputWrapper) -> None:
        self._out = out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Everything has been written."""

    def show(self, snapshot: Snapshot, lines: Sequence[Line] = ()) -> None:
        said = msgspec.to_builtins(snapshot)
        if lines:
            said["journal"] = msgspec.to_builtins(lines)
        write(self._out, as_json(said))


def screen(out: OutputWrapper, *, as_json: bool, plain: bool = False, named: bool = False) -> Screen:
    """Return what fits: bars where somebody looks, and rich is installed; else lines.

    :param as_json: lines of JSON are wanted.
    :param plain: no colours are wanted.
    :param named: whether there may be more than one job.
    """
    if as_json:
        return Json(out)
    if out.isatty():
        try:
            from .bars import Bars
        except ImportError:
            pass
        else:
            if Bars.fits():
                return Bars(plain=plain)
    return Words(out, named=named)


def write(out: OutputWrapper, words: str) -> None:
    """Write a line at once, as far as whoever reads it knows its characters."""
    encoding = getattr(out, "encoding", None) or "utf-8"
    out.write(words.encode(encoding, "backslashreplace").decode(encoding))
    out.flush()


def as_json(value: Any) -> str:
    """Return JSON in one line of ASCII: a result may have in it whatever a terminal takes for a command."""
    return json.dumps(msgspec.to_builtins(value)).replace("\x7f", "\\u007f")


def title(snapshot: Snapshot) -> str:
    """Return what a job is called."""
    # What comes from outside was made one line before it was kept; other hands may have written the row.
    return one_line(snapshot.title) or one_line(snapshot.service)


def progress(snapshot: Snapshot) -> str:
    """Return how far a job is, if it says."""
    known = snapshot.percent is not None or snapshot.state is State.SUCCEEDED
    return f"{snapshot.progress} %" if known else ""


def text(snapshot: Snapshot) -> str:
    """Return what a job is called and what there is to say of it."""
    return ": ".join(filter(None, [title(snapshot), note(snapshot)]))


def note(snapshot: Snapshot) -> str:
    """Return what there is to say of a job: why it failed, that nobody answers, or else its message."""
    if snapshot.error is not None:
        reason = REASONS.get(snapshot.error.code, "No reason was given.")
        return one_line(snapshot.error.message) or reason
    if snapshot.misses:
        return "No answer, asking again"
    message = one_line(snapshot.message)
    return f"{message} (nothing moves)".strip() if snapshot.stalled and not snapshot.complete else message


def time_left(snapshot: Snapshot) -> str:
    """Return how long a job is expected to take yet, if that is known."""
    return f"about {span(snapshot.left)} left" if snapshot.left is not None and not snapshot.complete else ""


def span(ms: int) -> str:
    """Return a duration for people, of so many milliseconds."""
    seconds = max(1, round(ms / 1000))
    for unit, size, most in (("s", 1, 90), ("min", 60, 90), ("h", 3_600, 48)):
        if seconds < size * most:
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds / 86_400)} d"


def said(line: Line) -> str:
    """Return a line of a journal."""
    level = "" if line.level == "info" else f"{one_line(line.level)}: "
    beside = "" if line.data is None else f" {as_json(line.data)}"
    return f"  {level}{one_line(line.text)}{beside}"
