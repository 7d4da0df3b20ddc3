"""Runs Celery as a poller of the benchmark's remote service, as we run ourselves."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.figures import percentile
from tests.benchmarks.peers.run import PEERS, ROOT, cpu_of, family, python_of
from tests.benchmarks.remote import Remote
from tests.processes import die_with_parent
from tests.redis import RedisServer

POLLERS = {"celery_httpx": "httpx", "celery_requests": "requests"}
"""What makes the calls, by what it is called in the figures."""
NEVER = 1_000_000_000
"""Steps after which a job would be over, if it were not killed long before."""


def measure(name: str, *, jobs: int, every_ms: int, seconds: float) -> dict[str, Any]:
    """Run a peer once and return the figures.

    :param name: one of POLLERS.
    :param seconds: how long is measured; what it cannot do in that time it does later, and cheaper than in time.
    """
    python = python_of("celery-polls", "celery[redis]", "httpx", "requests")
    with tempfile.TemporaryDirectory() as folder, RedisServer() as redis, Remote(every_ms) as remote:
        environment = {
            "PATH": os.environ["PATH"],
            "JOBS": str(jobs),
            "EVERY_MS": str(every_ms),
            "STEPS": str(NEVER),
            "REDIS_URL": redis.url,
            "REMOTE_URL": remote.url,
            "CLIENT": POLLERS[name],
        }
        command = ["tests.benchmarks.peers.celery_polls" if "celery_peer" in each else each for each in PEERS["celery"]]
        worker = subprocess.Popen(
            [python, *command],
            cwd=ROOT,
            env={**environment, "STEPS_FOLDER": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        time.sleep(4)  # to start; what it costs is left out
        seeding = "from tests.benchmarks.peers.celery_polls import seed; seed()"
        subprocess.run([python, "-c", seeding], cwd=ROOT, env=environment, check=True)
        time.sleep(3 + 2 * every_ms / 1000)  # until each has been polled, or should have been
        processes = [psutil.Process(redis.pid), *family(worker.pid)]
        polls, cpu, began = remote.seen().polls, cpu_of(processes), time.monotonic()
        time.sleep(seconds)
        polls, used, took = remote.seen().polls - polls, cpu_of(processes) - cpu, time.monotonic() - began
        for process in processes[1:]:
            process.kill()
        worker.wait()
        seen = array("q")
        for file in Path(folder).glob("*.steps"):
            noted = file.read_bytes()
            seen.frombytes(noted[: len(noted) // 24 * 24])
    late = sorted(seen[2::3])
    return {
        "name": name,
        "jobs": jobs,
        "polls": polls,
        "polls_per_s": round(polls / took),
        "cpu_s_per_1000": round(used / max(1, polls) * 1000, 3),
        "late_p50_ms": percentile(late, 0.5),
        "late_p99_ms": percentile(late, 0.99),
    }
