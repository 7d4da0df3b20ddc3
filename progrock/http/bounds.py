"""What one owner may have of one process: starts a second, and answers that are waited for."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from .. import counts
from ..consumers.receiver import Bucket
from ..exceptions import TooMany

OPEN_MOST = 50
"""Streams and long polls of one owner at the same time; of an address of which nobody is known, ten times as many."""
OWNERS_MOST = 10_000
"""Owners who are remembered; one who is forgotten may start five jobs at once again."""

_starts: OrderedDict[str, Bucket] = OrderedDict()
_open: Counter[str] = Counter()


def take_start(owner: str) -> None:
    """Count a start.

    :raises TooMany: if there was none left.
    """
    bucket = _starts.setdefault(owner, Bucket(1, 5))
    _starts.move_to_end(owner)
    if len(_starts) > OWNERS_MOST:
        _starts.popitem(last=False)
    if not bucket.take():
        counts.REFUSED.add(TooMany.code)
        raise TooMany("Expected at most one start a second, got more. Try again in a moment.")


@contextmanager
def room(owner: str) -> Iterator[None]:
    """Count an answer that is waited for, as long as it is.

    :raises TooMany: if the owner waits for enough already.
    """
    look(owner)
    _open[owner] += 1
    try:
        yield
    finally:
        _open[owner] -= 1
        if not _open[owner]:
            del _open[owner]


def look(owner: str) -> None:
    """Refuse one that :func:`room` would refuse.

    :raises TooMany: if the owner waits for enough already.
    """
    most = OPEN_MOST * 10 if owner.startswith("nobody:") else OPEN_MOST
    if _open[owner] >= most:
        raise TooMany(f"Expected at most {most} open requests, got one more.")


def forget() -> None:
    """Begin to count anew."""
    _starts.clear()
    _open.clear()
