"""What tracked code says, told in the thread that says it: in a test nothing is to go on behind its back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

from ..aside import anywhere
from ..push.reporter import Reporter, Teller

_MOST = 100
"""How many times a job is asked for its news: it tells some hundred lines at a time."""


class ToldHere(Reporter):
    """In the place of a reporter. A job tells its first word when its block begins, and all else when it has ended."""

    def add(self, teller: Teller) -> None:
        self._tellers[teller] = (0.0, 0.0)
        anywhere(partial(asyncio.run, _first_of(teller)))

    def wake(self) -> None:
        for teller in list(self._tellers):
            anywhere(partial(asyncio.run, _all_of(teller)))
            if teller.over:
                del self._tellers[teller]

    def finish(self) -> None:
        """There is nothing left to tell."""


async def _first_of(teller: Teller) -> None:
    await teller.tell(time.monotonic())


async def _all_of(teller: Teller) -> None:
    for _ in range(_MOST):
        if teller.over:
            break
        await teller.tell(time.monotonic())


def at_once(then: Callable[[], object], using: str) -> None:
    """Take what was written for committed: in the transaction of a test nothing ever is."""
    then()
