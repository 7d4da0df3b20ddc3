"""`make bench-services`: what it costs to poll the jobs of a remote service over HTTP, in real processes.

A feeding process starts JOBS jobs, and each is polled every EVERY_MS milliseconds, with 10 % jitter, by one `rundelay`
and one `runworker prog-rocker`. For SECONDS, in which no job starts or ends, polls are counted by the service, which
has a process of its own. It is spoken to in the ways of WAYS, one run each: `single` and `batch` are `HTTPService`,
declared in settings, with a GET for each poll or one call for many; `single_by_hand` and `batch_by_hand` are adapters
written in Python. The last line is one JSON object, one line before it for each run. `cpu_<way>`: CPU of worker,
scheduler and Redis in seconds for 1,000 polls; those of the feeder and the service are left out. Lateness is
from due to the worker's hands, by the store's clock. With PEERS=1 beside Celery, as it is usually done, and how many
times cheaper `single` is: Celery knows no batches.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from progrock.delay import RedisStore
from tests.benchmarks.figures import percentile
from tests.benchmarks.peers.polls import POLLERS
from tests.benchmarks.peers.polls import measure as measure_peer
from tests.benchmarks.processes import STANDING, Processes
from tests.benchmarks.remote import Remote
from tests.redis import RedisServer

WAYS = ("single", "batch", "single_by_hand", "batch_by_hand")


async def measure(way: str, *, jobs: int, every_ms: int, seconds: float, within: float = 120) -> dict[str, Any]:
    """Run one way once and return the figures.

    :param way: how the service is spoken to, one of WAYS.
    :param seconds: how long is measured.
    :param within: seconds after which the start, or the end, of all jobs is given up.
    """
    with tempfile.TemporaryDirectory() as name, RedisServer() as redis, Remote(every_ms) as remote:
        environment = {"JOBS": str(jobs), "EVERY_MS": str(every_ms), "REMOTE_URL": remote.url, "WAY": way}
        processes = Processes(redis, Path(name), "tests.benchmarks.services_settings", environment)
        store = RedisStore.from_url(redis.url)
        await processes.ready(store)
        processes.tell()
        assert await processes.heard() == "fed"
        await asyncio.to_thread(remote.wait_for, jobs, within)
        # Those that waited for their start have been looked at, and wait for the next time.
        await asyncio.sleep(2 * every_ms / 1000)
        polls, cpu, began = remote.seen().polls, processes.cpu(), time.time()
        await asyncio.sleep(seconds)
        polls, used, ended = remote.seen().polls - polls, processes.cpu(), time.time()
        remote.finish()
        until = time.monotonic() + within
        while await store.depth() > STANDING and time.monotonic() < until:
            await asyncio.sleep(0.1)
        processes.tell()
        succeeded = int(await processes.heard())
        await store.aclose()
        processes.stop()
        late = sorted(late for _, at, late in processes.steps() if began <= at / 1_000_000 < ended)
    redis_cpu, scheduler, worker, _ = ((b - a) / polls * 1000 for a, b in zip(cpu, used, strict=True))
    return {
        "way": way,
        "jobs": jobs,
        "polls": polls,
        "polls_per_s": round(polls / (ended - began)),
        "cpu_s_per_1000": round(redis_cpu + scheduler + worker, 4),
        "cpu_redis": round(redis_cpu, 4),
        "cpu_scheduler": round(scheduler, 4),
        "cpu_worker": round(worker, 4),
        "late_p50_ms": percentile(late, 0.5),
        "late_p99_ms": percentile(late, 0.99),
        "lost": jobs - succeeded,
    }


def _together(runs: Sequence[dict[str, Any]], peers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return what the last line says of all runs."""
    cost = {f"cpu_{run['way']}": run["cpu_s_per_1000"] for run in runs}
    figures = {
        "jobs": runs[0]["jobs"],
        **cost,
        "late_p99_ms": max(run["late_p99_ms"] for run in runs),
        "polls": sum(run["polls"] for run in runs),
        "lost": sum(run["lost"] for run in runs),
    }
    if peers and "cpu_single" in cost:
        figures["cheaper_than"] = {
            peer["name"]: round(peer["cpu_s_per_1000"] / cost["cpu_single"], 1) for peer in peers
        }
    return figures


def main() -> None:
    """Run it as the environment says, with `PEERS=1` beside the usual way."""
    jobs, every_ms = int(os.environ.get("JOBS", "1000")), int(os.environ.get("EVERY_MS", "1000"))
    seconds = float(os.environ.get("SECONDS", "20"))
    runs, peers = [], []
    for way in os.environ.get("WAYS", "").split() or WAYS:
        runs.append(asyncio.run(measure(way, jobs=jobs, every_ms=every_ms, seconds=seconds)))
        print(json.dumps(runs[-1]), flush=True)
    for name in POLLERS if os.environ.get("PEERS") == "1" else ():
        peers.append(measure_peer(name, jobs=jobs, every_ms=every_ms, seconds=seconds))
        print(json.dumps(peers[-1]), flush=True)
    print(json.dumps(_together(runs, peers)))


if __name__ == "__main__":
    main()
