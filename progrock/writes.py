"""Writes to rows: those that are asked for while another is under way are one transaction, and one trip."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DataError, IntegrityError, router, transaction
from django.db.models import QuerySet

from .models import Delivery, Job

_MOST = 100
"""How many at once: a long transaction holds up others."""
_Rows = QuerySet[Job] | QuerySet[Delivery]
_Write = tuple[_Rows, dict[str, Any], Callable[[], object] | None, "asyncio.Future[int]"]


class Writes:
    """The updates of one event loop.

    A commit and the way to the database's thread cost more than the update itself. Many jobs that start or end in one
    batch of steps share both.
    """

    def __init__(self) -> None:
        self._waiting: list[_Write] = []
        self._writing: asyncio.Task[None] | None = None

    async def update(self, rows: _Rows, *, then: Callable[[], object] | None = None, **changes: Any) -> int:
        """Update rows and return how many they were, once that is committed.

        :param then: what else is written in the same transaction, if there were any. May be called again, if that
            was rolled back.
        :raises django.db.Error: as the same update by itself does; what is wrong with one is not the others' trouble.
        """
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((rows, changes, then, future))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())
        result: int = await future
        return result

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
            try:
                answers: Sequence[int | Exception] = await sync_to_async(_commit)(batch)
            except Exception as error:
                answers = [error] * len(batch)
            for (*_, future), answer in zip(batch, answers, strict=True):
                if future.cancelled():
                    continue
                if isinstance(answer, Exception):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)


def _commit(batch: Sequence[_Write]) -> Sequence[int | Exception]:
    using = router.db_for_write(Job)
    try:
        with transaction.atomic(using):
            return [_update(rows, changes, then) for rows, changes, then, _ in batch]
    except (DataError, IntegrityError, TypeError, ValueError, ArithmeticError, RecursionError) as error:
        if len(batch) == 1:
            return [error]
    # One of them cannot be: each by itself.
    return [answer for write in batch for answer in _commit([write])]


def _update(rows: _Rows, changes: dict[str, Any], then: Callable[[], object] | None) -> int:
    count = rows.update(**changes)
    if count and then is not None:
        then()
    return count
