"""What one client is told, on whatever transport: how its jobs stand, and from then on what is new, nothing twice.

A watch joins first, then reads: nothing falls between the two. From then on the newest snapshot of each job waits until
it is fetched, with the lines of its journal that the client does not have yet; what is overtaken meanwhile is dropped.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from typing import NoReturn

import msgspec

from . import counts, jobs, registry
from .caller import Caller, trusted
from .delay import StoreAway, trouble
from .doubts import Doubts
from .exceptions import NotFound, Refused, TooMany
from .journal import Extract
from .protocol import Line, Resume, Snapshot, error_frame, update_frame, with_lines
from .rounds import rounds
from .subscriptions import Subscriptions
from .updates import Update, hub

logger = logging.getLogger(__name__)

PACE = 0.1
"""Seconds between two fetches: what comes faster is overtaken by the newest."""
_ENDED_MOST = 1_000
_FRAME_MOST = 512 * 1024
"""Bytes after which another frame is begun: clients refuse what is too long, some of them a megabyte."""
_SURE = 50
"""So many lines are never too long for a frame."""
ALL = ""
"""The watch on all jobs of the owner's, but for children: a group of a thousand is one line of a list."""
_MOVES = 3
"""How often a job may turn out to be somebody else's than was thought while it is being watched."""
_AFTER = 0.05
"""Seconds after its end that a share link is looked at: one clock may be a little ahead of the other."""
RECENT = 15_000
"""Milliseconds for which it is of interest that a client was told of an end, when it came only after it."""


class Answer(msgspec.Struct, frozen=True):
    """What a watch is answered.

    :param snapshot: how the job stands.
    :param resume: whether the lines begin where the client's cursor was; None if the journal is away: who counts finds
        out what is missing, and asks again.
    :param lines: of the job's journal, after that cursor, or all that are kept.
    """

    snapshot: Snapshot
    resume: Resume | None
    lines: Sequence[Line]


class Fresh(msgspec.Struct, frozen=True):
    """What is new of a job.

    :param update: its newest snapshot.
    :param lines: what has been added to its journal.
    :param behind: whether there is more of that, which cannot be read now.
    """

    update: Update
    lines: Sequence[Line] = ()
    behind: bool = False


