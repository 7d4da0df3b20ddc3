"""Code that tracks itself, as processes of their own: `python -m tests.push.own_code <what> <name of the job>`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time

import django

NAME = sys.argv[2] if __name__ == "__main__" else ""
ME = "user:7"


def block() -> None:
    """Go through a thousand things, and leave at once."""
    with progrock.track("Import", owner=ME, job=NAME) as job:
        for _ in job.iterate(range(1_000)):
            pass


def coroutine() -> None:
    """Do the same in an event loop, without waiting for anything, and again with a plain block."""

    async def work() -> None:
        async with progrock.track("Import", owner=ME, job=f"{NAME} 0") as job:
            list(job.iterate(range(10)))
        with progrock.track("Import", owner=ME, job=f"{NAME} 1") as job:
            list(job.iterate(range(10)))

    asyncio.run(work(), debug=True)


def threads() -> None:
    """Track eight at once, in threads of their own that leave no connection to the database open."""
    left = []

    def work(n: int) -> None:
        with progrock.track("Import", owner=ME, job=f"{NAME} {n}") as job:
            for _ in job.iterate(range(1_000)):
                pass
        left.append(connections["default"].connection)

    running = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert left == [None] * 8, left
    assert [each.name for each in threading.enumerate()].count("progrock") == 1


def fork() -> None:
    """Track in a process, in a fork of it meanwhile, and in one that was made inside of the block."""
    with progrock.track("Import", owner=ME, job=f"{NAME} parent") as job:
        job.report(1, total=2)
        child = os.fork()
        if not child:
            with progrock.track("Import", owner=ME, job=f"{NAME} child") as own:
                own.report(1, total=2)
        else:
            assert os.waitpid(child, 0)[1] == 0
            # What the child left in its copy of this block has not ended the job.
            assert not job.over
            job.complete("parent")
    if not child:
        os._exit(0)


def hang() -> None:
    """Be in the middle of it until killed."""
    with progrock.track("Import", owner=ME, job=NAME) as job:
        progrock.push.report(job.id, 1, total=2)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        signal.pause()


def group() -> None:
    """Be in the middle of a group until killed."""
    with progrock.group("Nightly", owner=ME, job=NAME, expected=4) as group:
        with group.track("One", job=f"{NAME} one"):
            pass
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        signal.pause()


def away() -> None:
    """Go on and come to the end while nobody takes anything."""
    job = progrock.track("Import", owner=ME, job=NAME)
    with job:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        begin = time.monotonic()
        for n in job.iterate(range(200_000)):
            if n % 100 == 0:
                job.log("info", f"row {n}")
        took = time.monotonic() - begin
    left = time.monotonic() - begin - took
    assert took < 10, took
    assert left < 10, left
    sys.stdout.write("left\n")
    sys.stdout.flush()
    sys.stdin.readline()


def leave() -> None:
    """Come to the end while nobody takes anything, and end, with as much patience as a busy machine may ask for."""
    reporter.FINISH = 30.0
    with progrock.track("Import", owner=ME, job=NAME):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
    sys.stdout.write("left\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.push.own_settings")
    django.setup()
    from django.db import connections

    import progrock
    from progrock.push import reporter

    known = (block, coroutine, threads, fork, hang, group, away, leave)
    {each.__name__: each for each in known}[sys.argv[1]]()
