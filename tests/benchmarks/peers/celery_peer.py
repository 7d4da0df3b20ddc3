"""Celery: one process of four threads on Redis, results off, prefetch unlimited, as ETAs want it."""

from __future__ import annotations

import time

from celery import Celery

from . import steps

app = Celery("bench", broker=steps.REDIS)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=0,
    worker_send_task_events=False,
    task_store_errors_even_if_ignored=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)


@app.task(name="look")
def look(job: int, step: int, due: float) -> None:
    following = steps.take(job, step, due)
    if following is not None:
        look.apply_async((job, step + 1, following), countdown=max(0.0, following - time.time()))


def seed() -> None:
    for job, due in enumerate(steps.first_dues(time.time() + 3)):
        look.apply_async((job, 0, due), countdown=max(0.0, due - time.time()))
