"""pygeoapi, Scrapyd, and Flower with a Celery worker, each set up for what the tests have it do."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import Self

from tests.redis import RedisServer
from tests.remotes.process import RemoteProcess, kill, spawn


class PygeoapiServer(RemoteProcess):
    """pygeoapi with one process, :class:`~tests.remotes.theirs.slow.SlowProcess`, and its jobs in TinyDB."""

    ready = "/processes/slow"

    def command(self) -> Iterable[str]:
        return ("flask", "--app", "pygeoapi.flask_app:APP", "run", "--host", "127.0.0.1", "--port", str(self.port))

    def environment(self) -> Mapping[str, str]:
        return {"PYGEOAPI_CONFIG": str(self.folder / "config.yml"), "PYGEOAPI_OPENAPI": str(self.folder / "open.json")}

    def prepare(self) -> None:
        jobs = str(self.folder / "jobs.db")
        config = {
            "server": {
                "bind": {"host": "127.0.0.1", "port": self.port},
                "url": self.url,
                "mimetype": "application/json; charset=UTF-8",
                "encoding": "utf-8",
                "languages": ["en-US"],
                "map": {"url": "", "attribution": ""},
                "limits": {"default_items": 10, "max_items": 100},
                "manager": {"name": "TinyDB", "connection": jobs, "output_dir": str(self.folder)},
            },
            "logging": {"level": "ERROR"},
            "metadata": {
                "identification": {
                    "title": "Tests",
                    "description": "Tests",
                    "keywords": ["tests"],
                    "keywords_type": "theme",
                    "terms_of_service": "none",
                    "url": self.url,
                },
                "license": {"name": "none", "url": self.url},
                "provider": {"name": "Tests", "url": self.url},
                "contact": {"name": "Tests", "url": self.url},
            },
            "resources": {
                "slow": {
                    "type": "process",
                    "processor": {"name": "tests.remotes.theirs.slow.SlowProcess", "jobs": jobs},
                }
            },
        }
        # YAML takes JSON.
        (self.folder / "config.yml").write_text(json.dumps(config))
        (self.folder / "open.json").write_text("{}")


class ScrapydServer(RemoteProcess):
    """Scrapyd with one project, `default`, which has one spider, `pages`."""

    ready = "/daemonstatus.json"

    def command(self) -> Iterable[str]:
        return ("scrapyd", "--pidfile=")

    def prepare(self) -> None:
        lines = [
            "[scrapyd]",
            "bind_address = 127.0.0.1",
            f"http_port = {self.port}",
            "poll_interval = 0.1",
            "max_proc = 2",
            "items_dir = items",
            "[settings]",
            "default = tests.remotes.theirs.crawl.settings",
        ]
        (self.folder / "scrapy.cfg").write_text("\n".join([*lines, ""]))


class FlowerServer(RemoteProcess):
    """Flower in front of one Celery worker that has one job, `work.count`, and a Redis of its own.

    Its API is for those who know `CREDENTIALS`.
    """

    CREDENTIALS = "me:secret"
    ready = "/healthcheck"

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._redis = stack.enter_context(RedisServer())
            super().__enter__()
            stack.push(super().__exit__)
            worker = spawn(
                (*self._celery, "worker", "--concurrency=2", "--loglevel=warning", "--task-events"),
                self.folder,
                self.environment(),
            )
            stack.callback(kill, worker)
            self._both = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._both.close()

    @property
    def _celery(self) -> tuple[str, ...]:
        return ("celery", "--app=tests.remotes.theirs.work", "--workdir", str(self.folder))

    def command(self) -> Iterable[str]:
        return (
            *self._celery,
            "flower",
            "--address=127.0.0.1",
            f"--port={self.port}",
            f"--basic_auth={self.CREDENTIALS}",
        )

    def environment(self) -> Mapping[str, str]:
        return {"WORK_REDIS": self._redis.url}
