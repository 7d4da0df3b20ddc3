"""What own code needs beside it, as real processes: a Redis, a worker, a scheduler and a database."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

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

    def start(self, what: str, name: str, **environment: str) -> subprocess.Popen[str]:
        """Run own code.

        :param environment: what is different in its own.
        """
        return subprocess.Popen(
            [sys.executable, "-m", "tests.push.own_code", what, name],
            cwd=ROOT,
            env={**self.environment, **environment},
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
        from progrock.push.rows import id_of  # needs settings, which not everybody has who runs this

        with closing(sqlite3.connect(self._rows, timeout=20)) as rows:
            wanted = "SELECT state, percent, error, lines FROM progrock_job WHERE id = ? AND finished IS NOT NULL"
            found: tuple[Any, ...] | None = rows.execute(wanted, [id_of(name).hex]).fetchone()
            return found

    async def end(self, name: str) -> tuple[Any, ...]:
        """Return how a job ended, once it has."""
        await until(lambda: self.ended(name))
        ended = self.ended(name)
        assert ended
        return ended


@contextmanager
def stage(folder: Path) -> Iterator[Stage]:
    """Run all of it.

    :param folder: where the database is.
    """
    with RedisServer(aof=True) as redis:
        made = Stage(folder, redis)
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=made.environment, check=True, timeout=60
        )
        for each in made.beside:
            each.spawn()
        try:
            yield made
        finally:
            for each in made.beside:
                each.kill()
                sys.stderr.write(each.log)
                each.close()
