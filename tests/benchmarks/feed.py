"""Starts jobs as a web process does, when its parent says so, and tells in the end how many of them have succeeded.

It says `ready`, starts JOBS jobs at the next line it reads, says `fed`; at the next line it says how many have
succeeded, deletes them and ends.
"""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from pathlib import Path

import django

EACH = 10
"""How many jobs an owner has."""


async def _start(run: str, most: int) -> None:
    from progrock import jobs, registry

    for n in range(most):
        await jobs.astart(owner=f"{run}-{n // EACH}")
    await registry.aclose()


def main() -> None:
    """Do as the parent says."""
    django.setup()
    from django.db import connection

    from progrock.models import Job
    from tests.benchmarks import writes

    writes.count(Path(os.environ["STEPS_FOLDER"]))
    run = f"bench-{uuid.uuid4().hex}"
    # What is done once in a process' life is no part of a job.
    Job.objects.filter(owner=run).first()
    connection.close()
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(_start(run, int(os.environ["JOBS"])))
    print("fed", flush=True)
    sys.stdin.readline()
    mine = Job.objects.filter(owner__startswith=f"{run}-")
    print(mine.filter(state="succeeded").count(), flush=True)
    connection.execute_wrappers.clear()  # tidying up is no part of a job either
    mine.delete()


if __name__ == "__main__":
    main()
