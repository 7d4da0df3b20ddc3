"""The tests that touch rows, once more on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.postgres import PostgresServer

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    "tests/test_access.py",
    "tests/test_admin.py",
    "tests/test_commands.py",
    "tests/test_jobs.py",
    "tests/test_reconcile.py",
    "tests/test_views.py",
    "tests/consumers",
)


def test_what_holds_on_sqlite_holds_on_postgresql() -> None:
    with PostgresServer(config=[("log_connections", "on")]) as postgres:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FILES],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": postgres.url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout
        assert "database=test_postgres" in postgres.log, "they ran on something else"
