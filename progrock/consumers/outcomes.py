"""What becomes of steps, and of those that break off."""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

import msgspec
from django.db import Error as DatabaseTrouble
from msgspec.structs import replace

from .. import logs, tracing
from ..delay import Again, Lease, Outcome
from ..step import Run

logger = logging.getLogger(__name__)

encode = msgspec.msgpack.Encoder().encode

Outcomes = AsyncGenerator[tuple[Lease, Outcome], None]


class Shown(Again, frozen=True, kw_only=True):
    """Again later, and meanwhile this is how it stands."""

    run: Run


def of(run: Run) -> dict[str, object]:
    """Return what logs say of a job whose step is taken."""
    return {"job": run.snapshot.job, "service": run.snapshot.service, "owner": run.owner}


class Guard:
    """Sees to it that each lease gets an outcome, whatever its step raises.

    :param retry: returns the outcome of a step that has raised.
    """

    def __init__(self, retry: Callable[[Lease], Outcome]) -> None:
        self._retry = retry
        self.starting: dict[str, bytes] = {}
        """What the entry of a start says from its call on, should the step break off: the service may have heard it."""

    async def around(self, leases: Sequence[Lease], stream: Outcomes, **about: object) -> Outcomes:
        """Pass a stream on; whatever it raises is the trouble of those leases only that it has not settled.

        It belongs to a task of its own, as :func:`~progrock.delay.merge` gives each of its streams.

        :param about: what is said of it in logs.
        """
        if len(leases) == 1:
            (lease,) = leases
            logs.know(**(about or {"entry": lease.key}), attempt=lease.attempt, receipt=lease.receipt)
            tracing.enter(lease.key)
        else:
            logs.know(**about, leases=len(leases))
        left = {lease.key: lease for lease in leases}
        again: Callable[[Lease], Outcome]
        try:
            async with aclosing(stream) as outcomes:
                async for lease, outcome in outcomes:
                    left.pop(lease.key, None)
                    self.starting.pop(lease.key, None)
                    yield lease, outcome
            return
        except DatabaseTrouble as trouble:
            logger.warning("%d steps wait for the database: %s", len(left), trouble)
            again = self.later
        except Exception:
            logger.exception("%d steps failed.", len(left))
            again = self._retry
        for lease in left.values():
            yield lease, self.broken_off(lease, again(lease))

    def broken_off(self, lease: Lease, outcome: Outcome) -> Outcome:
        """Return an outcome that also says what is known of a start that was under way."""
        message = self.starting.pop(lease.key, None)
        return replace(outcome, message=message) if message and isinstance(outcome, Again) else outcome

    def later(self, lease: Lease) -> Outcome:
        """Take the same step again soon. It is no attempt more: those count what goes wrong in looking at this job."""
        return Again(random.randint(500, 2_000), attempt=lease.attempt, nudged=lease.nudged)
