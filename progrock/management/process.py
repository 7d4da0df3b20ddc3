"""What the long-running commands share: their layer, a store that is fit, and an end in order."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from channels.layers import get_channel_layer
from django.conf import settings
from django.core.management.base import CommandError

from progrock import registry
from progrock.delay import DelayStore, StoreAway
from progrock.metrics import address_of

logger = logging.getLogger(__name__)

STOP = (signal.SIGTERM, signal.SIGINT)
EMBEDDED = (
    "PROGROCK['STORE'] is 'memory://': the schedule is inside the web server, and this process cannot see it. "
    "For processes of their own, set it to the URL of a Redis, such as redis://127.0.0.1:6379/0"
)


def work_layer(alias: str) -> Any:
    """Return the channel layer between processes.

    :raises CommandError: if there is none of that name, or it would not leave this process.
    """
    if registry.conf().embedded:
        raise CommandError(EMBEDDED)
    if alias not in getattr(settings, "CHANNEL_LAYERS", {}):
        known = ", ".join(map(repr, getattr(settings, "CHANNEL_LAYERS", {}))) or "none"
        raise CommandError(f"Expected one of the CHANNEL_LAYERS {known}, got {alias!r}.")
    return get_channel_layer(alias)


def add_metrics(parser: argparse.ArgumentParser) -> None:
    """Let a command have an HTTP port of its own."""
    parser.add_argument(
        "--metrics",
        type=address_of,
        metavar="[ADDRESS:]PORT",
        help="where /metrics, /healthz and /readyz are, on this host if no address is given (default: nowhere)",
    )


async def fit(store: DelayStore) -> None:
    """Wait for the store to answer, and make sure that it keeps what it is given.

    :raises StoreUnfit: if it would not.
    """
    while True:
        try:
            await store.check()
            return
        except StoreAway as trouble:
            logger.warning("The delay store does not answer, trying again: %s", trouble)
            await asyncio.sleep(random.uniform(0.5, 1.5))


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run until `main` ends, or until SIGTERM or SIGINT cancels it; asked again, it is cancelled again.

    :raises Exception: what `main` raises; being stopped is none.
    """

    async def until_stopped() -> None:
        loop = asyncio.get_running_loop()
        work = asyncio.ensure_future(main())
        for number in STOP:
            loop.add_signal_handler(number, work.cancel)
        await asyncio.wait([work])
        if not work.cancelled() and (error := work.exception()):
            raise error

    asyncio.run(until_stopped())
