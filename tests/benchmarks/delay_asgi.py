"""A consumer whose steps do nothing but count themselves, and tell how late they were."""

from __future__ import annotations

import atexit
import os
import random
from array import array
from pathlib import Path

from channels.routing import ChannelNameRouter, ProtocolTypeRouter

from progrock import registry
from progrock.delay import Again, Done, Lease, Outcome, SelfReschedulingConsumer

CHANNEL = "bench"
PADDING = b" " * 90
"""So that a message is about as long as a job's."""

FIRST = b"%9d" % 0 + PADDING
_every = int(os.environ.get("EVERY_MS", "1000"))
_steps = int(os.environ.get("STEPS", "20"))
_seen = array("q")
"""For each step: the job's number, the step's, and how late it was in microseconds."""


class Counting(SelfReschedulingConsumer):
    """Count."""

    slots = int(os.environ.get("SLOTS", "2000"))

    def __init__(self) -> None:
        super().__init__(registry.store())

    async def step(self, lease: Lease) -> Outcome:
        number = int(lease.message[:9])
        _seen.extend((int(lease.key[4:]), number, lease.at - lease.due))
        if number + 1 == _steps:
            return Done()
        return Again(int(_every * random.uniform(0.9, 1.1)), b"%9d" % (number + 1) + PADDING)


def _write() -> None:
    with (Path(os.environ["STEPS_FOLDER"]) / f"{os.getpid()}.steps").open("wb") as file:
        _seen.tofile(file)


if "STEPS_FOLDER" in os.environ:
    atexit.register(_write)

application = ProtocolTypeRouter({"channel": ChannelNameRouter({CHANNEL: Counting.as_asgi()})})
