"""One round: jobs are started, a fault strikes while they run, and afterwards all is looked at."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.chaos import verdict as checks
from tests.chaos.audience import Audience
from tests.chaos.faults import Fault, Scene
from tests.chaos.stage import Stage
from tests.chaos.verdict import Verdict
from tests.until import until

PEOPLE = 4
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Measure:
    """How much of everything.

    :param jobs: started in a round.
    :param lasts: seconds that the shortest job lasts; the longest lasts 1.6 times as long.
    :param freeze: seconds that something stands still.
    :param trouble: seconds that the remote service is in trouble.
    :param most: seconds until all must be over, beside what the longest job lasts.
    :param strikes: how often a fault of chance strikes in one round, at random moments.
    """

    jobs: int
    lasts: float
    freeze: float
    trouble: float
    most: float = 60
    strikes: int = 1


async def play(stage: Stage, fault: Fault, seed: int, measure: Measure, *, without: str = "") -> Verdict:
    """Let one fault strike, and return what was seen.

    :param without: what to switch off in the product; see `project/sabotage.py`.
    """
    random = Random(f"{seed} {fault.name}")
    verdict = Verdict()
    began = time.monotonic()
    since = time.monotonic_ns()
    before = await _stats(stage)
    audience = Audience(lambda: [web.url for web in stage.webs], random.getrandbits(32))
    await audience.come(PEOPLE, undone=fault.undoes, forgets=fault.loses)
    scene = Scene(stage, audience, random, measure.freeze, measure.trouble, asyncio.Event())
    name = f"r{next(_numbers)}-"
    if without:
        stage.switch_off(without)
    strikes = measure.strikes if fault.chance and not fault.once else 1
    lasts = fault.lasts or measure.lasts
    if strikes > 1:
        lasts = max(lasts, strikes * (measure.lasts / 2 + fault.takes))
    # The last strike may come when the longest of them have just begun.
    most = measure.most + 1.6 * lasts
    try:
        for place, action, after in fault.places:
            stage.arm(place, action, random.randint(1, after))
        starting = asyncio.create_task(_start(scene, name, fault.service, measure, lasts, most))
        try:
            for _ in range(strikes):
                await asyncio.sleep(random.uniform(0.3, 0.8 * measure.lasts))
                verdict.strikes += 1
                await fault.strike(scene)
            await starting
            await until(lambda: _over(audience), most)
            await until(lambda: not _left(stage, audience), measure.most)
        except (AssertionError, OSError) as trouble:
            verdict.say("on the way", [repr(trouble)[:300]])
        finally:
            starting.cancel()
        await _look(stage, fault, verdict, audience, name, before, since)
        stage.disarm()
        if without:
            # What the sabotage has left undone is done now, so that the next round begins with nothing.
            await until(lambda: _over(audience), measure.most + 30)
            await until(lambda: not _left(stage, audience), measure.most)
    finally:
        stage.disarm()
        stage.synth.call("DELETE", "/v1/trouble")
        await audience.leave()
    verdict.seconds = time.monotonic() - began
    return verdict


def _over(audience: Audience) -> bool:
    return all(client.over for client in audience.clients)


def _left(stage: Stage, audience: Audience) -> set[str]:
    """Return the keys of those entries in the schedule that are of this round."""
    return stage.entries().intersection(job for client in audience.starters for job in client.accepted.values())


async def _start(scene: Scene, name: str, service: str, measure: Measure, lasts: float, most: float) -> None:
    """Start all jobs within a third of the time that the shortest lasts."""
    audience, random = scene.audience, scene.random
    pause = measure.lasts / 3 / measure.jobs
    for number, client in zip(range(measure.jobs), itertools.cycle(audience.starters), strict=False):
        length = round(random.uniform(lasts, 1.6 * lasts), 1)
        await client.start(f"{name}{number}", service, {"mode": "clock", "length": length, "seed": number})
        await audience.follow()
        await asyncio.sleep(pause)
    await until(lambda: all(not client.wanted for client in audience.starters), most)
    await audience.follow()
    scene.started.set()


async def _look(
    stage: Stage, fault: Fault, verdict: Verdict, audience: Audience, name: str, before: dict[str, Any], since: int
) -> None:
    for seat in stage.seats:
        if seat.hand.code is not None:
            verdict.say("ended by itself", [f"{seat.role}: " + " | ".join(seat.hand.log[-3:])])
            await seat.again()
    rows = await stage.rows(name)
    jobs = {row["id"] for row in rows}
    await asyncio.sleep(0.1)
    events = [each for each in stage.crew.events.read() if each.at >= since]
    checks.ends(verdict, audience, rows, fault.expected)
    killed = {hand.pid for hand in stage.crew.hands if hand.code == -signal.SIGKILL}
    checks.signals(verdict, events, jobs, killed, twice=fault.twice)
    checks.refusals(verdict, events, jobs, keeps=fault.keeps)
    if not fault.back:
        checks.fencing(verdict, events, jobs)
    if not fault.loses:
        checks.scheduled(verdict, events, jobs)
    if not fault.forgets:
        checks.remote(verdict, before, await _stats(stage), rows)
    verdict.say("left in the schedule", sorted(stage.entries() & jobs))


async def _stats(stage: Stage) -> dict[str, Any]:
    stats: dict[str, Any] = (await asyncio.to_thread(stage.synth.call, "GET", "/v1/stats")).json
    return stats
