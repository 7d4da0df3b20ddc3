"""Looks at the channel layers: what is sent on one arrives."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from channels.layers import channel_layers
from django.conf import settings

from .. import checks
from .finding import Finding, error, ok

_AGAIN = 0.3
"""Seconds until it is sent once more: a subscription may come after the first message."""
_TIMES = 20


async def layer(alias: str) -> list[Finding]:
    """Send a message on a layer, to nobody else, and receive it.

    :raises Exception: what the layer raises.
    """
    about = f"layer {alias}"
    if alias not in _configured():
        return [error(about, f"There is no channel layer {alias!r}.", "See manage.py check.")]
    # One of our own: this process' may belong to another event loop.
    made = channel_layers.make_backend(alias)
    try:
        came = await _there_and_back(made)
    finally:
        await _close(made, checks.kinds_of(_configured()[alias]["BACKEND"]))
    if not came:
        return [error(about, "What is sent does not arrive.", "See that all its hosts are the same Redis, and answer.")]
    return [ok(about, "What is sent arrives.")]


def only_on(alias: str, url: str) -> bool:
    """Whether a layer is on the Redis of a URL and on no other."""
    try:
        hosts = [checks.form_of(host) for host in _configured()[alias]["CONFIG"]["hosts"]]
        return {_place(str(host["address"])) for host in hosts} == {_place(url)}
    except (KeyError, TypeError, ValueError):
        return False


def _place(url: str) -> tuple[str, int]:
    """Return where a URL leads, whatever the user and the number of the database."""
    parts = urlsplit(url)
    return parts.hostname or parts.path, parts.port or 6379


def _configured() -> Any:
    return getattr(settings, "CHANNEL_LAYERS", {})


async def _there_and_back(made: Any) -> bool:
    channel = await made.new_channel()
    message = {"type": "progrock.doctor", "id": uuid.uuid4().hex}
    receiving = asyncio.ensure_future(made.receive(channel))
    try:
        for _ in range(_TIMES):
            await made.send(channel, message)
            if (await asyncio.wait([receiving], timeout=_AGAIN))[0]:
                return bool(receiving.result() == message)
        return False
    finally:
        receiving.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await receiving


async def _close(made: Any, kinds: set[str]) -> None:
    """Let go of connections: with what other layers call `flush`, they would be emptied for everybody."""
    if checks.CORE in kinds:
        await made.close_pools()
    elif checks.PUB_SUB in kinds:
        await made.flush()