class Feed:
    """The watches of one client. A sink of its process' hub.

    :param caller: who asks; an owner as text is our own code in that owner's name.
    :param says: whether the client says itself what it has taken in.
    :param page: whether it counts for its owner being told of an end.
    """

    def __init__(self, caller: Caller | str, *, says: bool = False, page: bool = True) -> None:
        self._doubts = Doubts(trusted(caller) if isinstance(caller, str) else caller)
        self.owner = self.caller.owner
        self._counts = page and not says
        self._page = page
        self.turn = asyncio.Lock()
        """To be held from reading until what was read is sent, if there is more than one who sends."""
        # Each job with whose it is: the hub knows them by both.
        self._watches: dict[str, str] = {}
        self._named: set[str] = set()
        self._refusals: list[str] = []
        self._ending: asyncio.TimerHandle | None = None
        self._waiting: dict[str, Update] = {}
        # What the client has: the seq of each job's newest snapshot, and of its newest line, and that line's number.
        self._seqs: dict[str, int] = {}
        self._journals: dict[str, tuple[int, int]] = {}
        # The jobs whose end it has been told, the last of them: an end may be published twice.
        self._ended: dict[str, None] = {}
        self._news = asyncio.Event()
        self._fetched = float("-inf")
        self._overtaken = 0
        self.events = Subscriptions(self._doubts, self._news.set, self._settle_rounds)
        """To be taken when there is news, beside what is fetched."""

    async def watch(self, job: str, after: int | None = None) -> Answer:
        """Watch a job, and return how it stands.

        :param after: the `seq` of the newest snapshot that the client has of it.
        :raises NotFound: if there is no such job, or it is somebody else's.
        :raises TooMany: if these are more watches than a client may have.
        :raises Unavailable: if the database is away.
        """
        caller = await self.asker()
        before = job in self._watches
        self._named.add(job)
        new = await self._join(job, self._watches.get(job, self.owner))
        try:
            snapshot = await self._look(caller, job)
        except Refused as refusal:
            # What was watched goes on when nobody can say how it stands now.
            if not before or isinstance(refusal, NotFound):
                await self.unwatch(job)
            raise
        if new:
            await jobs.ahasten([snapshot])
        if after is not None and after > snapshot.seq:
            after = None  # of a time that this server does not know
        # After the snapshot: what that counts is in.
        self._journals[job] = after or 0, 0
        extract = await self._extract(job, snapshot.lines)
        self._told_late([snapshot])
        await self._has(job, snapshot.seq, snapshot.complete)
        if extract is None:
            return Answer(snapshot, None, ())
        # Whoever has the newest snapshot has what it counts, also when that is kept no longer.
        all_had = not extract.lines and (after == snapshot.seq or not snapshot.lines)
        recovered = after is not None and (extract.whole or all_had)
        return Answer(snapshot, Resume.RECOVERED if recovered else Resume.RESET, extract.lines)

    async def watch_all(self) -> list[Snapshot]:
        """Watch all jobs of the owner's, also those to come, and return how the newest stand, newest first.

        :raises NotFound: if the caller may not list them.
        :raises Unavailable: if the database is away.
        """
        caller = await self.asker()
        new = await self._join(ALL, self.owner)
        try:
            snapshots = await self._list(caller)
        except NotFound:
            await self.unwatch(ALL)
            raise
        if new:
            await jobs.ahasten(snapshots)
        self._told_late(snapshots)
        for snapshot in snapshots:
            await self._has(snapshot.job, snapshot.seq, snapshot.complete)
        return snapshots

    async def unwatch(self, job: str) -> None:
        """Undo a watch."""
        self._journals.pop(job, None)
        self._named.discard(job)
        owner = self._watches.pop(job, None)
        if ALL not in self._watches or job == ALL or owner not in (None, self.owner):
            self._seqs.pop(job, None)
            self._waiting.pop(job, None)
            self._doubts.drop(job)
        self._settle_rounds()
        if owner is not None:
            await hub().unwatch(owner, job, self)

    def room(self) -> None:
        """See that there is room for one more watch.

        :raises TooMany: if there is none.
        """
        if ALL not in self._watches and len(self._watches) >= registry.conf().max_watches:
            self._refuse_more()

    def _refuse_more(self) -> NoReturn:
        raise TooMany(f"Expected at most {registry.conf().max_watches} watches at once, got one more.")

    def deliver(self, update: Update) -> bool:
        """Take an update from the hub."""
        if update.child and update.job not in self._named:
            return False
        # That somebody else was told is no word to its owner.
        counts = self._counts and update.owner == self.owner
        waiting = self._waiting.get(update.job)
        if update.job in self._ended or (waiting is not None and waiting.seq >= update.seq):
            return counts
        self._overtaken += waiting is not None
        self._waiting[update.job] = update
        self._news.set()
        return counts

    async def news(self, within: float | None = None) -> bool:
        """Wait until there is something to fetch, and it is time to.

        :param within: seconds to wait at most; without, for as long as it takes.
        :returns: whether there is.
        """
        if within is None:
            await self._news.wait()
        else:
            try:
                async with asyncio.timeout(within):
                    await self._news.wait()
            except TimeoutError:
                return False
        pause = self._fetched + PACE - asyncio.get_running_loop().time()
        if pause > 0:  # a sleep of nothing is a turn of the event loop
            await asyncio.sleep(pause)
        return True

    def wake(self) -> None:
        """Let who waits for news have none."""
        self._news.set()

    async def fetch(self) -> list[Fresh]:
        """Return what is new."""
        self._fetched = asyncio.get_running_loop().time()
        self._news.clear()
        waiting, self._waiting = self._waiting, {}
        fresh = []
        for update in waiting.values():
            if update.seq > self._seqs.get(update.job, -1) and await self._doubts.visible(update):
                known = self._journals.get(update.job)
                behind = known is not None and update.lines > known[1]
                extract = await self._extract(update.job, update.lines) if behind else None
                fresh.append(Fresh(update, extract.lines if extract else (), behind and extract is None))
                await self._has(update.job, update.seq, update.complete)
        counts.SENT.add(by=len(fresh))
        if self._overtaken:
            counts.OVERTAKEN.add(by=self._overtaken)
            self._overtaken = 0
        return fresh

    async def next(self, within: float) -> list[Fresh]:
        """Return what is new as soon as something is.

        :param within: seconds to wait for it at most.
        """
        return await self.fetch() if await self.news(within) else []

    async def told(self, job: str, seq: int, complete: bool) -> None:
        """Note what the client gets by another way, so that nothing comes behind it that it has overtaken."""
        if complete or job in self._watches or ALL in self._watches:
            await self._has(job, seq, complete)

    async def aclose(self) -> None:
        """Undo all watches and subscriptions."""
        watches, self._watches = self._watches, {}
        self._doubts.clear()
        self.events.doubtful.clear()
        self._settle_rounds()
        if self._ending:
            self._ending.cancel()
        try:
            await hub().leave([(owner, job) for job, owner in watches.items()], self)
        finally:
            await self.events.aclose()

    @property
    def caller(self) -> Caller:
        """Who asks."""
        return self._doubts.caller

    async def asker(self) -> Caller:
        """Return the same, as the database has them now.

        :raises Unavailable: if it is away.
        """
        return await self._doubts.asker()

    def refusals(self) -> list[str]:
        """Return the `error` frames that tell of what the client was told of until now, and may not be any more."""
        refusals, self._refusals = self._refusals, []
        return refusals

    async def ask_again(self, caller: Caller) -> None:
        """Ask of each job that is not simply the caller's own whether it may still be watched.

        :param caller: the same, as the database has them now.
        """
        self._doubts.know(caller)
        if ALL in self._watches and not await self._doubts.still("list", self.owner):
            await self.unwatch(ALL)
            self._refuse()
        for job in await self._doubts.lost():
            self._seqs.pop(job, None)
            self._waiting.pop(job, None)
            await self.unwatch(job)
            self._refuse(job=job)
        for channel in await self.events.ask_again():
            self._refuse(channel=channel)

    def _refuse(self, **about: str) -> None:
        says = " ".join(f"Expected a {kind} that is there for you, got {name}." for kind, name in about.items())
        says = says or "Expected an owner whose jobs you may list, got another."
        self._refusals.append(error_frame(NotFound.code, says, None, **about))
        self._news.set()

    def _settle_rounds(self) -> None:
        """Be asked again as long as there is something to ask."""
        if self._doubts or self.events.doubtful or (ALL in self._watches and self.caller.doubts(self.owner)):
            rounds().add(self)
        else:
            rounds().discard(self)

    async def _look(self, caller: Caller, job: str) -> Snapshot:
        """Return how a job stands, being told of it already, whoever's it is."""
        for _ in range(_MOVES):
            owner, snapshot = await caller.look(job)
            joined = self._watches.get(job, self.owner if ALL in self._watches else None)
            if owner == joined:
                break
            # It is not the caller's own: what was published meanwhile is in the next look.
            await self._move(job, owner)
        self._doubt(owner, snapshot)
        return snapshot

    async def _move(self, job: str, owner: str) -> None:
        before = self._watches.pop(job, None)
        if before is not None:
            await hub().unwatch(before, job, self)
        await self._join(job, owner)

    async def _list(self, caller: Caller) -> list[Snapshot]:
        if caller.plain:
            return await jobs.alist_mine(owner=self.owner)
        snapshots, _ = await caller.page()
        for each in snapshots:
            self._doubt(self.owner, each)
        self._settle_rounds()
        return snapshots

    def _doubt(self, owner: str, snapshot: Snapshot) -> None:
        self._doubts.add(owner, snapshot)
        self._settle_rounds()
        if self.caller.shared and self._ending is None:
            # To the second, and not with the next round.
            within = max(0.0, self.caller.until - time.time()) + _AFTER
            self._ending = asyncio.get_running_loop().call_later(within, self._end)

    def _end(self) -> None:
        self._over = asyncio.ensure_future(self.ask_again(self.caller))

    async def _join(self, job: str, owner: str) -> bool:
        """Watch; return whether workers thought that nobody does."""
        # Who watches all of theirs watches this one too.
        if job in self._watches or (ALL in self._watches and owner == self.owner):
            return False
        if job != ALL:
            if len(self._watches) - (ALL in self._watches) >= registry.conf().max_watches:
                self._refuse_more()
            hub().room(owner, job)
        self._watches[job] = owner
        return await hub().watch(owner, job, self)

    async def _extract(self, job: str, count: int) -> Extract | None:
        """Return the lines that the client does not have; None if they cannot be given now.

        :param count: how many lines its snapshot counts.
        """
        seq, n = self._journals[job]
        try:
            extract = _fitting(await registry.journal().read(job, seq))
        except StoreAway as error:
            trouble.say(logger, "The journal of job %s is told late: %r", job, error, extra={"job": job})
            return None
        if extract.lines:
            seq, n = extract.lines[-1].seq, extract.lines[-1].n
        self._journals[job] = seq, max(n, count)
        return extract

    def _told_late(self, snapshots: Sequence[Snapshot]) -> None:
        if not self._page:
            return
        since = time.time_ns() // 1_000_000 - RECENT
        # Who watches what is not their own is no word to its owner.
        ended = [
            each.job
            for each in snapshots
            if each.complete and each.at >= since and self._watches.get(each.job, self.owner) == self.owner
        ]
        hub().tell_of_ends([(self.owner, job) for job in ended])

    async def _has(self, job: str, seq: int, complete: bool) -> None:
        """Note what the client has."""
        if not complete:
            self._seqs[job] = seq
            return
        await self.unwatch(job)
        self._seqs.pop(job, None)
        self._waiting.pop(job, None)
        self._doubts.drop(job)
        self._ended[job] = None
        if len(self._ended) > _ENDED_MOST:
            del self._ended[next(iter(self._ended))]


def _fitting(extract: Extract) -> Extract:
    """Return the newest lines, as many as go into a frame: who is sent away for its length comes back for the same."""
    size = 0
    for count, line in enumerate(reversed(extract.lines) if len(extract.lines) > _SURE else ()):
        size += len(msgspec.json.encode(line))
        if size > _FRAME_MOST:
            return Extract(extract.lines[-count:], whole=False)
    return extract


def frames(fresh: Sequence[Fresh]) -> Iterator[str]:
    """Return the frames that tell what is new."""
    bodies: list[bytes] = []
    size = 0
    for each in fresh:
        body = with_lines(each.update.body, each.lines)
        if bodies and size + len(body) > _FRAME_MOST:
            yield update_frame(bodies)
            bodies, size = [], 0
        bodies.append(body)
        size += len(body)
    if bodies:
        yield update_frame(bodies)
