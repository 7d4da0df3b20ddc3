"""The receiving end of the schedule: a Channels consumer that takes leases and says what next."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

from channels.consumer import AsyncConsumer
from channels.db import aclose_old_connections
from channels.exceptions import StopConsumer
from channels.layers import get_channel_layer

from . import counts, trouble
from .entry import LEASES, Again, Dead, Lease, Outcome, about, from_channel
from .finish import end, stopping
from .merge import as_ready
from .store import DelayStore

logger = logging.getLogger(__name__)


class _Held:
    """A lease that this worker holds, under the receipt that its step knows it by."""

    __slots__ = ("lease", "outcome", "receipt", "until")

    def __init__(self, lease: Lease, until: float) -> None:
        self.lease = lease
        self.receipt = lease.receipt
        self.until = until
        self.outcome: Outcome | None = None


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run `work` as a task that is not collected before it ends."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task


class SelfReschedulingConsumer(AsyncConsumer):
    """Take leases into bounded slots, step, settle in batches. A step neither loops nor sleeps: it says when to go on.

    Subclass it and write :meth:`step`, or :meth:`steps` to serve many leases with one call. The consumer listens on
    the channel that it is routed to, and on one of its own, which it announces to the store with its slots.

    :param store: where the leases come from.
    """

    channel_layer_alias = "work"
    slots = 500
    """How many leases it holds at most."""
    run_lease = 15_000
    """Milliseconds that a lease lasts from a renew on; renewed every third of it while its step goes on."""
    presence = 3_000
    """Milliseconds that a heartbeat lasts; it comes every second. So long a dead worker may be handed leases."""
    drain = 1_000
    """Milliseconds that running steps have to finish when the worker stops; what is left is given back."""
    patience = 1_500
    """Milliseconds that the store has for an answer when the worker stops: one that is frozen must not keep it."""
    attempts: int | None = 10
    """How many looks in a row may fail, or be lost with their worker, before the entry is dead; None: any number."""

    def __init__(self, store: DelayStore) -> None:
        self._store = store
        self._held: dict[str, _Held] = {}
        self._ready: list[str] = []
        self._freed = asyncio.Event()
        self._store_turn = asyncio.Lock()
        self._swept = float("-inf")
        self._sweeps: set[asyncio.Task[None]] = set()
        self._takes: set[asyncio.Task[None]] = set()
        self._batches: set[asyncio.Task[None]] = set()
        self._flushes: set[asyncio.Task[None]] = set()

    async def step(self, lease: Lease) -> Outcome:
        """Look once at what the lease is about and say what next.

        Anything raised here is this entry's trouble only: it is logged, and the step repeated with back-off.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither step() nor steps().")

    async def steps(self, leases: Sequence[Lease]) -> AsyncGenerator[tuple[Lease, Outcome], None]:
        """Step a batch, and yield each outcome when it is ready; of a lease that was lost meanwhile, none.

        The default calls :meth:`step` for each.
        """

        async def one(lease: Lease) -> tuple[Lease, Outcome]:
            try:
                return lease, await self.step(lease)
            except (Exception, asyncio.CancelledError) as error:
                if stopping(error):
                    raise
                logger.exception("A step of %s failed.", lease.key, extra=about(lease))
                return lease, self.retry(lease, repr(error))

        async with aclosing(as_ready(one(lease) for lease in leases)) as outcomes:
            async for outcome in outcomes:
                yield outcome

    def retry(self, lease: Lease, reason: str = "steps() failed") -> Outcome:
        """Return what becomes of an entry whose step failed: the same step again, later each time, then dead."""
        if self.attempts is not None and lease.attempt >= self.attempts:
            what = "%s is dead after %d attempts: %s"
            logger.error(what, lease.key, lease.attempt, reason, extra=about(lease))
            return Dead(reason)
        delay = min(60_000, 500 * 2 ** min(lease.attempt, 10))
        return Again(random.randint(delay // 2, delay), attempt=lease.attempt + 1, nudged=lease.nudged)

    async def settled(self, outcomes: Sequence[tuple[Lease, Outcome]]) -> None:
        """Do what follows from outcomes that the store has accepted: nobody else's can come between any more.

        A worker that dies before this never does it.
        """

    async def stopped(self) -> None:
        """Do what is left to do when the worker has stopped, after its last settle. It has :attr:`patience` for it."""

    def give_back(self, lease: Lease) -> Outcome:
        """Return what becomes of an entry whose step was stopped half-way with its worker: it is taken again now."""
        return Again(0, attempt=lease.attempt, nudged=lease.nudged)

    def holds(self, lease: Lease) -> bool:
        """Tell whether the lease is still good. Ask before every effect that must not happen twice."""
        held = self._held.get(lease.key)
        now = asyncio.get_running_loop().time()
        return held is not None and held.receipt == lease.receipt and now < held.until

    # The ASGI side: Channels' AsyncConsumer, with a named channel of its own and a heartbeat.

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        self.scope = scope
        self.base_send = send
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        channel: str = scope["channel"]
        # A plain name: what is sent to a process-local one waits in memory when its consumer is gone.
        self.channel_name = f"{channel}.{uuid.uuid4().hex[:12]}"

        own = partial(self.channel_layer.receive, self.channel_name)
        receives = [partial(self._receive, each) for each in (receive, own)]
        heartbeat = asyncio.create_task(self._heartbeat(channel))
        try:
            await self._serve(receives)
        except StopConsumer:
            pass
        finally:
            heartbeat.cancel()
            # One that is under way would announce a worker that has signed off.
            await _wait([heartbeat], self.patience)
            await self._drain(channel)

    async def _serve(self, receives: Sequence[Callable[[], Awaitable[dict[str, Any]]]]) -> None:
        # Not Channels' await_many_dispatch(): it cancels once, and waits for ever for who took no notice.
        asking = [asyncio.ensure_future(each()) for each in receives]
        try:
            while True:
                await asyncio.wait(asking, return_when=asyncio.FIRST_COMPLETED)
                for at, asked in enumerate(asking):
                    if asked.done():
                        await self.dispatch(asked.result())
                        asking[at] = asyncio.ensure_future(receives[at]())
        finally:
            await end(asking)

    async def _receive(self, receive: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        while True:
            try:
                return await receive()
            except Exception as error:
                trouble.say(logger, "%s cannot receive, trying again: %r", self.channel_name, error)
                await asyncio.sleep(1)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Dispatch to the method that the type names; a message that makes no sense is logged and dropped."""
        now = asyncio.get_running_loop().time()
        try:
            if message.get("type") != LEASES:
                await super().dispatch(message)
                return
            # Channels looks for stale database connections before each message, in a thread, which costs more than the
            # rest of a small batch. Every second is enough, and not before the leases: the thread may wait for the
            # database, and who needs no row need not.
            if now - self._swept >= 1 and not self._sweeps:
                self._swept = now
                _keep(self._sweeps, _sweep())
            await self.delay_leases(message)
        except StopConsumer:
            raise
        except Exception as error:
            logger.warning("Dropped a message on %s: %s", self.scope["channel"], error)

    async def delay_leases(self, message: dict[str, Any]) -> None:
        """Take a batch of leases: renew first, and step only those that are still ours."""
        leases = from_channel(message)
        # The scheduler keeps to the free slots. What comes directly waits here, and is refused below if too late.
        while self._held and len(self._held) + len(leases) > self.slots:
            self._freed.clear()
            await self._freed.wait()
        # Once asked for, the leases are ours: who is stopped meanwhile must know what to give back.
        await asyncio.shield(_keep(self._takes, self._take(leases)))

    async def _take(self, leases: Sequence[Lease]) -> None:
        until = self._until()
        renewed = await self._store.renew(leases, self.run_lease, self.channel_name)
        mine = [lease for lease in renewed if lease is not None]
        if len(mine) < len(leases):
            counts.RENEWS_REFUSED.add(by=len(leases) - len(mine))
        if again := sum(lease.attempt > 1 for lease in mine):
            counts.REDELIVERIES.add(by=again)
        # If one of them is held here already, that hold was lost, and what its step says will be dropped.
        self._held.update((lease.key, _Held(lease, until)) for lease in mine)
        # Whose looks were lost again and again may be what kills the workers.
        lost = [lease for lease in mine if self.attempts is not None and lease.attempt > self.attempts]
        for lease in lost:
            mine.remove(lease)
            self._settle(lease, self.retry(lease, "its workers were lost"))
        if mine:
            _keep(self._batches, self._run(mine))

    async def _run(self, leases: Sequence[Lease]) -> None:
        pending = {lease.key: lease for lease in leases}
        try:
            async with aclosing(self.steps(leases)) as outcomes:
                async for lease, outcome in outcomes:
                    if pending.pop(lease.key, None):
                        self._settle(lease, outcome)
            for lease in pending.values():
                # One that seems lost is settled too: only the store knows, and what is held here is renewed for ever.
                if self.holds(lease):
                    logger.error("steps() said nothing of %s.", lease.key, extra=about(lease))
                self._settle(lease, self.retry(lease))
        except (Exception, asyncio.CancelledError) as error:
            if stopping(error):
                for lease in pending.values():
                    self._settle(lease, self.give_back(lease))
                raise
            logger.exception("A batch of %d steps failed.", len(pending), extra={"leases": len(pending)})
            for lease in pending.values():
                self._settle(lease, self.retry(lease))

    def _settle(self, lease: Lease, outcome: object) -> None:
        """Put an outcome into the next batch, which goes out when the loop has run what is ready now."""
        held = self._held.get(lease.key)
        if held is None or held.receipt != lease.receipt:
            return  # lost: somebody else has it
        if not isinstance(outcome, Outcome):
            what = "A step of %s failed: expected Again, Done or Dead, got %.80r."
            logger.error(what, lease.key, outcome, extra=about(lease))
            outcome = self.retry(lease, "the step said nothing of what next")
        held.outcome = outcome
        self._ready.append(lease.key)
        if len(self._ready) == 1:
            _keep(self._flushes, self._flush())

    async def _flush(self) -> None:
        # Not while a renew is under way: it would move the receipt away from under the settle.
        async with self._store_turn:
            # A key is there twice if it was lost and leased again while this waited for its turn.
            keys, self._ready = dict.fromkeys(self._ready), []
            held = [each for each in map(self._held.get, keys) if each is not None]
            batch = [(each.lease, each.outcome) for each in held if each.outcome is not None]
            for lease, _ in batch:
                del self._held[lease.key]
            self._freed.set()
            try:
                accepted = await self._store.settle(batch)
            except Exception as error:
                what = "Could not settle %d steps, their leases will end: %r"
                trouble.say(logger, what, len(batch), error, extra={"leases": len(batch)})
                return
        if refused := accepted.count(False):
            counts.SETTLES_REFUSED.add(by=refused)
        try:
            await self.settled([each for each, good in zip(batch, accepted, strict=True) if good])
        except Exception:
            logger.exception("What follows from %d steps failed.", len(batch))

    async def _heartbeat(self, channel: str) -> None:
        """Announce this worker's slots every second, and renew what it holds every third of a lease."""
        loop = asyncio.get_running_loop()
        every = self.run_lease / 3000
        renew_at = loop.time() + every
        while True:
            try:
                # A store that was flushed knows nobody: this is how long it takes to know this worker again.
                await self._store.announce(channel, self.channel_name, self.slots, self.presence)
                if loop.time() >= renew_at:
                    await self._renew()
                    renew_at = loop.time() + every
            except Exception as error:
                trouble.say(logger, "No heartbeat of %s: %r", self.channel_name, error)
            await asyncio.sleep(min(1.0, every))

    async def _renew(self) -> None:
        async with self._store_turn:
            held = [each for each in self._held.values() if each.outcome is None]
            if not held:
                return
            until = self._until()
            renewed = await self._store.renew([each.lease for each in held], self.run_lease, self.channel_name)
            for each, lease in zip(held, renewed, strict=True):
                if lease is not None:
                    each.lease, each.until = lease, until
                elif self._held.get(each.lease.key) is each:
                    del self._held[each.lease.key]
                    counts.LEASES_LOST.add()
                    self._freed.set()

    def _until(self) -> float:
        """Return when a lease asked for now ends at the earliest, by this process' own clock."""
        return asyncio.get_running_loop().time() + self.run_lease / 1000

    async def _drain(self, channel: str) -> None:
        """Take nothing new, let running steps finish for a moment, give the rest back."""
        _keep(self._takes, self._sign_off(channel))
        # Whoever asks to stop a second time wants it now.
        with suppress(asyncio.CancelledError):
            # Only the answer to a renew tells what there is to give back.
            await _wait(self._takes, self.patience)
            await _wait(self._batches, self.drain)
        await end(self._batches)
        await _wait(self._flushes, self.patience)
        await _wait(self._sweeps, self.patience)
        await _wait([asyncio.create_task(self.stopped())], self.patience)

    async def _sign_off(self, channel: str) -> None:
        try:
            await self._store.announce(channel, self.channel_name, 0, 0)
        except Exception as error:
            logger.warning("%s could not sign off: %r", self.channel_name, error)


async def _sweep() -> None:
    """Close database connections that are old or lost."""
    try:
        await aclose_old_connections()
    except Exception as error:
        trouble.say(logger, "Could not close old database connections: %r", error)


async def _wait(tasks: Collection[asyncio.Task[None]], most: int) -> None:
    """Wait for tasks, `most` ms at most."""
    if tasks:
        await asyncio.wait(tasks, timeout=most / 1000)
