"""`make bench-delay`: no-op steps through real schedulers, real workers and a real Redis.

JOBS entries take STEPS steps each, EVERY_MS milliseconds apart with 10 % jitter, their first due times spread over
EVERY_MS. The last line is one JSON object: CPU of all processes and Redis in seconds for 1,000 steps, start-up
left out; lateness from due to the worker's hands, by the store's clock; lost and doubled as the steps count themselves.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

import psutil

from progrock.delay import NewEntry, RedisStore
from tests.benchmarks.delay_asgi import CHANNEL, FIRST
from tests.benchmarks.figures import percentile
from tests.benchmarks.peers.run import PEERS
from tests.benchmarks.peers.run import measure as measure_peer
from tests.processes import die_with_parent
from tests.redis import RedisServer

ROOT = Path(__file__).resolve().parents[2]
STANDING = 2
"""The reconciler's entry, which nobody serves here, and that of the relays."""
LEAD = 1_000
"""Milliseconds from the seeding to the first due time."""


def _figure(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


class Processes:
    """Schedulers, workers and their Redis.

    :param folder: where the workers leave what they saw.
    """

    def __init__(self, redis: RedisServer, folder: Path, workers: int, schedulers: int) -> None:
        environment = {
            **os.environ,
            "DEBUG": "1",
            "DJANGO_SETTINGS_MODULE": "tests.benchmarks.delay_settings",
            "REDIS_URL": redis.url,
            "VAR_DIR": str(folder),
            "STEPS_FOLDER": str(folder),
            "LOG_LEVEL": "WARNING",
        }
        commands = [["rundelay"]] * schedulers + [["runworker", CHANNEL]] * workers
        self.running = [
            subprocess.Popen(
                [sys.executable, "manage.py", *command], cwd=ROOT, env=environment, preexec_fn=die_with_parent
            )
            for command in commands
        ]
        self._all = [psutil.Process(pid) for pid in [redis.pid, *(each.pid for each in self.running)]]

    async def ready(self, store: RedisStore, within: float = 30) -> None:
        """Wait until all of them have announced themselves."""
        until = time.monotonic() + within
        while True:
            status = await store.status()
            workers = [reader for reader in status.readers if reader.channel == CHANNEL]
            if len(workers) + len(status.schedulers) == len(self.running):
                return
            assert time.monotonic() < until, f"expected all processes within {within} s, got {status}"
            await asyncio.sleep(0.1)

    def cpu(self) -> list[float]:
        """Return the CPU seconds of each: Redis, schedulers, workers."""
        return [sum(each.cpu_times()[:2]) for each in self._all]

    def stop(self) -> None:
        """Have the workers write down what they saw."""
        for each in self.running:
            each.send_signal(signal.SIGTERM)
        for each in self.running:
            each.wait(30)


async def measure(
    *, jobs: int, every_ms: int, steps: int, workers: int, schedulers: int, within: float = 600
) -> dict[str, Any]:
    """Run it once and return the figures.

    :param within: seconds after which it is given up.
    """
    with tempfile.TemporaryDirectory() as name, RedisServer() as redis:
        folder = Path(name)
        processes = Processes(redis, folder, workers, schedulers)
        store = RedisStore.from_url(redis.url)
        await processes.ready(store)
        for n in range(0, jobs, 1000):
            some = range(n, min(n + 1000, jobs))
            await store.schedule(
                [NewEntry(f"job-{each}", CHANNEL, FIRST, LEAD + random.randrange(every_ms)) for each in some]
            )
        cpu, began = processes.cpu(), time.monotonic()
        # The standing entries stay.
        while await store.depth() > STANDING and time.monotonic() - began < within:
            await asyncio.sleep(0.25)
        seconds = time.monotonic() - began - LEAD / 1000
        used = [after - before for before, after in zip(cpu, processes.cpu(), strict=True)]
        await store.aclose()
        processes.stop()
        seen = array("q")
        for file in folder.glob("*.steps"):
            seen.frombytes(file.read_bytes())
    taken = list(zip(seen[0::3], seen[1::3], strict=True))
    late = sorted(seen[2::3])
    cost = [each / len(taken) * 1000 for each in used]
    return {
        "jobs": jobs,
        "every_ms": every_ms,
        "workers": workers,
        "schedulers": schedulers,
        "steps_per_s": round(len(taken) / seconds),
        "cpu_s_per_1000": round(sum(cost), 4),
        "cpu_redis": round(cost[0], 4),
        "cpu_schedulers": round(sum(cost[1 : 1 + schedulers]), 4),
        "cpu_workers": round(sum(cost[1 + schedulers :]), 4),
        "late_p50_ms": percentile(late, 0.5),
        "late_p99_ms": percentile(late, 0.99),
        "lost": jobs * steps - len(set(taken)),
        "doubled": len(taken) - len(set(taken)),
    }


def main() -> None:
    """Run it as the environment says, with `PEERS=1` beside the others."""
    work = {"jobs": _figure("JOBS", 1000), "every_ms": _figure("EVERY_MS", 1000), "steps": _figure("STEPS", 20)}
    figures = asyncio.run(measure(**work, workers=_figure("WORKERS", 1), schedulers=_figure("SCHEDULERS", 1)))
    if _figure("PEERS", 0):
        peers = []
        for name in PEERS:
            peers.append(measure_peer(name, **work))
            print(json.dumps(peers[-1]), flush=True)
        figures["cheaper_than"] = {
            peer["name"]: round(peer["cpu_s_per_1000"] / figures["cpu_s_per_1000"], 1) for peer in peers
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
