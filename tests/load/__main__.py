"""`make load`: `python -m tests.load --compose DIR --minutes 10`, beside containers that run."""

from __future__ import annotations

import asyncio
import logging
import resource
import secrets
import sys
import time
from collections.abc import Callable

from progrock.delay.finish import end
from tests.load import report
from tests.load.crowd import Crowd
from tests.load.director import Director, Span
from tests.load.measure import Measure, measure
from tests.load.oracle import Known, judge
from tests.load.samples import Samples
from tests.load.stack import Stack, StackTrouble

logger = logging.getLogger("tests.load")


async def main(wanted: Measure) -> int:
    """Run it, tell what was seen, and return the exit code: 1 if something was lost."""
    prefix = f"load-{secrets.token_hex(4)}-"
    stack = Stack(wanted)
    crowd = Crowd(wanted, prefix)
    director = Director(wanted, stack)
    samples = Samples(stack, crowd)
    logger.info("%s", wanted)
    await stack.scale()
    before = Known.read(await stack.known(prefix))
    begin = time.monotonic()
    sampling = asyncio.create_task(samples.run())
    try:
        await crowd.come()
        await _until(lambda: crowd.in_flight >= 0.98 * wanted.jobs, wanted.ramp + wanted.drain)
        all_there = time.monotonic()
        logger.info("%d jobs are in flight, after %.0f s", crowd.in_flight, all_there - begin)
        director.spans.append(Span("ramp", begin, all_there))
        try:
            await director.play(max(begin + wanted.minutes * 60, all_there + 1))
        except StackTrouble as trouble:
            # What follows is still worth knowing: whether anything was lost by it.
            director.wrong.append(str(trouble))
        drain = time.monotonic()
        crowd.start_no_more()
        logger.info("No more are started; %d are in flight", crowd.in_flight)
        all_over = await _until(lambda: crowd.over, wanted.longest + wanted.drain)
        director.spans.append(Span("drain", drain, time.monotonic()))
        after = await _settled(stack, prefix, before)
        await director.close()
    finally:
        await end([sampling])
        await crowd.leave()
    verdict = judge([tab.ledger for tab in crowd.tabs], before, after)
    verdict.say("on the way", director.wrong)
    verdict.say("a tab broke", crowd.broken())
    if not all_over:
        verdict.say("a client waits for", [tab.waits_for for tab in crowd.tabs if not tab.over])
    run = report.Run(
        wanted,
        begin,
        verdict,
        crowd.seen,
        director.acts,
        director.spans,
        samples.taken,
        before,
        after,
        sum(tab.refused for tab in crowd.tabs),
        samples.missed,
    )
    if wanted.report:
        report.write(wanted.report, run)
    sys.stdout.write(report.tell(run))
    return 1 if verdict.wrong else 0


async def _settled(stack: Stack, prefix: str, before: Known, within: float = 60) -> Known:
    """Return what is known once the schedule has none of our jobs any more, or when that took too long."""
    until = time.monotonic() + within
    while True:
        known = Known.read(await stack.known(prefix))
        if not known.entries - before.entries or time.monotonic() > until:
            return known
        await asyncio.sleep(5)


async def _until(condition: Callable[[], bool], within: float) -> bool:
    """Wait for a condition, and tell whether it came true within so many seconds."""
    until = time.monotonic() + within
    while not condition():
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.5)
    return True


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    logging.getLogger("websockets").setLevel(logging.WARNING)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sys.exit(asyncio.run(main(measure(sys.argv[1:]))))
