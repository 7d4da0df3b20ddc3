"""A Celery application with one job that takes its time."""

from __future__ import annotations

import os
import time

from celery import Celery

app = Celery("work", broker=os.environ["WORK_REDIS"], backend=os.environ["WORK_REDIS"])
app.conf.update(task_track_started=True, worker_send_task_events=True, task_send_sent_event=True)


@app.task(name="work.count")
def count(steps: int, pause: float = 0.1, fail: str = "") -> dict[str, int]:
    """Count to `steps` with `pause` seconds in between, and raise if it is told to `fail`."""
    for _ in range(steps):
        time.sleep(pause)
    if fail:
        raise ValueError(fail)
    return {"count": steps}
