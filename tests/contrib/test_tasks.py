"""A site's own tasks of Django's framework as jobs: with a real worker, and done on the spot."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.contrib.conftest import Site, Visitor
from tests.e2e.server import Command
from tests.e2e.test_tasks import WORKER


@pytest.fixture
def worker(site: Site) -> Iterator[Command]:
    worker = Command(WORKER, site.environment)
    yield worker
    worker.kill()
    worker.close()


def test_tasks_are_jobs_from_the_moment_they_are_queued(site: Site, visitor: Visitor, worker: Command) -> None:
    task, failing, cancelled = (visitor.queue(name) for name in ("dj_press", "dj_scratch", "dj_press"))
    waits = visitor.until(task, lambda job: job["message"] == "Waiting for its turn.")
    assert waits["title"] == "Dj press"
    visitor.post(f"prog/jobs/{cancelled}/cancel")
    assert visitor.end_of(cancelled)["state"] == "cancelled"
    worker.spawn()
    half = visitor.until(task, lambda job: job["message"] == "Halfway")
    assert (half["state"], half["percent"]) == ("running", 50)
    site.rooms.let("dj")
    end = visitor.end_of(task)
    assert (end["state"], end["result"]["copies"]) == ("succeeded", 4)
    assert visitor.end_of(end["result"]["next"])["state"] == "succeeded"
    end = visitor.end_of(failing)
    assert (end["state"], end["error"]["message"]) == ("failed", "ValueError: The record is scratched.")
    # What was cancelled did not run: there was one gate, and nobody else waits for another.
    assert site.rooms.redis.cli("GET", "dj-ran") == "1"
