"""Who asks, on whatever transport, and what they may do: each verb asks the rights, then acts as the job's owner."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest

from . import jobs, quota, registry
from .access import owner_of, owner_of_request, owner_of_scope
from .ask import JobRef as JobRef
from .ask import ask, ref_of, ref_of_row
from .exceptions import Forbidden, NotFound
from .protocol import Line, Snapshot
from .sharing import NOTHING, SHARE, ashare, read

PAGES_MOST = 10
"""Pages in a row that are looked at for one with a job in it which the caller may watch."""


@dataclass(frozen=True)
class Caller:
    """Who asks.

    :param owner: whose jobs theirs are, as text; of somebody who is not known, one that has none.
    :param user: Django's user, or an AnonymousUser.
    :param shared: the id of the one job that a share link lets them watch. Whoever has one may do nothing else.
    :param until: when that link ends, in seconds since 1970.
    :param trusted: whether it is code of ours that asks in an owner's name: no rights are asked then.
    :param address: where they come from, which their starts are counted by; empty if that is nowhere.
    """

    owner: str
    user: Any = field(default_factory=AnonymousUser)
    shared: str = ""
    until: float = 0
    trusted: bool = False
    address: str = ""

    @property
    def plain(self) -> bool:
        """Whether all that is the caller's own is allowed without asking."""
        return self.trusted or (not self.shared and registry.conf().rights == registry.OWNERS)

    def doubts(self, owner: str) -> bool:
        """Return whether it is to be asked again, now and then, if the caller may still watch jobs of an owner's."""
        return not (self.plain and owner == self.owner)

    @property
    def stale(self) -> bool:
        """Whether what is known of the user, and may have changed, makes a difference to what is allowed."""
        return self.user.is_authenticated and (self._staff or not self.plain)

    async def may(self, verb: str, about: JobRef | str) -> bool:
        """Ask the rights. True is yes; anything else, also an exception, is no.

        :param verb: `start`, `watch`, `cancel`, `retry` or `list`.
        :param about: the service, the job, or the owner whose jobs are listed; `*` is everybody.
        :raises Unavailable: if the database, which they ask, is away.
        """
        if self.plain and (about if verb == "list" else getattr(about, "owner", self.owner)) == self.owner:
            return True
        if self.shared and not self._within_share(verb, about):
            return False
        if self.trusted:
            return False
        return await ask(getattr(registry.rights(), verb), self, about)

    def _within_share(self, verb: str, about: JobRef | str) -> bool:
        if time.time() >= self.until:
            return False
        return about == self.owner if verb == "list" else verb == "watch" and getattr(about, "id", "") == self.shared

    async def look(self, job: str | uuid.UUID) -> tuple[str, Snapshot]:
        """Return whose a job is, and how it stands.

        :raises NotFound: if there is no such job, or the caller may not watch it.
        :raises Unavailable: if the database is away.
        """
        if self.plain:
            try:
                return self.owner, await jobs.aget(job, owner=self.owner)
            except NotFound:
                if not self._staff:
                    raise
        owner, snapshot = await jobs.alook(job)
        if not await self.may("watch", ref_of(owner, snapshot)):
            raise NotFound(f"Expected the id of a job of yours, got {snapshot.job}.")
        return owner, snapshot

    async def get(self, job: str | uuid.UUID) -> Snapshot:
        """Return a job's snapshot as it stands. Raises as :meth:`look` does."""
        return (await self.look(job))[1]

    async def get_all(self, names: Sequence[str | uuid.UUID]) -> list[Snapshot]:
        """Return the snapshots of several jobs, in their order. Raises as :meth:`look` does."""
        if self.plain:
            try:
                return await jobs.aget_all(names, owner=self.owner)
            except NotFound:
                if not self._staff:
                    raise
        return [await self.get(name) for name in names]

    async def journal(self, job: str | uuid.UUID, after: int = 0) -> Sequence[Line]:
        """Return what is kept of a job's journal.

        :param after: only the lines that are newer than a snapshot or a line with this `seq`.
        :raises NotFound: if there is no such job, or the caller may not watch it.
        :raises Unavailable: if the database or the journal is away.
        """
        owner, snapshot = await self.look(job)
        return await jobs.ajournal(snapshot.job, owner=owner, after=after)

    async def find(self, key: str) -> Snapshot | None:
        """Return the caller's own job that was started with this key, None if there is none.

        :raises Forbidden: if the caller may not watch it.
        """
        known = await jobs.afind(key, owner=self.owner)
        if known and not await self.may("watch", ref_of(self.owner, known)):
            raise Forbidden("Expected a key of a job that you may watch, got that of another.")
        return known

    async def start(
        self, service: str | None, params: dict[str, Any], *, key: str | None, deadline: int | None
    ) -> Snapshot:
        """Start a job. Parameters and refusals are those of :func:`progrock.jobs.astart`.

        :raises Forbidden: if the caller may not start jobs of this service.
        """
        await self._must_start(service or registry.conf().default_service)
        quota.take_of_address(self.address, self.owner)
        return await jobs.astart(service, params, owner=self.owner, key=key, deadline=deadline)

    async def cancel(self, job: str | uuid.UUID) -> Snapshot:
        """Ask for a job's end, and return how it stands.

        :raises NotFound: if there is no such job, or the caller may not watch it.
        :raises Forbidden: if they may watch it, and no more.
        :raises Unavailable: if the database is away.
        """
        if self.plain:
            try:
                return await jobs.acancel(job, owner=self.owner)
            except NotFound:
                if not self._staff:
                    raise
        owner, snapshot = await self.look(job)
        await self._must("cancel", ref_of(owner, snapshot))
        return await jobs.acancel(job, owner=owner)

    async def retry(self, job: str | uuid.UUID) -> Snapshot:
        """Try a job that is over once more: for its owner, whoever asks. That is a start, too.

        :raises NotFound: if there is no such job, or the caller may not watch it.
        :raises Forbidden: if they may watch it, and no more. Other refusals are those of :func:`progrock.jobs.aretry`.
        """
        if self.plain:
            quota.take_of_address(self.address, self.owner)
            try:
                return await jobs.aretry(job, owner=self.owner)
            except NotFound:
                if not self._staff:
                    raise
        owner, snapshot = await self.look(job)
        await self._must("retry", ref_of(owner, snapshot))
        await self._must_start(snapshot.service)
        quota.take_of_address(self.address, self.owner)
        return await jobs.aretry(job, owner=owner)

    async def share(self, job: str | uuid.UUID, seconds: int) -> str:
        """Return the token of a link by which anybody may watch a job of the caller's own.

        :param seconds: for how long.
        :raises NotFound: if there is no such job, or the caller may not watch it.
        :raises Forbidden: if it is somebody else's.
        :raises Invalid: if a link may not be good for so long.
        :raises Unavailable: if the database is away.
        """
        owner, snapshot = await self.look(job)
        if owner != self.owner:
            raise Forbidden("Expected a job of your own to share, got one that you may only watch.")
        return await ashare(snapshot.job, owner=owner, seconds=seconds)

    async def page(
        self,
        *,
        limit: int = jobs.LIST_MOST,
        before: str = "",
        parent: str | uuid.UUID | None = None,
        owner: str | None = None,
    ) -> tuple[list[Snapshot], str]:
        """Return a page of jobs that the caller may watch, newest first, and the cursor of the next.

        :param parent: the job whose children are asked for, whoever's they are; without it those that have no parent.
        :param owner: whose jobs; None is the caller's own, `*` everybody's.
        :raises Invalid: if `before` is no cursor.
        :raises NotFound: if `parent` is no id of a job, or the caller may not list that owner's.
        :raises Unavailable: if the database is away.
        """
        whose = self.owner if owner is None else owner
        if self.plain and whose == self.owner:
            snapshots, cursor = await jobs.apage(owner=whose, limit=limit, before=before, parent=parent)
            if snapshots or parent is None or not self._staff:
                return snapshots, cursor
        if parent is None and not await self.may("list", whose):
            raise NotFound("Expected an owner whose jobs you may list, got another.")
        anybody = whose == EVERYBODY or (parent is not None and owner is None)
        for _ in range(PAGES_MOST):
            rows, cursor = await jobs.arows(owner=None if anybody else whose, limit=limit, before=before, parent=parent)
            seen = [row for row in rows if await self.may("watch", ref_of_row(row))]
            if seen or not cursor:
                break
            before = cursor
        # A cursor names the job that it stands behind, which is to be one that the caller may know of.
        return await jobs.astand(seen), jobs.place_of(seen[-1]) if cursor and seen else ""

    @property
    def _staff(self) -> bool:
        """Whether the rights may have more for the caller than their own."""
        return not self.trusted and getattr(self.user, "is_staff", False) is True

    async def _must(self, verb: str, job: JobRef) -> None:
        if not await self.may(verb, job):
            raise Forbidden(f"Expected a job that you may {verb}, got one that you may only watch.")

    async def _must_start(self, service: str) -> None:
        if not await self.may("start", service):
            raise Forbidden("Expected somebody who may start this, got somebody who may not.")


