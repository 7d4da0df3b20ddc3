"""Which of the jobs that a client is told of it may not always be: they are asked about again, and again."""

from __future__ import annotations

import time
from typing import Any

import msgspec
from django.contrib.auth.models import AnonymousUser

from . import jobs
from .access import auser_of
from .ask import JobRef, ref_of
from .caller import Caller
from .exceptions import Unavailable
from .protocol import Snapshot, State
from .rounds import EVERY, renewed
from .updates import Update


class _Told(msgspec.Struct, frozen=True):
    """What an update's JSON tells of whose rights are asked for."""

    job: str
    service: str
    state: State
    parent: str | None = None


_told = msgspec.json.Decoder(_Told).decode


class Doubts:
    """Those of one client: all that is not simply its own.

    :param caller: who asks.
    """

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self._known: dict[str, JobRef] = {}
        # Those of which the last answer was no, since the last round.
        self._hidden: set[str] = set()
        self._at = time.monotonic()

    def __bool__(self) -> bool:
        """Whether there is something to ask again."""
        return bool(self._known)

    async def asker(self) -> Caller:
        """Return who asks, as the database has them now: their permissions may have changed since they came.

        :raises Unavailable: if it is away.
        """
        if self.caller.stale:
            await self._renew()
        return self.caller

    async def user(self) -> Any:
        """Return the user who asks, as the database has them now; an AnonymousUser if there is none.

        :raises Unavailable: if it is away.
        """
        if self.caller.trusted:
            return await auser_of(self.caller.owner) or AnonymousUser()
        await self._renew()
        return self.caller.user

    def know(self, caller: Caller) -> None:
        """Take what is newly known of the caller."""
        self.caller, self._at = caller, time.monotonic()

    def add(self, owner: str, snapshot: Snapshot) -> None:
        """Note a job that the client is told of; what is its own, or over, needs no asking."""
        if self.caller.doubts(owner) and not snapshot.complete:
            self._known[snapshot.job] = ref_of(owner, snapshot)

    def drop(self, job: str) -> None:
        """Forget a job that the client is told of no more."""
        self._known.pop(job, None)

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()

    async def lost(self) -> list[str]:
        """Ask of each job again; return those that may not be watched any more."""
        self._hidden.clear()
        lost = [job for job, ref in list(self._known.items()) if not await self.still("watch", ref)]
        for job in lost:
            self._hidden.add(job)
            self.drop(job)
        return lost

    async def still(self, verb: str, about: JobRef | str) -> bool:
        """Ask something again; as long as nobody can say no, it is not one."""
        try:
            return await self.caller.may(verb, about)
        except Unavailable:
            return True

    async def visible(self, update: Update) -> bool:
        """Return whether the client may be told of this: who is told of all of theirs may not watch each of them."""
        if self.caller.plain:
            return True  # what is somebody else's comes by its name alone
        if update.job in self._hidden:
            return False
        told = _told(update.body)
        ref = JobRef(told.job, update.owner, told.service, told.parent, told.state)
        if update.job not in self._known and not await self._may(ref):
            self._hidden.add(update.job)
            return False
        self._known[update.job] = ref
        return True

    async def _renew(self) -> None:
        if time.monotonic() - self._at > EVERY:
            with jobs.available():
                (caller,) = await renewed([self.caller])
            self.know(caller)

    async def _may(self, ref: JobRef) -> bool:
        try:
            return await self.caller.may("watch", ref)
        except Unavailable:
            return False  # there is a next update
