"""The publishing process: makes jobs and those who own them, then tells of steps, as a worker does."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
import uuid
from array import array
from datetime import timedelta
from pathlib import Path

import django

GAP = 0.04
"""Seconds between two batches: those between two leases of a busy scheduler."""
OWNER = "progrock.owner"


def _seed(jobs: int, owners: int) -> list[tuple[str, str, str]]:
    """Make jobs and the sessions of their owners; return of each job its id, its owner and the session's key."""
    from django.contrib.sessions.backends.db import SessionStore
    from django.contrib.sessions.models import Session
    from django.utils import timezone

    from progrock.models import Job
    from progrock.protocol import State

    now = timezone.now()
    tokens, sessions = [uuid.uuid4().hex for _ in range(owners)], []
    for token in tokens:
        text = SessionStore().encode({OWNER: token})
        sessions.append(Session(session_key=token, session_data=text, expire_date=now + timedelta(days=1)))
    Session.objects.bulk_create(sessions, batch_size=500)
    rows = [
        Job(
            service="synth",
            title=f"Job {n}",
            owner=f"session:{tokens[n % owners]}",
            state=State.RUNNING.value,
            created=now,
            changed=now,
            started=now,
        )
        for n in range(jobs)
    ]
    Job.objects.bulk_create(rows, batch_size=500)
    return [(str(row.id), row.owner, tokens[n % owners]) for n, row in enumerate(rows)]


async def _publish(jobs: list[tuple[str, str, str]], a_second: int, seconds: float, plain: bool) -> array[int]:
    """Tell of one job after the other; return of each update its job's number and its seq."""
    from channels.layers import get_channel_layer

    from progrock import updates
    from progrock.protocol import Snapshot, State, encode, update_frame

    told = array("q")
    loop = asyncio.get_running_loop()
    began = loop.time()
    total, at, ticks = int(a_second * seconds), 0, 0
    newest: dict[int, int] = {}
    while at < total and loop.time() - began < 2 * seconds:
        ticks += 1
        until = min(total, int(max(ticks * GAP, loop.time() - began) * a_second))
        now = time.time_ns() // 1000
        batch = []
        for each in range(at, until):
            n = each % len(jobs)
            job, owner, _ = jobs[n]
            # The seq is the time in microseconds, by which the listener knows how late it hears.
            seq = newest[n] = max(newest.get(n, 0) + 1, now)
            snapshot = Snapshot(
                job,
                "synth",
                f"Job {n}",
                State.RUNNING,
                created=now // 1000 - 60_000,
                seq=seq,
                percent=each / total * 100,
                message=f"Frame {each} of {total}",
                left=60_000,
                at=now // 1000,
                heard=now // 1000,
                moved=now // 1000,
                due=now // 1000 + 1_000,
            )
            batch.append((owner, snapshot))
            told.extend((n, seq))
        if plain:
            layer = get_channel_layer()
            for _, snapshot in batch:
                text = update_frame([encode(snapshot)])
                await layer.group_send(f"job.{snapshot.job}", {"type": "progress", "text": text})
        else:
            await updates.publish(batch)
        at = until
        await asyncio.sleep(max(0.0, began + ticks * GAP - loop.time()))
    return told


def main() -> None:
    """Seed, say so, wait for a line, publish, say so."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--jobs", type=int, required=True)
    parser.add_argument("--owners", type=int, required=True)
    parser.add_argument("--a-second", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    django.setup()
    jobs = _seed(arguments.jobs, arguments.owners)
    (arguments.folder / "jobs.json").write_text(json.dumps(jobs))
    print("seeded", flush=True)
    sys.stdin.readline()
    told = asyncio.run(_publish(jobs, arguments.a_second, arguments.seconds, arguments.plain))
    (arguments.folder / "told").write_bytes(told.tobytes())
    print("published", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
