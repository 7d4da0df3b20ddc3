"""The site whose own code does long work, as processes: web server, our worker and scheduler, a worker of Celery's."""

from __future__ import annotations

import http.cookiejar
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from celery import Celery

from tests.e2e.conftest import browser as browser
from tests.e2e.conftest import chromium as chromium
from tests.e2e.conftest import context as context
from tests.e2e.server import ServerProcess
from tests.redis import RedisServer
from tests.services.celery_worker import Studio

WITHIN = 20.0


class Site(ServerProcess):
    """The web server, worker and scheduler; its Celery worker is that of `rooms`, which anybody's `celery` can ask."""

    rooms: Studio
    celery: Celery


class Visitor:
    """Somebody with a session of their own."""

    def __init__(self, site: Site) -> None:
        self.site = site
        jar = self.jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        self.get("")  # the page gives a session

    def get(self, path: str) -> bytes:
        with self._opener.open(f"{self.site.url}/{path}", timeout=WITHIN) as response:
            body: bytes = response.read()
        return body

    def post(self, path: str) -> None:
        self.get("prog/jobs/")  # gives a token
        token = next(str(each.value) for each in self.jar if each.name == "csrftoken")
        asked = urllib.request.Request(f"{self.site.url}/{path}", b"", {"X-CSRFToken": token})
        self._opener.open(asked, timeout=WITHIN).close()

    def queue(self, task: str, **arguments: Any) -> str:
        """Queue a task, and return its id."""
        query = "&".join(f"{key}={urllib.parse.quote(json.dumps(value))}" for key, value in arguments.items())
        return str(json.loads(self.get(f"queue/{task}?{query}"))["id"])

    def job(self, job: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get(f"prog/jobs/{job}/"))
        return found

    def until(self, job: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return how a job stands once it stands so."""
        end = time.monotonic() + WITHIN
        while not wanted(found := self.job(job)):
            assert time.monotonic() < end, json.dumps(found)
            time.sleep(0.03)
        return found

    def until_told(self, path: str, wanted: object) -> None:
        """Wait until a URL answers with this JSON."""
        end = time.monotonic() + WITHIN
        while (found := json.loads(self.get(path))) != wanted:
            assert time.monotonic() < end, json.dumps(found)
            time.sleep(0.03)

    def end_of(self, job: str) -> dict[str, Any]:
        return self.until(job, lambda job: bool(job["complete"]))


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with RedisServer() as redis:
        more = {"DJANGO_SETTINGS_MODULE": "tests.contrib.settings"}
        site = Site("http://127.0.0.1:1", tmp_path_factory.mktemp("site"), redis=redis.url, more=more)
        with site:
            site.rooms = Studio(redis, "tests.contrib.studio", site.environment)
            site.celery = Celery("anybody", broker=redis.url, backend=redis.url, set_as_current=False)
            try:
                yield site
            finally:
                site.rooms.worker.kill()
                site.rooms.worker.close()


@pytest.fixture
def site(processes: Site) -> Site:
    """The site, with a worker of Celery's that lives."""
    if not processes.rooms.worker.alive:
        processes.rooms.begin()
    return processes


@pytest.fixture
def visitor(site: Site) -> Visitor:
    return Visitor(site)
