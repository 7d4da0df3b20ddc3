"""A job that another process will do: its row is there at once, and the rest is told by the reporter's thread."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from .. import registry
from ..access import owner_text
from ..aside import anywhere
from ..models import Job
from ..standing import entry_for
from .reporter import reporter
from .rows import insert, new_row


def queued(
    title: str,
    *,
    owner: Any,
    job: str | uuid.UUID | None = None,
    deadline: int | None = None,
    tell: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Create a job as :func:`progrock.push.create` does, without waiting for the store.

    :raises Invalid: if owner, deadline or tell cannot be one.
    :raises NotFound: if the id is that of somebody else's job.
    :raises Unavailable: if the database is away.
    """
    row = new_row(title, owner=owner_text(owner), job=job, deadline=deadline, tell=tell)
    anywhere(lambda: insert(row, _tell_of))


def _tell_of(row: Job) -> None:
    if row.finished is None:
        reporter().add(_Queued(row))


class _Queued:
    """What is to be told of it: that it waits, unless somebody has begun it already."""

    def __init__(self, row: Job) -> None:
        self._row = row
        self.over = False

    def pressing(self) -> bool:
        return not self.over

    async def tell(self, now: float) -> None:
        await registry.inbox().put(str(self._row.pk), waiting=True)
        await registry.store().schedule([entry_for(self._row, 0)])
        self.over = True
