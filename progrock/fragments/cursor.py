"""What a reader of rows has: the cursor of the journal, and the number of the last line that was shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from django.http import HttpRequest

from ..exceptions import Invalid
from ..feed import Answer
from ..protocol import SEQ_MOST, Line, Resume

_CURSOR = re.compile(r"(\d{1,16})(?:\.(\d{1,10}))?", re.ASCII)


class Cursor(NamedTuple):
    """Where a reader is, as text `<seq>.<n>`.

    The number beside the `seq` is why no row comes twice: a line that a service says again gets a new `seq`, and keeps
    its number.

    :param seq: of the newest snapshot whose lines it has; 0 is before the first.
    :param n: the number of the newest line that it has; 0 is none.
    """

    seq: int = 0
    n: int = 0

    def __str__(self) -> str:
        return f"{self.seq}.{self.n}"


NOTHING = Cursor()


def parse(text: str) -> Cursor | None:
    """Return the cursor that a text is, None if it is none."""
    found = _CURSOR.fullmatch(text)
    if found is None or int(found[1]) > SEQ_MOST:
        return None
    return Cursor(int(found[1]), int(found[2] or 0))


def of_query(request: HttpRequest) -> Cursor:
    """Return the cursor of the query, the one before everything if there is none.

    :raises Invalid: if it cannot be one.
    """
    given = request.GET.get("after", "")
    cursor = parse(given) if given else NOTHING
    if cursor is None:
        raise Invalid(f"after: expected a cursor, as 1795219200123456.17, got {given!a:.80}.")
    return cursor


def of_event(request: HttpRequest) -> Cursor | None:
    """Return the cursor with which an EventSource comes back, None if there is none, or what there is, is none."""
    return parse(request.headers.get("Last-Event-ID", ""))


class Batch(NamedTuple):
    """Lines that a reader is to be given.

    :param lines: oldest first.
    :param whole: whether they take the place of all that it has.
    :param cursor: what it has then.
    :param behind: whether there is more, which cannot be read now.
    """

    lines: Sequence[Line]
    whole: bool
    cursor: Cursor
    behind: bool = False


def answered(answer: Answer, before: Cursor) -> Batch:
    """Return what follows from the answer to a watch for who has the cursor `before`."""
    if answer.resume is None:
        return Batch([], False, before, behind=True)
    return batch(answer.lines, before, answer.snapshot.seq, whole=answer.resume is Resume.RESET)


def batch(lines: Sequence[Line], before: Cursor, seq: int, *, whole: bool = False, behind: bool = False) -> Batch:
    """Return what new lines are for who has the cursor `before`.

    :param seq: of the snapshot that counts them.
    :param whole: whether they are all that is kept, and do not go on where the reader was.
    """
    # A journal that begins anew is told from its beginning, whoever has what of the one before.
    whole = whole or bool(before.n and lines and lines[0].n == 1)
    new = [line for line in lines if whole or line.n > before.n]
    # What is kept no longer may still be on somebody's page: it stays there.
    last = new[-1].n if new else before.n
    return Batch(new, whole and bool(new), before if behind else Cursor(seq, last), behind)
