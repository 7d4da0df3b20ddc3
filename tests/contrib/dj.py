"""Tasks of that site, of Django's framework."""

from __future__ import annotations

from typing import Any

import redis
from django_tasks import task

from progrock.contrib.tasks import current
from tests.contrib.studio import URL, wait


@task
def dj_press() -> dict[str, Any]:
    with redis.Redis.from_url(URL) as client:
        client.incr("dj-ran")
    job = current()
    for copy in job.iterate(range(4)):
        if copy == 2:
            job.report(message="Halfway")
            wait("dj")
    return {"copies": 4, "next": str(dj_next.enqueue().id)}


@task
def dj_next() -> None:
    """Queued by another."""


@task
def dj_scratch() -> None:
    raise ValueError("The record is scratched.")
