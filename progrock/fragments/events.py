"""Rows as server-sent events: `message` is one more, `reset` is all of them, `close` is the end."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .cursor import Batch, Cursor
from .rows import Row, Rows

_BREAK = re.compile(r"\r\n|\r|\n")


def event(kind: str, html: str = "", cursor: Cursor | None = None) -> str:
    """Return an event, with the cursor to come back with."""
    # Whatever a line says stays in the event: what an EventSource takes for a new line begins a new field.
    data = "".join(f"data: {line}\n" for line in _BREAK.split(html.strip()))
    number = "" if cursor is None else f"id: {cursor}\n"
    return f"event: {kind}\n{number}{data}\n"


def told(new: Batch, before: Cursor, made: Sequence[Row], shown: Rows) -> Iterator[str]:
    """Return the events that give a reader some lines.

    :param before: what it has.
    :param made: the rows that the lines have become.
    """
    if new.whole:
        yield event("reset", shown.together(made), new.cursor)
        return
    for row in made:
        # Cut off before the last of them, a reader comes back for the rest.
        yield event("message", row.html, new.cursor if row is made[-1] else Cursor(before.seq, row.n))
    if not made and new.cursor != before:
        yield f"id: {new.cursor}\n\n"
