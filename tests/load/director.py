"""What is done to the site, and when: kills at random, and deployments that replace each container in its turn."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass, field

from tests.load.measure import Measure
from tests.load.stack import Stack

VICTIMS = ("worker", "delay")
logger = logging.getLogger("tests.load")
ROLES = ("delay", "worker", "web")
"""In the order in which they are deployed."""


@dataclass
class Act:
    """One thing that was done.

    :param at: when it began, in seconds of the monotonic clock.
    :param what: was done, for people.
    :param seconds: that it took.
    """

    at: float
    what: str
    seconds: float = 0.0


@dataclass
class Span:
    """A part of the run.

    :param name: of it.
    :param begin: in seconds of the monotonic clock.
    :param end: of it.
    """

    name: str
    begin: float
    end: float


@dataclass
class Director:
    """Does it.

    :param measure: how much of everything.
    :param stack: to what.
    """

    measure: Measure
    stack: Stack
    acts: list[Act] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    async def play(self, until: float) -> None:
        """Be quiet for a while, then kill at random, and deploy in between, until a moment of the monotonic clock."""
        chance = random.Random(self.measure.seed)
        begin = time.monotonic()
        quiet_end = begin + (until - begin) * self.measure.quiet
        await _sleep(quiet_end)
        self.spans.append(Span("quiet", begin, quiet_end))
        count = self.measure.deploys
        deploys = [quiet_end + (until - quiet_end) * (2 * n + 1) / (2 * count + 1) for n in range(count)]
        for number, at in enumerate([*deploys, until]):
            began = time.monotonic()
            await self._kill(chance, min(at, until))
            self.spans.append(Span("kills", began, time.monotonic()))
            if number < count:
                began = time.monotonic()
                await self._deploy(number + 1)
                self.spans.append(Span("deploy", began, time.monotonic()))

    async def _kill(self, chance: random.Random, until: float) -> None:
        while (at := time.monotonic() + chance.uniform(0.5, 1.5) * self.measure.kill_every) < until:
            await _sleep(at)
            running = [each for each in await self.stack.containers(*VICTIMS) if each.pid > 1]
            if running:
                victim = chance.choice(running)
                now = time.monotonic()
                if self.stack.kill(victim):
                    self.acts.append(Act(now, f"SIGKILL {victim.role}"))
                    logger.info("%s", self.acts[-1].what)
        await _sleep(until)

    async def _deploy(self, number: int) -> None:
        """Replace all containers, one at a time: SIGTERM, wait for its end, start another, wait until that is well."""
        for role in ROLES:
            await self.stack.well(role)
            for old in await self.stack.containers(role):
                await self._ended_by_itself([old.name])
                began = time.monotonic()
                code, seconds = await self.stack.stop(old)
                if code:
                    self.wrong.append(f"{role}: ended with {code} after SIGTERM, in {seconds:.1f} s, not with 0")
                await self.stack.fill(role)
                what = f"deployment {number}: {role}, drained in {seconds:.1f} s"
                self.acts.append(Act(began, what, time.monotonic() - began))
                logger.info("%s; %.0f s", what, self.acts[-1].seconds)

    async def close(self) -> None:
        """Look whether what runs now has ever ended by itself."""
        await self._ended_by_itself(None)

    async def _ended_by_itself(self, names: list[str] | None) -> None:
        for each in await self.stack.containers():
            extra = each.restarts - self.stack.kills[each.name]
            if extra > 0 and (names is None or each.name in names):
                self.wrong.append(f"{each.role}: ended {extra} times by itself")


async def _sleep(until: float) -> None:
    await asyncio.sleep(max(0.0, until - time.monotonic()))
