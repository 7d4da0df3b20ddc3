"""Looks at the schedule: who is alive, how late it is, what is dead."""

from __future__ import annotations

from collections.abc import Iterator

from .. import registry
from ..delay import DelayStore, Status
from .finding import Finding, error, ok, warning

LATE = 1.0
"""Seconds that an entry may be late before somebody should know."""
LATE_MOST = 15.0
"""The same, from which on it is no longer the pause after a worker's death."""


async def schedule(store: DelayStore) -> list[Finding]:
    """Look at the schedule.

    :raises StoreAway: if it does not answer.
    """
    return list(findings(await store.status()))


def findings(status: Status) -> Iterator[Finding]:
    """Say what a status means."""
    count = len(status.schedulers)
    if count:
        yield ok("schedulers", f"{count} alive.")
    else:
        yield error("schedulers", "None is alive: nothing that is due is looked at.", "Start one: manage.py rundelay")
    mine = [each for each in status.readers if each.channel == registry.CHANNEL and each.slots]
    if mine:
        taken, slots = sum(each.taken for each in mine), sum(each.slots for each in mine)
        yield ok("workers", f"{len(mine)} alive, with {taken} of {slots} slots taken.")
    else:
        says = f"None of {registry.CHANNEL} is alive: no job goes on."
        yield error("workers", says, f"Start one: manage.py runworker {registry.CHANNEL}")
    yield _lateness(status)
    if status.dead:
        says = f"{status.dead} gave up, and are never due again."
        yield warning("dead entries", says, "See why: manage.py delayed dead. Then: manage.py delayed retry, or drop.")
    else:
        yield ok("dead entries", "None.")


def _lateness(status: Status) -> Finding:
    late = status.late / 1e6
    if late <= LATE:
        return ok("lateness", f"What is due is at most {late:.3f} s late.")
    says = f"{status.overdue} entries are due, the first for {late:.0f} s."
    remedy = f"Start more workers (manage.py runworker {registry.CHANNEL}), and of other channels too."
    return (error if late > LATE_MOST else warning)("lateness", says, remedy)
