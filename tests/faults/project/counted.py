"""The consumer of `counted`: one step of a chain, told when it begins and when it ends."""

from __future__ import annotations

import asyncio
import os
import random
import time

from progrock import registry
from progrock.delay import Again, Done, Lease, Outcome, SelfReschedulingConsumer
from tests.faults.chains import Link, decode, encode
from tests.faults.events import event, tell
from tests.faults.project.strike import strike


class Counted(SelfReschedulingConsumer):
    """Tells of nothing that it does without a lease that is good at that time."""

    run_lease = int(os.environ.get("RUN_LEASE", "15000"))
    slots = int(os.environ.get("SLOTS", "500"))
    drain = int(os.environ.get("DRAIN", "1000"))
    attempts = None
    work = int(os.environ.get("WORK", "5")) / 1000
    """Seconds that a step takes."""
    blocking = os.environ.get("BLOCKING") == "1"
    """Whether the whole process stands still meanwhile."""

    def __init__(self) -> None:
        super().__init__(registry.store())

    async def step(self, lease: Lease) -> Outcome:
        link = decode(lease.message)
        if not self._tell("begin", lease, link):
            return Again(0, attempt=lease.attempt)
        await strike("in", "step")
        if self.blocking:
            time.sleep(self.work)
        else:
            await asyncio.sleep(self.work)
        self._tell("end", lease, link)
        if link.number == link.of:
            return Done()
        following = Link(link.number + 1, link.of, link.every)
        return Again(round(link.every * random.uniform(0.9, 1.1)), encode(following))

    def _tell(self, what: str, lease: Lease, link: Link) -> bool:
        # The time first: at that time the lease was good, whenever the line gets written.
        at = time.monotonic_ns()
        if not self.holds(lease):
            return False
        tell(
            event(
                what,
                at=at,
                key=lease.key,
                step=link.number,
                receipt=lease.receipt,
                attempt=lease.attempt,
                late=lease.at - lease.due,
            )
        )
        return True
