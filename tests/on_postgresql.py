"""A pytest plugin that puts all tests on a PostgreSQL: `pytest -p tests.on_postgresql tests/test_jobs.py`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator

import pytest

from tests.postgres import PostgresServer

_SERVER = pytest.StashKey[PostgresServer]()


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Start it before the settings are read."""
    with contextlib.ExitStack() as stack:
        server = early_config.stash[_SERVER] = stack.enter_context(PostgresServer())
        os.environ["DATABASE_URL"] = server.url
        early_config.add_cleanup(stack.pop_all().close)
    yield


@pytest.fixture
def postgres(pytestconfig: pytest.Config) -> Iterator[PostgresServer]:
    """The PostgreSQL that the test runs on. It may be stopped, and must be left running."""
    yield pytestconfig.stash[_SERVER]
    # Nobody but Channels looks for connections that have lost their other end.
    from tests.conftest import disconnect

    disconnect()
