"""`make bench-jobs`: whole lives of jobs in real processes; the service answers at once, and nobody watches.

A feeding process starts JOBS jobs with `jobs.astart`. One `rundelay` and one `runworker prog-rocker` look at each of
them every EVERY_MS milliseconds, with 10 % jitter, for STEPS looks; then it has succeeded. On SQLite, or where
DATABASE_URL says. The last line is one JSON object. `cpu_s_per_1000`: CPU of all processes and Redis in seconds for
1,000 steps, starts and ends included, start-up left out, and so is PostgreSQL, which is not ours; `cpu_steady`: the
same while jobs neither start nor end. Lateness is from due to the worker's hands, by the store's clock; all
jobs are started as fast as one process can, so that starts wait for the worker.
`db_writes_per_job` is what worker and feeder really wrote.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from progrock.delay import RedisStore
from tests.benchmarks.figures import percentile
from tests.benchmarks.processes import STANDING, Processes
from tests.redis import RedisServer


async def measure(*, jobs: int, every_ms: int, steps: int, within: float = 900) -> dict[str, Any]:
    """Run it once and return the figures.

    :param within: seconds after which it is given up.
    """
    with tempfile.TemporaryDirectory() as name, RedisServer() as redis:
        folder = Path(name)
        environment = {"JOBS": str(jobs), "EVERY_MS": str(every_ms), "STEPS": str(steps)}
        processes = Processes(redis, folder, "tests.benchmarks.jobs_settings", environment)
        store = RedisStore.from_url(redis.url)
        await processes.ready(store)
        cpu, began = processes.cpu(), time.monotonic()
        processes.tell()
        assert await processes.heard() == "fed"
        fed = time.monotonic() - began
        steady = await _steady(processes, jobs, every_ms, steps, fed)
        while await store.depth() > STANDING and time.monotonic() - began < within:
            await asyncio.sleep(0.25)
        seconds = time.monotonic() - began
        used = [after - before for before, after in zip(cpu, processes.cpu(), strict=True)]
        processes.tell()
        succeeded = int(await processes.heard())
        await store.aclose()
        processes.stop()
        seen = processes.steps()
        writes = sum(int(file.read_text()) for file in folder.glob("*.writes"))
    late = sorted(lateness for _, _, lateness in seen)
    starts = sorted(lateness for start, _, lateness in seen if start)
    taken = len(late)
    cost = [each / taken * 1000 for each in used]
    return {
        "jobs": jobs,
        "every_ms": every_ms,
        "steps": steps,
        "database": "postgresql" if os.environ.get("DATABASE_URL") else "sqlite",
        "steps_per_s": round(taken / seconds),
        "starts_per_s": round(jobs / fed),
        "cpu_s_per_1000": round(sum(cost), 4),
        "cpu_redis": round(cost[0], 4),
        "cpu_scheduler": round(cost[1], 4),
        "cpu_worker": round(cost[2], 4),
        "cpu_feeder": round(cost[3], 4),
        "cpu_steady": steady,
        "late_p50_ms": percentile(late, 0.5),
        "late_p99_ms": percentile(late, 0.99),
        "late_start_p50_ms": percentile(starts, 0.5),
        "late_start_p99_ms": percentile(starts, 0.99),
        "db_writes_per_job": round(writes / jobs, 2),
        "lost": jobs - succeeded,
        # One step starts a job.
        "doubled": taken - jobs * (steps + 1),
    }


async def _steady(processes: Processes, jobs: int, every_ms: int, steps: int, fed: float) -> float | None:
    """Return the CPU seconds of 1,000 steps while all jobs go on; None if there is hardly such a time."""
    settle = 2 * every_ms / 1000
    # The first job to end is the first that was started, at the earliest after looks that all came early.
    seconds = steps * every_ms / 1000 * 0.9 - fed - 2 * settle
    if seconds < 5:
        return None
    await asyncio.sleep(settle)
    before, began = sum(processes.cpu()), time.monotonic()
    await asyncio.sleep(seconds)
    taken = jobs * (time.monotonic() - began) * 1000 / every_ms
    return round((sum(processes.cpu()) - before) / taken * 1000, 4)


def main() -> None:
    """Run it as the environment says."""
    jobs, every_ms, steps = (
        int(os.environ.get(name, default)) for name, default in (("JOBS", 1000), ("EVERY_MS", 1000), ("STEPS", 60))
    )
    print(json.dumps(asyncio.run(measure(jobs=jobs, every_ms=every_ms, steps=steps))))


if __name__ == "__main__":
    main()
