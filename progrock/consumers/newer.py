"""Leaves an entry that a newer version wrote to a worker that knows it, and takes it over if there is none."""

from __future__ import annotations

import logging
import random
import uuid
from typing import get_args

import msgspec

from ..delay import Again, Dead, Lease, trouble
from ..models import primary
from ..outbox import Deliver
from ..reconcile import Sweep
from ..standing import UNFINISHED, UNREADABLE, entry_for
from ..step import Run
from .ends import Ends
from .outcomes import Outcomes, encode

logger = logging.getLogger(__name__)

Carried = Run | Sweep | Deliver
"""What entries of workers carry."""
VERSION = 1
EVERY = 2_000
"""Milliseconds until the entry is offered again to whoever is there."""
PATIENCE = 60_000
"""Milliseconds that a job's look may be late, until it is known that no newer worker takes it."""
OFFERS = 400
"""How often an entry of another kind is offered, which does not tell since when it is late: some ten minutes."""

_ANEW = {"sweep": Sweep(), "delivery": Deliver()}
"""What can be made again at once, since all that it says is in rows."""
_KINDS = {each.__struct_config__.tag for each in get_args(Carried)}


class _Look(msgspec.Struct, frozen=True):
    created: int
    due: int | None = None


class Head(msgspec.Struct, frozen=True):
    """What all versions of all entries begin with, and no version may change.

    :param snapshot: of a job: when its look was due, in milliseconds of the store's clock.
    """

    type: str
    version: int = 1
    snapshot: _Look | None = None


_decode = msgspec.msgpack.Decoder(Head).decode


def head_of(lease: Lease) -> Head | None:
    """Return the head of an entry that could not be read, if that is because a newer version wrote it."""
    try:
        head = _decode(lease.message)
    except UNREADABLE:
        return None
    if head.type == Run.__struct_config__.tag and head.snapshot is None:
        return None
    return head if head.version > VERSION or head.type not in _KINDS else None


async def leave(lease: Lease, head: Head, ends: Ends) -> Outcomes:
    """Give an entry of a newer version back as it is, for a newer worker.

    If none has taken it for long, as after a downgrade, a job goes on from its row; what nobody knows is set aside.
    """
    if anew := _ANEW.get(head.type):
        yield lease, Again(0, encode(anew), attempt=lease.attempt)
        return
    look = head.snapshot
    late = lease.at // 1000 - (look.due or look.created) > PATIENCE if look else lease.attempt > OFFERS
    what = f"version {head.version} of {head.type!a:.40}"
    if not late:
        trouble.say(logger, "The entry %s is left to a newer worker: it is %s.", lease.key, what)
        # A job's attempts are not ours to count: too many of them fail it.
        attempt = lease.attempt if look else lease.attempt + 1
        yield lease, Again(random.randint(EVERY // 2, EVERY), attempt=attempt, nudged=lease.nudged)
        return
    row = await primary().filter(pk=lease.key).afirst() if _is_id(lease.key) else None
    if row is not None and row.state in UNFINISHED:
        logger.error("The entry %s is made again from its row: no newer worker takes what is %s.", lease.key, what)
        yield lease, Again(0, entry_for(row, 0).message, nudged=True)
    elif look:
        async for outcome in ends.over(lease, row):
            yield outcome
    else:
        reason = f"Expected an entry of version {VERSION}, got {what}, and no newer worker takes it."
        logger.error("The entry %s is set aside: %s", lease.key, reason)
        yield lease, Dead(reason)


def _is_id(key: str) -> bool:
    """Tell whether an entry's key may be that of a row."""
    try:
        uuid.UUID(key)
    except ValueError:
        return False
    return True
