"""Celery as it is usually made to poll: one process of four threads; each poll is a task that sends the next one.

What came of it is kept where `AsyncResult` finds it, under the job's name. A GET is made by CLIENT, httpx or requests,
which keeps its connections.
"""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.request
from typing import Any

from celery import Celery, Task

from . import steps

REMOTE = os.environ["REMOTE_URL"]

app = Celery("bench", broker=steps.REDIS, backend=steps.REDIS)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=0,
    worker_send_task_events=False,
    task_store_errors_even_if_ignored=False,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
)

if os.environ["CLIENT"] == "httpx":
    import httpx

    _client = httpx.Client()

    def get(url: str) -> Any:
        return _client.get(url)

else:
    import requests

    # A session is not made for more than one thread.
    _mine = threading.local()

    def get(url: str) -> Any:
        if not hasattr(_mine, "session"):
            _mine.session = requests.Session()
        return _mine.session.get(url, timeout=10)


@app.task(name="poll", bind=True)
def poll(self: Task, job: int, name: str, due: float) -> None:
    following = steps.take(job, 0, due)
    reply = get(f"{REMOTE}/jobs/{name}")
    reply.raise_for_status()
    said = reply.json()
    progress = said["progress"]
    meta = {"percent": 100 * progress["done"] / progress["total"], "message": said["message"]}
    self.update_state(task_id=name, state="PROGRESS", meta=meta)
    if said["status"] == "running" and following is not None:
        poll.apply_async((job, name, following), countdown=max(0.0, following - time.time()))


def seed() -> None:
    for job, due in enumerate(steps.first_dues(time.time() + 3)):
        order = urllib.request.Request(f"{REMOTE}/jobs", json.dumps({"job": str(job)}).encode(), method="POST")
        with urllib.request.urlopen(order, timeout=10) as answer:
            name = json.load(answer)["id"]
        poll.apply_async((job, name, due), countdown=max(0.0, due - time.time()))
