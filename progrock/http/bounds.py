"""What one owner may have of one process: answers that are waited for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from .. import registry
from ..exceptions import TooMany

_open: Counter[str] = Counter()


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
    most = registry.conf().max_streams
    if owner.startswith("nobody:"):
        most *= 10  # behind one address there may be many
    if _open[owner] >= most:
        raise TooMany(f"Expected at most {most} open requests, got one more.")


def forget() -> None:
    """Begin to count anew."""
    _open.clear()
