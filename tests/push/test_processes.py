"""Code that tracks itself in processes of its own: forked, threaded, killed, and left alone by Redis."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from progrock.push.create import id_of
from tests.e2e.server import ROOT, Command
from tests.processes import die_with_parent
from tests.redis import RedisServer
from tests.until import until


class Stage:
    """A Redis, a worker, a scheduler and a database, and code beside them."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.redis = redis
        self._rows = folder / "progrock.sqlite3"
        self.environment = {
            **os.environ,
            "DEBUG": "1",
            "VAR_DIR": str(folder),
            "REDIS_URL": redis.url,
            "DJANGO_SETTINGS_MODULE": "tests.push.own_settings",
        }
        self.beside = [
            Command(["manage.py", *each], self.environment) for each in (["runworker", "prog-rocker"], ["rundelay"])
        ]

    def start(self, what: str, name: str) -> subprocess.Popen[str]:
        """Run own code."""
        return subprocess.Popen(
            [sys.executable, "-m", "tests.push.own_code", what, name],
            cwd=ROOT,
            env=self.environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )

    def run(self, what: str, name: str) -> None:
        """Run own code to its end."""
        with self.start(what, name) as code:
            assert code.wait(30) == 0

    def ended(self, name: str) -> tuple[Any, ...] | None:
        """Return how a job ended: state, percent, error and the lines of its journal; None if it has not."""
        with closing(sqlite3.connect(self._rows, timeout=20)) as rows:
            wanted = "SELECT state, percent, error, lines FROM progrock_job WHERE id = ? AND finished IS NOT NULL"
            found: tuple[Any, ...] | None = rows.execute(wanted, [id_of(name).hex]).fetchone()
            return found

    async def end(self, name: str) -> tuple[Any, ...]:
        """Return how a job ended, once it has."""
        await until(lambda: self.ended(name), within=20)
        ended = self.ended(name)
        assert ended
        return ended


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with RedisServer(aof=True) as redis:
        stage = Stage(tmp_path_factory.mktemp("own"), redis)
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=stage.environment, check=True, timeout=60
        )
        for each in stage.beside:
            each.spawn()
        yield stage
        for each in stage.beside:
            each.kill()
            sys.stderr.write(each.log)
            each.close()


DONE = ("succeeded", 100.0, "")


async def test_a_process_that_ends_at_once_has_told_its_end(stage: Stage) -> None:
    stage.run("block", "block")
    assert (await stage.end("block"))[:3] == DONE


async def test_code_in_an_event_loop_and_a_plain_block_in_it(stage: Stage) -> None:
    stage.run("coroutine", "loop")
    assert [(await stage.end(f"loop {n}"))[:3] for n in range(2)] == [DONE] * 2


async def test_eight_threads_leave_no_connection_open(stage: Stage) -> None:
    stage.run("threads", "threads")
    assert [(await stage.end(f"threads {n}"))[:3] for n in range(8)] == [DONE] * 8


async def test_a_fork_tracks_its_own_and_ends_nothing_of_its_parents(stage: Stage) -> None:
    stage.run("fork", "fork")
    assert (await stage.end("fork child"))[:3] == DONE
    assert (await stage.end("fork parent"))[:3] == DONE


async def test_a_process_that_is_killed_is_noticed(stage: Stage) -> None:
    with stage.start("hang", "hang") as code:
        assert code.stdout
        assert code.stdout.readline() == "ready\n"
        code.kill()
    assert (await stage.end("hang"))[:3] == ("failed", 50.0, "lost")


@pytest.mark.parametrize("how", ["frozen", "gone"])
async def test_while_redis_is_away_code_goes_on_and_its_end_is_told_later(stage: Stage, how: str) -> None:
    with stage.start("away", how) as code:
        assert code.stdin
        assert code.stdout
        assert code.stdout.readline() == "ready\n"
        stage.redis.pause() if how == "frozen" else stage.redis.stop()
        try:
            code.stdin.write("go\n")
            code.stdin.flush()
            assert code.stdout.readline() == "left\n"
        finally:
            stage.redis.resume() if how == "frozen" else stage.redis.start()
        state, percent, error, lines = await stage.end(how)
        assert (state, percent, error) == DONE
        # The newest thousand of the two thousand, and one that says how many are missing.
        assert 1_000 <= lines <= 2_001
        code.stdin.close()
        assert code.wait(20) == 0
