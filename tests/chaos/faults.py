"""The faults: what is done, when, and what must be seen."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import psutil

from tests.chaos.audience import Audience
from tests.chaos.stage import Seat, Stage
from tests.until import until

DONE = frozenset({"succeeded"})
STARTED_MOST = 60
FORGOTTEN = 3
"""How many ends a database forgets at least."""


@dataclass
class Scene:
    """What a fault may act on.

    :param freeze: seconds that something stands still.
    :param trouble: seconds that the remote service is in trouble.
    :param started: all jobs have been accepted.
    """

    stage: Stage
    audience: Audience
    random: Random
    freeze: float
    trouble: float
    started: asyncio.Event

    def any(self, seats: Sequence[Seat]) -> Seat:
        """Return one of them."""
        return self.random.choice(seats)


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    :param rows: of FAULTS.md that it shows.
    :param does: what is done, in words.
    :param seen: what must be seen beside what must be true after every fault.
    :param strike: does it; called with jobs in flight.
    :param places: where something happens, what, and up to how many have come by before; see `project/points.py`.
    :param expected: how jobs may end.
    :param twice: a worker that lives may not be able to say that it has signalled an end, and it is signalled again.
    :param loses: the schedule may lose entries, which are made anew.
    :param back: the schedule may go back in time, and take receipts again.
    :param forgets: the remote service forgets what it ran.
    :param undoes: the database forgets ends, which are recorded again.
    :param keeps: no worker may lose what it holds.
    :param service: which takes the jobs; `plain` is one that can neither be asked for a start nor be told twice.
    :param lasts: seconds that a job lasts, if not as the run has it.
    :param chance: what it hits depends on the moment, so it is repeated.
    :param once: a second strike in the same round would find nothing to hit.
    :param takes: seconds that one strike takes, about: jobs must outlast them all.
    """

    name: str
    rows: str
    does: str
    seen: str
    strike: Callable[[Scene], Awaitable[None]]
    places: tuple[tuple[str, str, int], ...] = ()
    expected: frozenset[str] = DONE
    twice: bool = False
    loses: bool = False
    back: bool = False
    forgets: bool = False
    undoes: bool = False
    keeps: bool = False
    service: str = "synth"
    lasts: float | None = None
    chance: bool = True
    once: bool = False
    takes: float = 3


# Processes killed.


async def _kill(*seats: Seat) -> None:
    for seat in seats:
        seat.hand.kill()
    # A supervisor takes a moment.
    await asyncio.sleep(0.3)
    await asyncio.gather(*(seat.again() for seat in seats))


async def kill_worker(scene: Scene) -> None:
    await _kill(scene.any(scene.stage.workers))


async def kill_workers(scene: Scene) -> None:
    await _kill(*scene.stage.workers)


async def kill_scheduler(scene: Scene) -> None:
    await _kill(scene.any(scene.stage.schedulers))


async def kill_schedulers(scene: Scene) -> None:
    await _kill(*scene.stage.schedulers)


async def kill_web(scene: Scene) -> None:
    await _kill(scene.any(scene.stage.webs))


async def kill_all(scene: Scene) -> None:
    await _kill(*scene.stage.seats)


# Processes frozen.


async def _freeze(scene: Scene, seat: Seat) -> None:
    seat.hand.freeze()
    try:
        await asyncio.sleep(scene.freeze)
    finally:
        seat.hand.thaw()


async def freeze_worker(scene: Scene) -> None:
    await _freeze(scene, scene.any(scene.stage.workers))


async def freeze_scheduler(scene: Scene) -> None:
    await _freeze(scene, scene.any(scene.stage.schedulers))


async def freeze_web(scene: Scene) -> None:
    await _freeze(scene, scene.any(scene.stage.webs))


async def freeze_redis(scene: Scene) -> None:
    scene.stage.redis.pause()
    try:
        await asyncio.sleep(scene.freeze)
    finally:
        scene.stage.redis.resume()


async def freeze_synth(scene: Scene) -> None:
    await _stand_still(scene, [psutil.Process(scene.stage.synth.pid)])


