"""The how-tos for own tasks: a project made of what stands there, whose tasks are done on the spot."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import celery._state
import pytest
from asgiref.sync import sync_to_async
from celery import Celery, signals
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.test import AsyncClient, RequestFactory, override_settings
from django.urls import path

from progrock import jobs
from progrock.contrib.owned import owned_by
from progrock.models import Job
from progrock.protocol import State
from tests.documents import ROOT, code
from tests.push.conftest import engine as engine
from tests.push.conftest import services as services
from tests.until import until

TRACK = "howto/track-celery-tasks.md"
USED = ("before_task_publish", "after_task_publish", "task_prerun", "task_postrun", "task_failure", "task_revoked")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder `studio` of a project, to be imported from; what it has Celery or Django tell it ends with it."""
    for name in (*USED, "worker_init", "worker_process_shutdown"):
        monkeypatch.setattr(getattr(signals, name), "receivers", [])
    folder = tmp_path / "studio"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(celery._state, "default_app", None)
    monkeypatch.setattr(celery._state._tls, "current_app", None)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "studio"]:
        del sys.modules[name]


def tracked(project: Path) -> Celery:
    """Return the app of the how-to, which does its tasks on the spot."""
    app = code(TRACK, "celery").replace("redis://127.0.0.1:6379/1", "memory://")
    (project / "celery.py").write_text(app + "app.conf.task_always_eager = True\n")
    return import_module("studio.celery").app


async def end_of(job: str) -> Job:
    async def ended() -> bool:
        return await Job.objects.filter(pk=job, finished__isnull=False).aexists()

    await until(ended)
    return await Job.objects.aget(pk=job)


@pytest.mark.usefixtures("engine")
async def test_celerys_tasks_are_jobs_of_whoever_asks(project: Path) -> None:
    tracked(project)
    for name in ("tasks", "views"):
        (project / f"{name}.py").write_text(code(TRACK, name))
    urls: Any = ModuleType("studio.urls")
    urls.urlpatterns = [
        path("order", __import__("studio.views").views.order),
        *__import__("config.urls").urls.urlpatterns,
    ]
    scope: dict[str, Any] = {}
    exec(code(TRACK, "settings") + code(TRACK, "elsewhere"), scope)
    with override_settings(MIDDLEWARE=scope["MIDDLEWARE"], ROOT_URLCONF=urls):
        page = (await AsyncClient().get("/order?copies=20")).content.decode()
    found = re.search(r'<prog-rock job="([0-9a-f-]{36})"', page)
    assert found
    job = await end_of(found[1])
    assert (job.state, job.title, job.result) == (State.SUCCEEDED, "Press", {"copies": 20})
    assert job.owner.startswith("session:")
    assert [line.text for line in await jobs.ajournal(job.pk, owner=job.owner)] == ["Copy 13 has a scratch."]
    user = await User.objects.acreate(username="me", email="me@example.com")
    job = await end_of(await sync_to_async(scope["order_for"])(user, 2))
    assert (job.title, job.owner) == ("2 copies", f"user:{user.pk}")


@pytest.mark.usefixtures("engine")
async def test_the_recorder_of_celery_progress_tells_the_job(project: Path) -> None:
    tracked(project)
    (project / "tasks.py").write_text(code("howto/come-from-celery-progress.md", "tasks"))
    add_up = import_module("studio.tasks").add_up

    def queue() -> str:
        with owned_by("me"):
            return str(add_up.delay(4).id)

    job = await end_of(await sync_to_async(queue)())
    assert (job.state, job.result) == (State.SUCCEEDED, 6)
    scope: dict[str, Any] = {}
    exec(code("howto/come-from-celery-progress.md", "urls"), scope)
    assert [each.name for each in scope["urlpatterns"][0].url_patterns] == ["task_status", "group_status"]


@pytest.mark.usefixtures("engine")
async def test_what_replaces_a_taskstate_table_does_what_it_did(project: Path) -> None:
    app = tracked(project)
    kept: list[int] = []
    from progrock.contrib.celery import current

    scope: dict[str, Any] = {"app": app, "current": current, "keep": kept.append, "__name__": "studio.tasks"}
    scope["render"] = lambda request, template, context: context["job"]
    exec(code("howto/replace-a-taskstate-table.md", "after"), scope)
    request: Any = RequestFactory().get("/")
    request.session = SessionStore()
    request.session["rows"] = [1, 2, 3]

    def ask() -> str:
        with owned_by(request):
            return str(scope["start"](request))

    job = await end_of(await sync_to_async(ask)())
    assert (job.state, job.title, job.percent, kept) == (State.SUCCEEDED, "Import rows", 100, [1, 2, 3])
    page = (ROOT / "docs/howto/replace-a-taskstate-table.md").read_text()
    blocks = re.findall(r"^```\w+ (before|after)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = {word: sum(text.count("\n") for label, text in blocks if label == word) for word in ("before", "after")}
    assert lines["after"] * 3 < lines["before"]
    compile(blocks[0][1], "before", "exec")


@pytest.mark.usefixtures("engine")
async def test_djangos_tasks_are_jobs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from django_tasks import signals as framework

    page = "howto/track-django-tasks.md"
    for name in ("task_enqueued", "task_started", "task_finished"):
        monkeypatch.setattr(getattr(framework, name), "receivers", [])
        getattr(framework, name).sender_receivers_cache.clear()
    for name in ("apps", "tasks"):
        (project / f"{name}.py").write_text(code(page, name))
    scope: dict[str, Any] = {}
    with override_settings(TASKS={"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}):
        exec(code(page, "queue"), scope)
        import_module("studio.apps").Studio("studio", import_module("studio")).ready()
        user = await User.objects.acreate(username="me")
        from progrock.push import id_of

        job = await end_of(str(id_of(await sync_to_async(scope["order"])(user, 20))))
    assert (job.state, job.title, job.owner) == (State.SUCCEEDED, "20 copies", f"user:{user.pk}")
    assert job.result == {"copies": 20}
    assert [line.text for line in await jobs.ajournal(job.pk, owner=job.owner)] == ["Copy 13 has a scratch."]
