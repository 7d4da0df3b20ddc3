"""The tests that touch rows, once more on PostgreSQL, and those of what only it can do to us."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    "tests/test_access.py",
    "tests/test_admin.py",
    "tests/test_admin_live.py",
    "tests/test_children.py",
    "tests/test_commands.py",
    "tests/test_doctor.py",
    "tests/test_identity.py",
    "tests/test_jobs.py",
    "tests/test_quota.py",
    "tests/test_reconcile.py",
    "tests/test_rights.py",
    "tests/test_views.py",
    "tests/groups/test_roll.py",
    "tests/contrib/test_owned.py",
    "tests/http/test_jobs.py",
    "tests/consumers/only_postgresql.py",
    "tests/consumers/test_embedded.py",
    "tests/consumers/test_newer.py",
    "tests/consumers/test_outbox.py",
    "tests/consumers/test_webhooks.py",
    "tests/consumers/test_worker.py",
)
OPTIONS = ("-p", "no:cacheprovider", "-p", "tests.on_postgresql", "-o", "python_files=test_*.py only_*.py")


def test_it_holds_on_postgresql() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *FILES],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1_500,
    )
    assert done.returncode == 0, done.stdout
    assert [name for name in FILES if name not in done.stdout] == []
