"""The sync twin of a coroutine function, which leaves no connections behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from asgiref.sync import AsyncToSync, async_to_sync

P = ParamSpec("P")
R = TypeVar("R")


def door(function: Callable[P, Coroutine[Any, Any, R]], aclose: Callable[[], Awaitable[None]]) -> Callable[P, R]:
    """Return the sync twin of `function`, for threads without a running event loop.

    :param aclose: lets go of the running loop's connections; called when the loop was made for this call alone.
    """

    @wraps(function)
    async def once(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        finally:
            # Where asgiref keeps the loops that it makes; in a server's loop the connections are for the next call.
            if asyncio.get_running_loop() in AsyncToSync.loop_thread_executors:
                await aclose()

    return wraps(function)(async_to_sync(once))
