"""The contract of adapters, kept by those of Celery and of Django's task framework."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery
from django.test import override_settings
from django_tasks import TaskResultStatus

from progrock.services import Service
from progrock.services.celery import CeleryService
from progrock.services.tasks import TasksService
from progrock.testing import AdapterContract, TroubleContract
from tests.services import celery_app, pressing
from tests.services.celery_worker import Studio, studio
from tests.services.pressing import Board, became

NAME = celery_app.__name__
SECRET = "open-sesame"
away = Celery("away", set_as_current=False)


@pytest.fixture(scope="module")
def rooms() -> Iterator[Studio]:
    with studio() as made:
        yield made


class TestCelery(AdapterContract):
    runs = {"name": f"{NAME}.play", "kwargs": {"gate": "closed"}}
    ends = {"name": f"{NAME}.press", "kwargs": {"album": 1}}
    patience = 30.0

    @pytest.fixture(autouse=True)
    def there(self, rooms: Studio) -> None:
        """Have a worker."""

    def adapter(self) -> Service:
        return CeleryService(f"{NAME}.app", [f"{NAME}.play", f"{NAME}.press"], terminate=True, connections=2)


class TestCeleryInTrouble(TroubleContract):
    secrets = (SECRET,)
    handshake = True

    def adapter_at(self, host: str, port: int) -> Service:
        url = f"redis://:{SECRET}@{host}:{port}/0"
        away.conf.update(broker_url=url, result_backend=url)
        return CeleryService(f"{__name__}.away", "press", timeout=700, connect_timeout=300)


class Quick(Board):
    """Has done at once what is to be done once, and never gets to the rest."""

    def enqueue(self, task: Any, args: Any, kwargs: Any) -> Any:
        result = super().enqueue(task, args, kwargs)
        if kwargs.get("copies", 1) == 1:
            became(result.id, TaskResultStatus.SUCCESSFUL, kwargs)
        return result


class TestTasks(AdapterContract):
    runs = {"album": 1, "copies": 2}
    ends = {"album": 1}
    cancels = False

    @pytest.fixture(autouse=True)
    def board(self) -> Iterator[None]:
        Board.hung.clear()
        with override_settings(TASKS={"default": {"BACKEND": f"{__name__}.Quick"}}):
            yield

    def adapter(self) -> Service:
        return TasksService(f"{pressing.__name__}.press")
