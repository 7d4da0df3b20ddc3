"""DATABASE_URL: what it means, and that each mistake is one clear line without the password in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.database import postgresql
from tests.postgres import PostgresServer

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_it_names_a_postgresql(scheme: str) -> None:
    found = postgresql(
        f"{scheme}://me:p%40ss%2Fword%25@db.example:5433/my%20jobs?sslmode=verify-full&connect_timeout=5"
    )
    assert (
        found.items()
        >= {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "my jobs",
            "USER": "me",
            "PASSWORD": "p@ss/word%",
            "HOST": "db.example",
            "PORT": "5433",
        }.items()
    )
    assert found["OPTIONS"].items() >= {"sslmode": "verify-full", "connect_timeout": "5"}.items()


@pytest.mark.parametrize(
    ("url", "host", "port", "user"),
    [
        ("postgres:///jobs", "", "", ""),
        ("postgres://localhost/jobs", "localhost", "", ""),
        ("postgres://me@[::1]:5432/jobs", "::1", "5432", "me"),
        ("postgres://%2Frun%2Fpostgresql/jobs", "/run/postgresql", "", ""),
        ("postgres://%2FRun%2FPostgreSQL/jobs", "/Run/PostgreSQL", "", ""),
    ],
)
def test_all_but_the_name_may_be_missing(url: str, host: str, port: str, user: str) -> None:
    found = postgresql(url)
    assert (found["NAME"], found["HOST"], found["PORT"], found["USER"]) == ("jobs", host, port, user)


@pytest.mark.parametrize(
    ("url", "got"),
    [
        ("mysql://me:secret@host/jobs", "another scheme"),
        ("me:secret@host/jobs", "another scheme"),
        ("postgres://me:secret@host", "none with the name of a database"),
        ("postgres://me:secret@host:5432/", "none with the name of a database"),
        ("postgres://me:secret@host/jobs/more", "one with more behind the name"),
        ("postgres://me:secret@host/jobs#more", "one with more behind the name"),
        ("postgres://me:secret@host:secret/jobs", "a URL that cannot be read"),
        ("postgres://me:secret@host:99999/jobs", "a URL that cannot be read"),
        ("postgres://me:secret@[host/jobs", "a URL that cannot be read"),
        ("postgres://me:secret@host/jobs?sslmode", "a URL that cannot be read"),
        ("postgres://me:secret@host/jobs?pool=1", "got 'pool'"),
        ("postgres://me:secret@host/jobs\n", "spaces or control characters"),
        (" postgres://me:secret@host/jobs", "spaces or control characters"),
        ("postgres://me:sec/ret@host/jobs", "a URL that cannot be read"),
    ],
)
def test_a_mistake_is_named_without_the_password(url: str, got: str) -> None:
    with pytest.raises(ImproperlyConfigured) as error:
        postgresql(url)
    said = str(error.value)
    assert said.startswith("Expected DATABASE_URL ")
    assert got in said
    assert "\n" not in said
    assert "sec" not in said
    assert error.value.__suppress_context__ or error.value.__context__ is None


def test_a_silent_server_is_given_up_and_no_connection_is_kept_for_a_thread_that_is_gone() -> None:
    found = postgresql("postgres://host/jobs")
    assert found["CONN_MAX_AGE"] == 0
    assert {"connect_timeout", "keepalives_idle", "tcp_user_timeout"} <= found["OPTIONS"].keys()


def test_the_project_runs_on_it() -> None:
    """As `manage.py` does it: migrated, and asked."""
    with PostgresServer() as postgres, TemporaryDirectory() as folder:
        environment = {**os.environ, "DEBUG": "1", "VAR_DIR": folder, "DATABASE_URL": postgres.url}
        for words in (["migrate"], ["check", "--database", "default"]):
            done = subprocess.run(
                [sys.executable, "manage.py", *words, "--verbosity", "0"],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        assert postgres.sql("SELECT count(*) FROM progrock_job") == "0"
        assert not list(Path(folder).glob("*.sqlite3"))