EVERYBODY = "*"
"""Instead of an owner: the jobs of all of them."""


async def caller_of_scope(scope: Mapping[str, Any]) -> Caller:
    """Return who asks over a connection; with a share link in its query, somebody who may only watch that job."""
    user = scope.get("user") or AnonymousUser()
    try:
        token = _token_of_scope(scope)
        if not token:
            return Caller(await owner_of_scope(scope), user, address=address_of_scope(scope))
        share = read(token)
    except NotFound:
        # It may be told so only once it is connected.
        return Caller(f"socket:{secrets.token_hex(16)}", user, NOTHING)
    return Caller(f"socket:{secrets.token_hex(16)}", user, share.job, share.until)


def _token_of_scope(scope: Mapping[str, Any]) -> str:
    """Return the share link in a connection's query, empty if there is none.

    :raises NotFound: if there is too much to look for it: who may have one is not to have more than it allows.
    """
    query: bytes = scope.get("query_string", b"")[:QUERY_MOST]
    if not query:
        return ""
    try:
        return parse_qs(query.decode("latin-1"), max_num_fields=QUERY_FIELDS).get(SHARE, [""])[0]
    except ValueError:
        raise NotFound(f"Expected at most {QUERY_FIELDS} fields in the query, got more.") from None


def address_of_scope(scope: Mapping[str, Any]) -> str:
    """Return where a client is; empty on a file."""
    return str((scope.get("client") or [""])[0])