async def freeze_postgres(scene: Scene) -> None:
    """With all its sessions."""
    server = psutil.Process(scene.stage.postgres.pid)
    await _stand_still(scene, [server, *server.children()])


async def _stand_still(scene: Scene, processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        await asyncio.sleep(scene.freeze)
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.resume()


# Processes stopped in order.


async def deploy(scene: Scene) -> None:
    for seat in scene.stage.seats:
        code = await seat.relieve()
        assert code == 0, f"{seat.role} ended with {code} when it was asked to: " + "\n".join(seat.hand.log[-5:])


async def restart_others(scene: Scene) -> None:
    """What is not ours, one after the other."""
    stage = scene.stage
    for stop, start in (
        (stage.redis.stop, stage.redis.start),
        (stage.postgres.stop, stage.postgres.start),
        (stage.synth.stop, stage.synth.start),
    ):
        await stage.aside(stop)
        await stage.aside(start)
        await asyncio.sleep(scene.random.uniform(0, 0.5))


# Redis.


async def redis_killed(scene: Scene) -> None:
    redis = scene.stage.redis
    await scene.stage.aside(redis.kill)
    await asyncio.sleep(0.5)
    await scene.stage.aside(redis.start)


async def redis_lost(scene: Scene) -> None:
    redis = scene.stage.redis
    await scene.stage.aside(redis.kill)
    shutil.rmtree(redis.folder / "appendonlydir")
    await scene.stage.aside(redis.start)


async def redis_flushed(scene: Scene) -> None:
    await scene.stage.aside(scene.stage.redis.cli, "FLUSHALL")


async def redis_flushed_500(scene: Scene) -> None:
    await _trouble(scene, {"kind": "status", "status": 500})
    await redis_flushed(scene)
    await asyncio.sleep(scene.trouble)
    await _trouble(scene)


async def redis_cut(scene: Scene) -> None:
    redis = scene.stage.redis
    for cut in (("CLIENT", "KILL", "TYPE", "pubsub"), ("SCRIPT", "FLUSH"), ("CLIENT", "KILL", "TYPE", "normal")):
        await scene.stage.aside(redis.cli, *cut)
        await asyncio.sleep(scene.random.uniform(0, 0.5))


async def redis_full(scene: Scene) -> None:
    """It takes nothing more."""
    await scene.stage.aside(scene.stage.redis.cli, "CONFIG", "SET", "maxmemory", 1)
    await asyncio.sleep(scene.trouble / 2)
    await scene.stage.aside(scene.stage.redis.cli, "CONFIG", "SET", "maxmemory", 0)


async def entries_deleted(scene: Scene) -> None:
    """By hand: of half of the entries the due time, of the others what they say."""
    keys = sorted(scene.stage.entries())
    scene.random.shuffle(keys)
    middle = len(keys) // 2
    for command, some in (
        (("ZREM", "{delay.0}:at:prog-rocker"), keys[:middle]),
        (("HDEL", "{delay.0}:entries"), keys[middle:]),
    ):
        if some:
            await scene.stage.aside(scene.stage.redis.cli, *command, *some)


async def redis_restored(scene: Scene) -> None:
    """It comes back with what it knew two seconds ago."""
    redis = scene.stage.redis
    kept = scene.stage.folder / "kept"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(redis.folder / "appendonlydir", kept)
    await asyncio.sleep(2)
    await scene.stage.aside(redis.kill)
    shutil.rmtree(redis.folder / "appendonlydir")
    shutil.copytree(kept, redis.folder / "appendonlydir")
    await scene.stage.aside(redis.start)


# PostgreSQL.


async def postgres_restarted(scene: Scene) -> None:
    """As after a crash; it is away for two seconds."""
    postgres = scene.stage.postgres
    await scene.stage.aside(lambda: postgres.stop(immediate=True))
    await asyncio.sleep(2)
    await scene.stage.aside(postgres.start)


async def postgres_killed(scene: Scene) -> None:
    await scene.stage.aside(scene.stage.postgres.kill)
    await scene.stage.aside(scene.stage.postgres.start)


async def table_locked(scene: Scene) -> None:
    """Nobody gets at the table of jobs."""
    lock = f"BEGIN; LOCK TABLE progrock_job; SELECT pg_sleep({scene.freeze}); COMMIT"
    await scene.stage.aside(scene.stage.postgres.sql, lock)


async def postgres_forgets(scene: Scene) -> None:
    """It loses what was committed last, as a copy that takes over does: ends, and no start."""
    stage = scene.stage
    await asyncio.wait_for(scene.started.wait(), STARTED_MOST)
    began = time.monotonic_ns()
    for setting in ("synchronous_commit = off", "wal_writer_delay = '10s'"):
        await stage.aside(stage.postgres.sql, f"ALTER SYSTEM SET {setting}")
    await stage.aside(stage.postgres.sql, "SELECT pg_reload_conf()")
    await until(lambda: len(stage.crew.events.of("finished", since=began)) >= FORGOTTEN)
    await stage.aside(lambda: stage.postgres.stop(immediate=True))
    await stage.aside(stage.postgres.start)
    await stage.aside(stage.postgres.sql, "ALTER SYSTEM RESET ALL")
    await stage.aside(stage.postgres.sql, "SELECT pg_reload_conf()")


# The remote service.


async def synth_back(scene: Scene) -> None:
    await scene.stage.aside(scene.stage.synth.kill)
    await asyncio.sleep(1)
    await scene.stage.aside(scene.stage.synth.start)


async def synth_forgets(scene: Scene) -> None:
    await _trouble(scene, {"kind": "forget", "ids": "all", "times": 1})


async def remote_500(scene: Scene) -> None:
    await _trouble(scene, {"kind": "status", "status": 500}, lasts=scene.trouble)


async def remote_garbage(scene: Scene) -> None:
    bodies = ("html", "truncated", "empty", "nan")
    await _trouble(scene, *({"kind": "garbage", "body": body, "chance": 0.3} for body in bodies), lasts=scene.trouble)


async def remote_slow(scene: Scene) -> None:
    """Each answer takes longer than a run lease."""
    await _trouble(scene, {"kind": "latency", "ms": 5_000}, lasts=6)


async def _trouble(scene: Scene, *switches: dict[str, object], lasts: float = 0) -> None:
    await scene.stage.aside(scene.stage.synth.trouble, *switches)
    if lasts:
        await asyncio.sleep(lasts)
        await scene.stage.aside(scene.stage.synth.call, "DELETE", "/v1/trouble")


# Messages.


async def lose_messages(scene: Scene) -> None:
    scene.stage.lose(0.01)


async def cancel_all(scene: Scene) -> None:
    """Everybody changes their mind, and a worker dies of it."""
    await scene.audience.cancel()
    await kill_worker(scene)
    await asyncio.wait_for(scene.started.wait(), STARTED_MOST)
    await scene.audience.cancel()


CHANCE = [
    Fault("kill-worker", "A16 A22", "SIGKILL a worker", "the other goes on after a run lease", kill_worker),
    Fault("kill-workers", "A27", "SIGKILL both workers", "new ones go on after a run lease", kill_workers),
    Fault("kill-scheduler", "A07 A10", "SIGKILL a scheduler", "the other goes on at once", kill_scheduler),
    Fault("kill-schedulers", "A11", "SIGKILL both schedulers", "late, and then caught up", kill_schedulers),
    Fault("kill-web", "A05", "SIGKILL a web server", "its clients come back to the other", kill_web),
    Fault("kill-all", "A34", "SIGKILL all processes at once", "all go on where they were", kill_all),
    Fault(
        "redis-killed",
        "C01 C03",
        "SIGKILL Redis, which has an append-only file",
        "all go on",
        redis_killed,
        twice=True,
        back=True,
    ),
    Fault(
        "redis-lost",
        "C02",
        "SIGKILL Redis, and nothing of it is left",
        "the reconciler brings all back",
        redis_lost,
        twice=True,
        loses=True,
    ),
    Fault("redis-flushed", "C05", "FLUSHALL", "the reconciler brings all back", redis_flushed, twice=True, loses=True),
    Fault(
        "redis-flushed-500",
        "C05",
        "FLUSHALL while the remote service answers 500",
        "nobody is shown less than before",
        redis_flushed_500,
        twice=True,
        loses=True,
        takes=13,
    ),
    Fault(
        "redis-cut",
        "C06 C07 C08",
        "all connections to Redis are cut, its scripts forgotten",
        "all connect again",
        redis_cut,
        twice=True,
    ),
    Fault(
        "redis-full",
        "C10",
        "Redis has no memory left",
        "starts are accepted, all is late",
        redis_full,
        twice=True,
        loses=True,
        takes=7,
    ),
    Fault(
        "entries-deleted",
        "C24 C25",
        "due times and entries are deleted by hand",
        "the reconciler makes them again",
        entries_deleted,
        twice=True,
        loses=True,
    ),
    Fault(
        "redis-restored",
        "C09",
        "Redis comes back with what it knew 2 s before",
        "work is done again, none is lost",
        redis_restored,
        twice=True,
        loses=True,
        back=True,
    ),
    Fault(
        "postgres-restarted",
        "D01 D02 D13",
        "PostgreSQL crashes, and is back after 2 s",
        "starts are refused meanwhile; ends are recorded once",
        postgres_restarted,
    ),
    Fault("postgres-killed", "D05", "SIGKILL PostgreSQL", "as after a crash", postgres_killed),
    Fault("table-locked", "D14", "the table is locked as by a migration", "late only", table_locked, takes=7),
    Fault(
        "postgres-forgets",
        "D09",
        "PostgreSQL crashes and loses its last second",
        "ends are recorded again; one row",
        postgres_forgets,
        twice=True,
        loses=True,
        undoes=True,
        once=True,
    ),
    Fault("synth-back", "", "SIGKILL the remote service, which comes back with its jobs", "all go on", synth_back),
    Fault(
        "synth-forgets",
        "E16",
        "the remote service forgets its jobs",
        "they fail as vanished",
        synth_forgets,
        expected=frozenset({"succeeded", "failed vanished"}),
        forgets=True,
        once=True,
    ),
    Fault(
        "deploy",
        "B01 B06",
        "SIGTERM of each process, one after the other",
        "each ends with 0; no pause",
        deploy,
        takes=9,
    ),
    Fault(
        "freeze-worker",
        "A26",
        "SIGSTOP of a worker for longer than its lease",
        "what it says then is refused",
        freeze_worker,
        twice=True,
        takes=7,
    ),
    Fault(
        "freeze-scheduler", "A13", "SIGSTOP of a scheduler", "what it sends then is refused", freeze_scheduler, takes=7
    ),
    Fault("freeze-web", "", "SIGSTOP of a web server", "its clients go to the other", freeze_web, takes=7),
    Fault("freeze-redis", "C26", "SIGSTOP of Redis", "late, and then caught up", freeze_redis, twice=True, takes=7),
    Fault("freeze-postgres", "D14", "SIGSTOP of PostgreSQL", "late only", freeze_postgres, twice=True, takes=7),
    Fault("freeze-synth", "E02", "SIGSTOP of the remote service", "its silence is borne", freeze_synth, takes=7),
    Fault(
        "restart-others",
        "C01 D13",
        "SIGTERM of Redis, PostgreSQL and the remote service, one after the other",
        "all go on",
        restart_others,
        twice=True,
        takes=5,
    ),
    Fault(
        "lose-messages",
        "A21 F21",
        "1 % of all channel messages are lost",
        "late by a hand-off at most",
        lose_messages,
        once=True,
    ),
    Fault("remote-500", "E19", "the remote service answers 500", "all are retried, none fails", remote_500, takes=13),
    Fault(
        "remote-garbage",
        "E07",
        "the remote service answers garbage",
        "all are retried, none fails",
        remote_garbage,
        takes=13,
    ),
    Fault(
        "remote-slow",
        "",
        "each answer takes longer than a run lease",
        "leases are renewed, none is lost",
        remote_slow,
        keeps=True,
        lasts=8,
        takes=7,
    ),
    Fault(
        "cancel",
        "",
        "all are cancelled, and a worker dies of it",
        "all end as cancelled",
        cancel_all,
        expected=frozenset({"cancelled"}),
        lasts=60,
        once=True,
    ),
]
