"""dramatiq: one worker process of eight threads, its default, on its Redis broker."""

from __future__ import annotations

import time

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from . import steps

# Without the middleware for what is not used here: time limits, retries, and ages of messages.
broker = RedisBroker(url=steps.REDIS, middleware=[])
dramatiq.set_broker(broker)


@dramatiq.actor
def look(job: int, step: int, due: float) -> None:
    following = steps.take(job, step, due)
    if following is not None:
        delay = max(0, int((following - time.time()) * 1000))
        look.send_with_options(args=(job, step + 1, following), delay=delay)


def seed() -> None:
    for job, due in enumerate(steps.first_dues(time.time() + 3)):
        look.send_with_options(args=(job, 0, due), delay=max(0, int((due - time.time()) * 1000)))
