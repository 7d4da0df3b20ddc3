"""Whole lives of jobs in one process: a remote that does as it is told, a clock that tests move, and a drain."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import msgspec
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils.module_loading import import_string

from .. import history, reconcile, registry, sending
from ..conf import BUILT_IN
from ..consumers.worker import JobWorker
from ..delay import HAND_OFF, Done, Lease, MemoryStore, door
from ..delay.entry import from_channel
from ..models import Job
from ..post import Answer
from ..protocol import Snapshot, State
from ..push import reporter, rows
from ..services import File, Order, Service, Started
from ..standing import UNFINISHED, snapshot_of
from ..step import Look, Miss, Reading
from .told import ToldHere, at_once

_BATCH = 250
_FOR_EVER = 10**12
_MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 100_000}}


class StillGoing(AssertionError):
    """A drain took all the steps that it may, and jobs are still going."""


class Clock:
    """The time of a schedule in memory. It starts now, and stands still until it is moved."""

    def __init__(self) -> None:
        self.now = time.time_ns() // 1000
        """Whole microseconds since 1970."""

    def __call__(self) -> int:
        return self.now

    def advance(self, ms: int) -> None:
        """Let time pass.

        :param ms: milliseconds, 0 or more.
        :raises ValueError: if they are fewer: the clock of a schedule never steps back.
        """
        if ms < 0:
            raise ValueError(f"Expected 0 or more milliseconds, got {ms}.")
        self.now += ms * 1000


class Remote:
    """The other side of every :class:`ScriptedService`: what it answers, and what it was asked.

    `starts` counts the starts of each job. `polls` has the jobs of each look, `cancels` those it was told to stop, both
    by the remote's own names: job ids with `r-` before them. `told` has the webhooks that were sent, as pairs of URL
    and body; none of them leaves the process.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything: all jobs are half done at the first look, and have succeeded at the second."""
        self.clock = Clock()
        self.starts: Counter[str] = Counter()
        self.polls: list[list[str]] = []
        self.cancels: list[str] = []
        self.told: list[tuple[str, dict[str, Any]]] = []
        self.looks: dict[str, list[Look | Exception]] = {}
        self.ended: dict[str, Reading] = {}
        """The ends that it has told of, by its names of the jobs: they stay so."""
        self.default: list[Look | Exception] = [Reading(State.RUNNING, 50), Reading(State.SUCCEEDED, 100)]
        self.start_look: list[Miss | Exception] = []
        """What comes of the next starts instead of a job."""
        self.cancel_look: Look = Reading(State.CANCELLED)
        """What it says when it is told to stop a job."""
        self.gate = asyncio.Event()
        """While it is clear, the service gives no answer."""
        self.gate.set()

    def say(self, *looks: Look | Exception, job: str = "") -> None:
        """Answer looks with these, one after the other, and with the last for ever.

        :param looks: readings, misses, or what the adapter raises.
        :param job: whose looks; all those of jobs that have not been looked at yet, if it is not given.
        :raises ValueError: if there are none.
        """
        if not looks:
            raise ValueError("Expected one look or more, got none.")
        if job:
            self.looks[f"r-{job}"] = list(looks)
        else:
            self.default = list(looks)

    async def take(self, url: str, body: bytes, headers: Mapping[str, str], *, anywhere: bool) -> Answer:
        """Stand in for whoever gets a webhook."""
        self.told.append((url, msgspec.json.decode(body)))
        return Answer(204, None)

    def next_look(self, name: str) -> Look:
        """Return what a job is answered now, by the remote's name for it."""
        looks = self.looks.setdefault(name, list(self.default))
        return self._tell(name, looks.pop(0) if len(looks) > 1 else looks[0])

    def stop(self, name: str) -> Look:
        """Return what comes of telling a job to stop, by the remote's name for it."""
        self.cancels.append(name)
        return self._tell(name, self.cancel_look)

    def _tell(self, name: str, look: Look | Exception) -> Look:
        if isinstance(look, Exception):
            raise look
        if name in self.ended:
            return self.ended[name]
        if isinstance(look, Reading) and look.state.complete:
            self.ended[name] = look
        return look


remote = Remote()
"""The remote of this process."""


class ScriptedService(Service):
    """Speaks to :data:`remote`, without a network.

    :param like: dotted path of the adapter that it stands for, which goes on to check parameters and to name jobs.
    :param options: keyword arguments of that adapter.
    """

    finds = True
    starts_once = True
    batch = 250

    def __init__(self, like: str = "", options: Mapping[str, Any] | None = None) -> None:
        self._like: Service | None = import_string(like)(**(options or {})) if like else None
        if self._like is not None:
            self.finds, self.starts_once = self._like.finds, self._like.starts_once

    def clean(self, params: dict[str, Any]) -> dict[str, Any]:
        return self._like.clean(params) if self._like else params

    def title(self, params: dict[str, Any]) -> str:
        return self._like.title(params) if self._like else ""

    async def start(self, order: Order) -> Started | Miss:
        await remote.gate.wait()
        if remote.start_look:
            look = remote.start_look.pop(0)
            if isinstance(look, Exception):
                raise look
            return look
        remote.starts[order.job] += 1
        return Started(f"r-{order.job}", Reading(State.RUNNING, 0))

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        remote.polls.append(list(remotes))
        await remote.gate.wait()
        return [remote.next_look(each) for each in remotes]

    async def cancel(self, remote_id: str) -> Look:
        return remote.stop(remote_id)

    async def find(self, job: str) -> str | Miss | None:
        return f"r-{job}" if remote.starts[job] else None

    async def open(self, remote_id: str, headers: Mapping[str, str]) -> File | Miss:
        async def body() -> AsyncGenerator[bytes, None]:
            yield f"the file of {remote_id}".encode()

        return File(200, {"Content-Type": "text/plain"}, body())

    async def aclose(self) -> None:
        if self._like is not None:
            await self._like.aclose()


