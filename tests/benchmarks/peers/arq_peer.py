"""arq: one worker process, polling every 50 ms (its default is 500), with room for all that is due at once."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from . import steps


async def look(ctx: dict[str, Any], job: int, step: int, due: float) -> None:
    following = steps.take(job, step, due)
    if following is not None:
        at = datetime.fromtimestamp(following, UTC)
        await ctx["redis"].enqueue_job("look", job, step + 1, following, _defer_until=at)


class WorkerSettings:
    functions = [look]
    redis_settings = RedisSettings.from_dsn(steps.REDIS)
    poll_delay = 0.05
    max_jobs = 200
    keep_result = 0
    max_tries = 1


def seed() -> None:
    asyncio.run(_seed())


async def _seed() -> None:
    pool = await create_pool(WorkerSettings.redis_settings)
    dues = steps.first_dues(time.time() + 3)
    for job, due in enumerate(dues):
        at = datetime.fromtimestamp(due, UTC)
        await pool.enqueue_job("look", job, 0, due, _defer_until=at)