QUERY_MOST = 4_096
"""Bytes of a connection's query that are looked at."""
QUERY_FIELDS = 100


async def caller_of_request(request: HttpRequest) -> Caller:
    """Return who asks by a request; with a share link in its query, somebody who may only watch that job.

    Who has neither user nor session has no jobs, and shares an address' bounds.

    :raises NotFound: if the link was not made here, or is over.
    """
    if token := request.GET.get(SHARE):
        return await caller_of_share(request, token)
    owner = await owner_of_request(request) or _nobody(request)
    return Caller(owner, await request.auser(), address=address_of(request))


async def caller_of_share(request: HttpRequest, token: str) -> Caller:
    """Return who asks by a share link.

    :raises NotFound: if the link was not made here, or is over.
    """
    share = read(token)
    return Caller(_nobody(request), await request.auser(), share.job, share.until)


def caller_of(request: HttpRequest) -> Caller:
    """Return who asks, where no event loop runs, for a page of the project's: share links are of no use there."""
    user = getattr(request, "user", None) or AnonymousUser()
    return Caller(owner_of(request) or _nobody(request), user, address=address_of(request))


def trusted(owner: str) -> Caller:
    """Return our own code, as it asks in an owner's name."""
    return Caller(owner, trusted=True)


def address_of(request: HttpRequest) -> str:
    """Return where a request comes from; empty on a file."""
    return str(request.META.get("REMOTE_ADDR") or "")


def _nobody(request: HttpRequest) -> str:
    return f"nobody:{address_of(request) or secrets.token_hex(16)}"
