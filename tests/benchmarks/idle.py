"""What the schedule costs when nothing is due: ENTRIES entries for an hour from now, a scheduler, SECONDS seconds.

The last line is one JSON object: CPU of the scheduler and of Redis in per cent of a core, and bytes of Redis per entry.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import uuid
from pathlib import Path
from typing import Any

from progrock.delay import NewEntry, RedisStore
from tests.benchmarks.delay import Processes
from tests.benchmarks.delay_asgi import CHANNEL, FIRST
from tests.redis import RedisServer


async def measure(*, entries: int, seconds: int) -> dict[str, Any]:
    """Run it once and return the figures."""
    with tempfile.TemporaryDirectory() as name, RedisServer() as redis:
        store = RedisStore.from_url(redis.url)
        before = int((await store._scripts.command("INFO", "memory"))["used_memory"])
        for _ in range(0, entries, 1000):
            await store.schedule([NewEntry(str(uuid.uuid4()), CHANNEL, FIRST, 3_600_000) for _ in range(1000)])
        memory = int((await store._scripts.command("INFO", "memory"))["used_memory"]) - before
        processes = Processes(redis, Path(name), workers=1, schedulers=1)
        await processes.ready(store)
        await store.aclose()
        cpu = processes.cpu()
        await asyncio.sleep(seconds)
        used = [after - before for before, after in zip(cpu, processes.cpu(), strict=True)]
        processes.stop()
    redis_percent, scheduler_percent, worker_percent = (round(each / seconds * 100, 3) for each in used)
    return {
        "entries": entries,
        "seconds": seconds,
        "scheduler_percent": scheduler_percent,
        "worker_percent": worker_percent,
        "redis_percent": redis_percent,
        "bytes_per_entry": round(memory / entries),
    }


if __name__ == "__main__":
    figures = measure(entries=int(os.environ.get("ENTRIES", "100000")), seconds=int(os.environ.get("SECONDS", "60")))
    print(json.dumps(asyncio.run(figures)))
