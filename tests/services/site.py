"""A whole site in one process, whose service is the real synth and whose time passes as the schedule needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from django.test import override_settings

from progrock import jobs, registry, webhooks
from progrock.hooks import Call
from progrock.models import Job
from progrock.protocol import Snapshot
from progrock.testing import Clock, adrain
from tests.synth.process import SynthProcess

_MEMORY = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 1_000}}
QUICK = {"mode": "clock", "length": 0.5, "pace": 100}
"""Parameters of a render that has succeeded before anybody looks twice."""
LONG = {"mode": "clock", "length": 600}
"""Parameters of a render that goes on."""
POLICY = {"patience": 20_000, "cancel_patience": 10_000, "deadline": 60_000}

HOOK = {"form": "shared", "secrets": ["open"], "header": "X-Token", "job": "job", "net": 30_000}


class Site:
    """What a test asks of it."""

    def __init__(self, synth: SynthProcess, clock: Clock) -> None:
        self.synth, self.clock = synth, clock
        self._began = clock.now
        self._starts = self._count()

    async def start(self, params: Mapping[str, Any]) -> str:
        """Start a job, of which nobody takes a step yet."""
        return (await jobs.astart("synth", dict(params), owner="me")).job

    async def end(self, params: Mapping[str, Any], *troubles: dict[str, Any]) -> Snapshot:
        """Have a job run into trouble, and return its end."""
        self.synth.trouble(*troubles)
        job = await self.start(params)
        (ended,) = await adrain(most=1_000)
        assert ended.job == job
        assert ended.complete
        assert await registry.store().peek([job]) == [None]
        return ended

    def passed(self) -> int:
        """Return how many milliseconds have passed here."""
        return (self.clock.now - self._began) // 1000

    async def call(self, job: str, **said: object) -> webhooks.Outcome:
        """Have the service call back, and return what came of that."""
        body = msgspec.json.encode({"job": job, **said})
        return await webhooks.take("synth", Call({"X-Token": "open"}, {}, body))

    def looks(self) -> int:
        """Return how many calls to look at jobs the synth has had."""
        requests = self.synth.call("GET", "/v1/stats").json["requests"]
        return int(requests.get("status", 0)) + int(requests.get("batch", 0))

    def hits(self) -> int:
        """Return how many requests ran into trouble."""
        return sum(each["hits"] for each in self.synth.call("GET", "/v1/trouble").json["trouble"])

    def starts(self) -> int:
        """Return how many renders the synth has made for this site."""
        return self._count() - self._starts

    def _count(self) -> int:
        return int(self.synth.call("GET", "/v1/stats").json["starts"])

    async def remotes(self) -> dict[str, str]:
        """Return the renders of the jobs that there are, by job."""
        return {str(row.pk): row.remote async for row in Job.objects.all()}


@asynccontextmanager
async def playing(
    synth: SynthProcess, backend: str, options: Mapping[str, Any], policy: Mapping[str, Any], *, hook: bool = False
) -> AsyncIterator[Site]:
    """Set up such a site.

    :param backend: dotted path of the synth's adapter.
    :param options: its own; where the synth is, is added.
    :param hook: whether the service calls back, see :meth:`Site.call`.
    """
    declared: dict[str, Any] = {
        "BACKEND": backend,
        "OPTIONS": {"base_url": synth.url, "timeout": 5_000, **options},
        "POLICY": {**POLICY, **policy},
        **({"HOOK": HOOK} if hook else {}),
    }
    clock = Clock()
    before, registry.clock = registry.clock, clock
    setting = {"SERVICES": {"synth": declared}, "STORE": "memory://"}
    try:
        with override_settings(PROGROCK=setting, CHANNEL_LAYERS={"default": _MEMORY, registry.WORK_LAYER: _MEMORY}):
            try:
                yield Site(synth, clock)
            finally:
                await registry.aclose()
    finally:
        registry.clock = before
        synth.trouble()
