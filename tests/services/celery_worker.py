"""A Celery worker as a real process, with a Redis of its own for broker and results."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping

from tests.e2e.server import Command
from tests.redis import RedisServer
from tests.services import celery_app

START_MOST = 60.0


class Studio:
    """The worker, whose app is that of `celery_app` or another, and its Redis.

    :param app: the module of the app.
    :param more: of the worker's environment.
    """

    def __init__(
        self, redis: RedisServer, app: str = celery_app.__name__, more: Mapping[str, str] | None = None
    ) -> None:
        self.redis = redis
        arguments = ["-m", "celery", "-A", app, "worker", "-P", "prefork", "-c", "2", "-l", "INFO"]
        self.worker = Command(
            [*arguments, "--without-gossip", "--without-mingle"],
            {**os.environ, **(more or {}), "CELERY_REDIS": redis.url},
        )

    def begin(self) -> None:
        """Start the worker and wait until it takes tasks."""
        process = self.worker.spawn()
        before = self.worker.log.count(" ready.")
        end = time.monotonic() + START_MOST
        while self.worker.log.count(" ready.") == before:
            assert process.poll() is None, self.worker.log
            assert time.monotonic() < end, self.worker.log
            time.sleep(0.02)

    def let(self, gate: str) -> None:
        """Open a gate for one task that waits for it."""
        self.redis.cli("RPUSH", gate, "open")


@contextlib.contextmanager
def studio() -> Iterator[Studio]:
    """Run a worker, and have the app in this process use its Redis."""
    conf = celery_app.app.conf
    before = {key: conf[key] for key in ("broker_url", "result_backend")}
    with RedisServer() as redis:
        conf.update(broker_url=redis.url, result_backend=redis.url)
        made = Studio(redis)
        try:
            made.begin()
            yield made
        finally:
            conf.update(before)
            made.worker.kill()
            made.worker.close()
