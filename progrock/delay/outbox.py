"""Sending a message later from Python: `await delay.send(…)`, from any process that knows the store."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from .door import door
from .message import check, entry_key, entry_of
from .store import DelayStore

_store: Callable[[], DelayStore] | None = None


def setup(store: Callable[[], DelayStore]) -> None:
    """Say where messages wait; once for a process, before the first is sent. ProgRock's Django app does it.

    :param store: returns the store.
    """
    global _store
    _store = store


async def send(
    channel: str,
    message: dict[str, Any],
    *,
    delay: float,
    key: str | None = None,
    replace: bool = False,
    layer: str = "",
) -> str | None:
    """Send a message to a channel later, at least once.

    It is stored before this returns, and survives whatever happens to this process.

    :param delay: milliseconds from now, up to 366 days.
    :param key: a name of at most 200 characters, by which it can be removed or replaced as long as it waits.
    :param replace: whether it takes the place of one that waits under the same key.
    :param layer: alias of the channel layer that it is sent on; empty is the one between relay and workers.
    :returns: the key, a new one if none was given; None if one waits under it, or lies dead, and is not to be replaced.
    :raises InvalidMessage: if it cannot be sent as it stands.
    :raises StoreAway: if the store does not answer; it may have been stored or not.
    """
    name = uuid.uuid4().hex if key is None else key
    delayed = check({"channel": channel, "content": message, "delay": delay, "layer": layer, "key": name})
    (due,) = await _get().schedule([entry_of(delayed)], replace=replace)
    # A name that was made here can only be there because the store was asked twice: the first answer was lost.
    return name if due is not None or key is None else None


async def remove(key: str) -> bool:
    """Forget a message that waits.

    :returns: whether there was one. One that is being sent right now may still arrive.
    :raises StoreAway: if the store does not answer.
    """
    return bool(await _get().remove([entry_key(key)]))


async def aclose() -> None:
    """Close the running event loop's connections to the store."""
    await _get().aclose()


send_sync = door(send, aclose)
remove_sync = door(remove, aclose)


def _get() -> DelayStore:
    if _store is None:
        raise RuntimeError("Expected delay.setup(store) before the first message, got none: is progrock installed?")
    return _store()