@contextmanager
def rock() -> Iterator[Remote]:
    """Have everything in this process: your services scripted, policies and limits as they are, the rest in memory.

    :returns: the remote, new, with the clock of the schedule as its `clock`.
    """
    remote.reset()
    history.forget()  # what it learned from another test's jobs
    declared = {
        name: {
            "BACKEND": "progrock.testing.ScriptedService",
            "OPTIONS": {"like": each.backend, "options": dict(each.options)},
            "POLICY": msgspec.structs.asdict(each.policy),
            "HOOK": each.hook and msgspec.to_builtins(each.hook),
            "TELL": msgspec.to_builtins(each.tell),
            "LIMITS": each.limits and msgspec.structs.asdict(each.limits),
        }
        for name, each in registry.conf().services.items()
        if name not in BUILT_IN  # there is no other side to them
    }
    layers = {**getattr(settings, "CHANNEL_LAYERS", {}), "default": _MEMORY, registry.WORK_LAYER: _MEMORY}
    setting = {**getattr(settings, "PROGROCK", {}), "SERVICES": declared, "STORE": "memory://"}
    before, registry.clock = registry.clock, remote.clock
    try:
        with (
            override_settings(PROGROCK=setting, CHANNEL_LAYERS=layers),
            patch.object(sending, "post", remote.take),
            patch.object(sending, "run_aside", _run_here),
            patch.object(reporter, "_reporter", ToldHere()),
            patch.object(rows, "committed", at_once),
        ):
            yield remote
    finally:
        registry.clock = before


async def _run_here(work: Callable[[], object]) -> None:
    """Run what may block where the test's transaction is."""
    await sync_to_async(work)()


async def adrain(most: int = 20_000) -> list[Snapshot]:
    """Take the steps of all jobs, in this process, until every job has ended. No time passes but the clock's.

    Starts and cancels whose transaction is not committed are taken too: that of a test never is.

    :param most: how many steps to take.
    :returns: the jobs that have ended, in that order.
    :raises StillGoing: naming the jobs that are not over after so many steps.
    :raises ImproperlyConfigured: outside of :func:`rock`.
    """
    store, layer, clock = registry.store(), get_channel_layer(registry.WORK_LAYER), registry.clock
    if not (isinstance(store, MemoryStore) and isinstance(layer, InMemoryChannelLayer) and isinstance(clock, Clock)):
        raise ImproperlyConfigured("Expected `with progrock.testing.rock():` around this, got other settings.")
    worker, taken, ended = _Alone(), 0, []
    # What the reconciler would do is done here, and it has no end.
    await store.remove([reconcile.KEY])
    await reconcile.areconcile()
    await store.announce(registry.CHANNEL, "drain", _FOR_EVER, _FOR_EVER)
    try:
        while taken < most:
            leases = await _handed(layer) or await store.lease(_BATCH, HAND_OFF)
            if leases:
                taken += len(leases)
                held = await store.renew(leases, worker.run_lease, "drain")
                async for lease, outcome in worker.steps([lease for lease in held if lease is not None]):
                    if await store.settle([(lease, outcome)]) == [True]:
                        await worker.settled([(lease, outcome)])
                    if isinstance(outcome, Done):
                        ended.append(lease.key)
                continue
            due = store.next_due()
            if due is not None:
                clock.now = max(clock.now, due)
            # A signal's receiver may have started another.
            elif not any(await reconcile.areconcile()):
                break
        else:
            raise StillGoing(await _going(taken))
    finally:
        await store.announce(registry.CHANNEL, "drain", 0, 0)
    rows = {str(row.pk): row async for row in Job.objects.filter(pk__in=ended)}
    return [snapshot_of(rows[key]) for key in ended if key in rows]


drain = door(adrain, registry.aclose)


class _Alone(JobWorker):
    """A worker that holds what it is given: there is no other, and no time passes."""

    def holds(self, lease: Lease) -> bool:
        return True


async def _handed(layer: InMemoryChannelLayer) -> list[Lease]:
    """Return the leases of the starts that are on their way to a worker."""
    leases: list[Lease] = []
    while registry.CHANNEL in layer.channels:  # a channel in memory is there while it has messages
        leases += from_channel(await layer.receive(registry.CHANNEL))
    return leases


async def _going(taken: int) -> str:
    rows = Job.objects.filter(state__in=UNFINISHED).order_by("created")
    named = [f"{row.pk} of {row.service!r} ({row.state})" async for row in rows[:10]]
    more = await rows.acount() - len(named)
    return f"Expected all jobs to end within {taken} steps, got {', '.join(named)}" + (
        f", and {more} more." if more > 0 else "."
    )
