"""The how-to for Celery and Django's tasks: a project made of what stands there, and the reference beside it."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from progrock import embedded, jobs, registry
from progrock.delay import Relay
from progrock.embedded import Engine
from progrock.protocol import State
from progrock.services.celery import CeleryService
from progrock.services.tasks import TasksService
from tests.documents import ROOT, code
from tests.e2e.server import Command
from tests.redis import RedisServer
from tests.until import until

PAGE = "howto/follow-a-celery-task.md"


def scope_of(label: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(code(PAGE, label), scope)
    return scope


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder `studio` of the how-to's project, to be imported from."""
    folder = tmp_path / "studio"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "studio"]:
        del sys.modules[name]


@pytest.fixture
async def engine(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    monkeypatch.setattr(Relay, "last_message", 0.01)
    monkeypatch.setattr(embedded, "_lock_path", lambda: None)
    with override_settings(PROGROCK=scope_of("settings")["PROGROCK"]):
        engine = Engine()
        await engine.start()
        yield
        await engine.stop()


async def test_the_celery_task_is_a_job(redis: RedisServer, project: Path, engine: None) -> None:
    app = code(PAGE, "celery").replace("redis://127.0.0.1:6379/1", redis.url)
    assert app.count(redis.url) == 2
    (project / "celery.py").write_text(app)
    (project / "tasks.py").write_text(code(PAGE, "tasks"))
    worker = Command(
        ["-m", "celery", "-A", "studio", "worker", "-c", "1", "--without-gossip", "--without-mingle"],
        {**os.environ, "PYTHONPATH": str(project.parent)},
    )
    worker.spawn()
    try:
        job = (await scope_of("start")["master"](7, 1)).job

        async def ended() -> bool:
            return (await jobs.aget(job, owner="user:1")).complete

        await until(ended)
    finally:
        worker.kill()
        worker.close()
    snapshot = await jobs.aget(job, owner="user:1")
    assert (snapshot.state, snapshot.title) == (State.SUCCEEDED, "Master")
    assert snapshot.result == {"album": 7, "tracks": 8}


async def test_the_task_of_django_is_a_service(project: Path) -> None:
    (project / "tasks.py").write_text(code(PAGE, "django-tasks"))
    settings = scope_of("django-settings")
    assert settings["TASKS"] == {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}
    board = {"default": {"BACKEND": "tests.services.pressing.Board"}}
    with override_settings(PROGROCK=settings["PROGROCK"], TASKS=board):
        service = registry.build("press")
        assert service.clean({"album": 7}) == {"album": 7}


@pytest.mark.parametrize("service", [CeleryService, TasksService])
def test_every_option_is_listed_with_its_default(service: type) -> None:
    text = (ROOT / "docs/reference/celery.md").read_text()
    (table,) = re.findall(rf"^## {service.__name__}\n(.*?)(?=^The id|\Z)", text, re.MULTILINE | re.DOTALL)
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE))
    names = {"": "the task's name", None: "{}", inspect.Parameter.empty: "required"}
    parameters = list(inspect.signature(service).parameters.values())
    assert {name: default.strip(" `") for name, default in rows.items()} == {
        each.name: names.get(each.default, str(each.default)) for each in parameters
    }
