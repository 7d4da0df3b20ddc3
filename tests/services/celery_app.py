"""A Celery app as others have them: it knows nothing of ProgRock. The tests start its workers."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import redis
from celery import Celery, Task
from celery.backends.base import Backend

URL = os.environ.get("CELERY_REDIS", "redis://127.0.0.1:1/0")
WAIT_MOST = 60

app = Celery("studio", broker=URL, backend=URL)
app.conf.update(
    task_track_started=True,
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=1,
)


def wait(gate: str) -> None:
    """Wait until the test opens a gate."""
    with redis.Redis.from_url(URL, socket_timeout=None) as client:
        assert client.blpop([gate], WAIT_MOST), f"expected gate {gate} to open"


@app.task
def press(album: int, copies: int = 1) -> dict[str, int]:
    return {"album": album, "copies": copies}


@app.task(bind=True)
def record(self: Task, gate: str) -> str:
    """Tells how far it is with the words of celery-progress' recorder."""
    meta = {"pending": False, "current": 3, "total": 8, "percent": 37.5, "description": "Track 3"}
    self.update_state(state="PROGRESS", meta=meta)
    wait(gate)
    return "Done"


@app.task(bind=True)
def upload(self: Task, gate: str) -> None:
    """Has a state of its own, and the words of Flask's tutorial."""
    self.update_state(state="UPLOADING", meta={"current": 1, "total": 4, "status": "One of four", "title": "Red"})
    wait(gate)


@app.task
def play(gate: str) -> str:
    wait(gate)
    return "Played"


@app.task
def scratch() -> None:
    raise ValueError("The record is scratched.", 7)


@app.task
def melt() -> object:
    return object()


@app.task(bind=True, max_retries=1)
def retry(self: Task) -> str:
    if self.request.retries:
        return "Second time"
    raise self.retry(exc=OSError("The needle is away."), countdown=4)


@app.task(ignore_result=True)
def whisper() -> str:
    return "Heard"


@app.task
def long(size: int) -> str:
    return "x" * size


@app.task(bind=True)
def count(self: Task, key: str, gate: str = "") -> Any:
    """Counts how often it ran."""
    with redis.Redis.from_url(URL) as client:
        client.incr(key)
    if gate:
        wait(gate)
    return key


class Shelf(Backend):
    """A result backend that can only be asked for one task at a time, as those in databases are."""

    records: ClassVar[dict[str, dict[str, Any]]] = {}

    def _get_task_meta_for(self, task_id: str) -> dict[str, Any]:
        record = self.records.get(task_id, {"status": "PENDING", "result": None})
        meta: dict[str, Any] = self.meta_from_decoded(dict(record))
        return meta
