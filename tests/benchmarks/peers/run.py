"""Runs a peer as we run ourselves: a Redis of its own, its worker, and the CPU of both."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import Any

import psutil

from tests.benchmarks.figures import percentile
from tests.processes import die_with_parent
from tests.redis import RedisServer

ROOT = Path(__file__).resolve().parents[3]
PEERS = {
    "arq": ["-m", "arq", "tests.benchmarks.peers.arq_peer.WorkerSettings"],
    "huey": [
        "-m",
        "huey.bin.huey_consumer",
        "tests.benchmarks.peers.huey_peer.huey",
        "-w",
        "4",
        "-d",
        "0.05",
        "-s",
        "1",
        "-q",
    ],
    "dramatiq": ["-m", "dramatiq", "tests.benchmarks.peers.dramatiq_peer", "-p", "1", "-t", "8"],
    "celery": [
        "-m",
        "celery",
        "-A",
        "tests.benchmarks.peers.celery_peer",
        "worker",
        "-P",
        "threads",
        "-c",
        "4",
        "-l",
        "ERROR",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ],
}

PACKAGES = {"celery": "celery[redis]"}


def python_of(name: str, *packages: str) -> str:
    """Return a Python that has the packages, and Redis', made when it is asked for first."""
    folder = ROOT / ".venv-peers" / name
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *packages, "redis"], check=True)
    return str(python)


def measure(name: str, *, jobs: int, every_ms: int, steps: int) -> dict[str, Any]:
    """Run a peer once and return the figures. It is given three times as long as it should need."""
    python = python_of(name, PACKAGES.get(name, name))
    with tempfile.TemporaryDirectory() as folder, RedisServer() as redis:
        environment = {
            "PATH": os.environ["PATH"],
            "JOBS": str(jobs),
            "EVERY_MS": str(every_ms),
            "STEPS": str(steps),
            "REDIS_URL": redis.url,
        }
        worker = subprocess.Popen(
            [python, *PEERS[name]],
            cwd=ROOT,
            env={**environment, "STEPS_FOLDER": folder},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        time.sleep(4)  # to start; what it costs is left out
        seeding = f"from tests.benchmarks.peers.{name}_peer import seed; seed()"
        subprocess.run([python, "-c", seeding], cwd=ROOT, env=environment, check=True)
        processes = [psutil.Process(redis.pid), *family(worker.pid)]
        cpu, began = cpu_of(processes), time.monotonic()
        taken = _wait_for(Path(folder), jobs * steps, 3 * steps * every_ms / 1000 + 10)
        used = cpu_of(processes) - cpu
        seconds = time.monotonic() - began
        for process in processes[1:]:
            process.kill()
        worker.wait()
    late = sorted(taken[2::3])
    known = list(zip(taken[0::3], taken[1::3], strict=True))
    return {
        "name": name,
        "jobs": jobs,
        "steps_per_s": round(len(known) / seconds),
        "cpu_s_per_1000": round(used / max(1, len(known)) * 1000, 3),
        "late_p50_ms": percentile(late, 0.5),
        "late_p99_ms": percentile(late, 0.99),
        "lost": jobs * steps - len(set(known)),
        "doubled": len(known) - len(set(known)),
    }


def family(pid: int) -> list[psutil.Process]:
    """Return a process and all that it has started."""
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def cpu_of(processes: list[psutil.Process]) -> float:
    """Return the CPU seconds of all of them."""
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def _wait_for(folder: Path, count: int, within: float) -> array[int]:
    """Return what has been noted, once that is all of it, or the time is over."""
    until = time.monotonic() + within
    while True:
        seen = array("q")
        for file in folder.glob("*.steps"):
            noted = file.read_bytes()
            seen.frombytes(noted[: len(noted) // 24 * 24])
        if len(seen) >= 3 * count or time.monotonic() > until:
            return seen
        time.sleep(0.5)
