"""The PostgreSQL that tests run: what it keeps, and that nothing is left of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.postgres import PostgresServer
from tests.processes import has_ended

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("durable", [True, False])
def test_what_is_committed_outlives_every_end_of_the_process(durable: bool) -> None:
    with PostgresServer(durable=durable) as postgres:
        url, fsync = postgres.url, "on" if durable else "off"
        assert postgres.sql("SHOW fsync") == fsync
        postgres.sql("CREATE TABLE kept (n integer)")
        for number, end in enumerate((postgres.stop, lambda: postgres.stop(immediate=True), postgres.kill)):
            with psycopg.connect(url) as other:
                other.execute("INSERT INTO kept VALUES (-1)")  # and never committed
                postgres.sql(f"INSERT INTO kept VALUES ({number})")
                pid = postgres.pid
                end()
                with pytest.raises(psycopg.OperationalError):
                    other.execute("SELECT 1")
                with pytest.raises(psycopg.OperationalError, match="refused"):
                    psycopg.connect(url)
            postgres.start()
            assert postgres.pid != pid
        assert postgres.sql("SELECT n FROM kept ORDER BY n") == "0\n1\n2"
        assert postgres.url == url


def test_it_takes_more_configuration_and_says_what_is_wrong() -> None:
    with PostgresServer(config=[("max_connections", 7)]) as postgres:
        assert postgres.sql("SHOW max_connections") == "7"
        with pytest.raises(AssertionError, match="syntax error"):
            postgres.sql("NONSENSE")
        assert "syntax error" in postgres.log
    with pytest.raises(AssertionError, match='unrecognized configuration parameter "nonsense"'):
        PostgresServer(config=[("nonsense", 1)]).__enter__()


def test_it_ends_with_the_process_that_started_it() -> None:
    code = "from tests.postgres import *; p = PostgresServer().__enter__(); print(p.pid, p.folder, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        pid, folder = process.stdout.readline().split()
        server = psutil.Process(int(pid))
        left = [server, *server.children()]
        process.kill()
    end = time.monotonic() + 10
    while not all(map(has_ended, left)):
        assert time.monotonic() < end
        time.sleep(0.01)
    shutil.rmtree(folder)  # what cannot be left to somebody who was killed


def test_a_missing_postgresql_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("tests.postgres.DEBIAN", tmp_path)
    with pytest.raises(AssertionError, match="make postgres"), PostgresServer():
        pass
