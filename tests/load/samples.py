"""What is measured from outside while a load run goes on: processors, memory, Redis, the schedule."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import time
import urllib.request
from dataclasses import dataclass, field

import psutil

from tests.load.crowd import Crowd
from tests.load.stack import Stack, StackTrouble, Use

EVERY = 10.0
_METRIC = re.compile(r'^(progrock_\w+)(?:\{state="(\w+)"\})? (\S+)$', re.MULTILINE)
logger = logging.getLogger(__name__)


@dataclass
class Sample:
    """One moment.

    :param at: in seconds of the monotonic clock.
    :param in_flight: jobs that are not over, as clients know.
    :param busy: the part of all processors that is busy since the last sample, whatever it is that they do.
    :param uses: of each role, so far.
    :param own: processor seconds of this process, so far.
    :param redis: as Redis tells.
    :param metrics: as the web server tells, if it may be asked.
    """

    at: float
    in_flight: int
    busy: float
    uses: dict[str, Use]
    own: float
    redis: dict[str, int] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


class Samples:
    """Takes them.

    :param stack: the site.
    :param crowd: who is there.
    """

    def __init__(self, stack: Stack, crowd: Crowd) -> None:
        self.taken: list[Sample] = []
        self.missed = 0
        """Samples that could not be taken."""
        self._stack = stack
        self._crowd = crowd
        self._own = psutil.Process(os.getpid())

    async def run(self) -> None:
        """Take one every ten seconds, until cancelled."""
        psutil.cpu_percent()
        while True:
            began = time.monotonic()
            try:
                self.taken.append(await self._take())
            except (StackTrouble, OSError, ValueError, KeyError) as trouble:
                # A container may be replaced at this moment.
                self.missed += 1
                logger.info("A sample is missing: %r", trouble)
            await asyncio.sleep(max(1.0, began + EVERY - time.monotonic()))

    async def _take(self) -> Sample:
        stack = self._stack
        containers = await stack.containers()
        redis = await stack.redis()
        metrics = await self._metrics()
        times = self._own.cpu_times()
        busy = psutil.cpu_percent() / 100
        uses = await asyncio.to_thread(stack.use, containers)
        own = times.user + times.system
        return Sample(time.monotonic(), self._crowd.in_flight, busy, uses, own, redis, metrics)

    async def _metrics(self) -> dict[str, float]:
        measure = self._stack.measure
        if not measure.token:
            return {}

        def get() -> str:
            asked = urllib.request.Request(f"{measure.url}/metrics")
            asked.add_header("Authorization", f"Bearer {measure.token}")
            with urllib.request.urlopen(asked, timeout=5) as reply:
                body: bytes = reply.read()
            return body.decode()

        try:
            text = await asyncio.to_thread(get)
        except OSError:
            return {}  # the web server is being replaced
        return {name + (f" {state}" if state else ""): float(value) for name, state, value in _METRIC.findall(text)}
