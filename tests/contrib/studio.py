"""The Celery app of that site: every task is a job of whoever queues it."""

from __future__ import annotations

import itertools
import os
import signal
import time
from typing import Any

import redis
from celery import Celery, Task
from celery.exceptions import Ignore, Reject

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.contrib.settings")

# Before Django is set up, as everybody has it.
from progrock.contrib.celery import current, track_tasks

URL = os.environ.get("CELERY_REDIS") or os.environ.get("REDIS_URL") or "redis://127.0.0.1:1/0"
WAIT_MOST = 60

app = Celery("studio", broker=URL, backend=URL)
app.conf.update(
    task_track_started=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=1,
)
track_tasks(app, interrupt=True)


def wait(gate: str) -> None:
    """Wait until the test opens a gate."""
    with redis.Redis.from_url(URL, socket_timeout=None) as client:
        assert client.blpop([gate], WAIT_MOST), f"expected gate {gate} to open"


@app.task
def press(copies: int, gate: str = "") -> dict[str, int]:
    job = current()
    for copy in job.iterate(range(copies)):
        if gate and copy == copies // 2:
            job.report(message="Halfway")
            wait(gate)
    return {"copies": copies}


@app.task
def play(gate: str) -> str:
    """Blocks."""
    current().report(message="Playing")
    wait(gate)
    return "Played"


@app.task(bind=True)
def upload(self: Task, gate: str) -> str:
    """Tells Celery alone, as celery-progress does."""
    from celery_progress.backend import ProgressRecorder

    ProgressRecorder(self).set_progress(1, 4, "One of four")
    wait(gate)
    return "Sent"


@app.task
def skip() -> None:
    raise Ignore


@app.task
def scratch() -> None:
    raise ValueError("The record is scratched.")


@app.task(bind=True, max_retries=1)
def again(self: Task, seconds: float, gate: str = "") -> str:
    if self.request.retries:
        if gate:
            wait(gate)
        return "Second time"
    raise self.retry(exc=OSError("The needle is away."), countdown=seconds)


@app.task
def album(tracks: int) -> list[str]:
    """Queues others, which are jobs of the same owner."""
    chain = (press.si(1) | press.si(2)).apply_async()
    # The second is queued when the first has ended.
    return [chain.parent.id, chain.id, *(press.delay(1).id for _ in range(tracks))]


@app.task
def spin() -> None:
    """Goes on until it is told to stop."""
    end = time.monotonic() + WAIT_MOST
    for _ in current().iterate(itertools.count()):
        assert time.monotonic() < end, "expected to be stopped"
        time.sleep(0.02)


@app.task(bind=True)
def swap(self: Task) -> None:
    """Has another task done in its place."""
    self.replace(press.si(2))


@app.task(acks_late=True)
def bounce(key: str) -> str:
    """Is given back to its queue once."""
    with redis.Redis.from_url(URL) as client:
        if client.incr(key) == 1:
            raise Reject("not now", requeue=True)
    return "Caught"


@app.task
def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(time_limit=1)
def endless() -> None:
    wait("never")


@app.task(bind=True)
def count(self: Task, gate: str, seconds: int = 4) -> dict[str, Any]:
    """As the tasks of celery-progress' users are."""
    from progrock.contrib.celery_progress.backend import ProgressRecorder

    recorder = ProgressRecorder(self)
    for second in range(seconds):
        recorder.set_progress(second + 1, seconds, description=f"Second {second + 1}")
        wait(gate)
    return {"sum": sum(range(seconds))}
