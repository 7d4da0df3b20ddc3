"""The adapter for Django's task framework: against its contract, with a backend in this process."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError
from django.test import override_settings
from django_tasks import TaskResultStatus
from django_tasks.base import TaskError

from progrock import registry
from progrock.exceptions import InvalidParams
from progrock.protocol import State
from progrock.services import Order, Started
from progrock.services.tasks import TasksService
from progrock.step import Miss, Reading
from tests.services import pressing
from tests.services.pressing import Board, became

HERE = pressing.__name__
BOARD = {"BACKEND": f"{HERE}.Board", "QUEUES": ["default", "slow"]}
Make = Callable[..., TasksService]


@pytest.fixture(autouse=True)
def board() -> Iterator[None]:
    Board.hung.clear()
    with override_settings(TASKS={"default": BOARD, "other": BOARD}):
        yield


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    made: list[TasksService] = []

    def adapter(name: str, **options: Any) -> TasksService:
        made.append(TasksService(f"{HERE}.{name}", **options))
        return made[-1]

    yield adapter
    for each in made:
        await each.aclose()


async def begin(service: TasksService, **params: Any) -> str:
    started = await service.start(Order("job", service.clean(params)))
    assert isinstance(started, Started), started
    assert started.reading == Reading(State.PENDING, message="Waiting for a worker.")
    return started.remote


async def test_a_task_is_enqueued_and_its_result_is_the_jobs(make: Make) -> None:
    service = make("press", using={"queue_name": "slow", "priority": 5, "backend": "other"})
    task = await begin(service, album=7)
    (hung,) = Board.hung
    assert (hung.id, hung.kwargs, hung.backend) == (task, {"album": 7}, "other")
    assert (hung.task.queue_name, hung.task.priority) == ("slow", 5)
    became(task, TaskResultStatus.RUNNING)
    assert await service.poll([task]) == [Reading(State.RUNNING, message="A worker is at it.")]
    became(task, TaskResultStatus.SUCCESSFUL, {"album": 7})
    assert await service.poll([task]) == [Reading(State.SUCCEEDED, result={"album": 7})]
    assert await service.cancel(task) == Reading(State.SUCCEEDED, result={"album": 7})


@pytest.mark.parametrize(
    ("path", "traceback", "message"),
    [
        ("builtins.ValueError", 'Traceback:\n  File "x.py", line 1\nValueError: No.\nNote\n', "ValueError: No."),
        ("shop.errors.NoSuchAlbum", "Traceback:\nshop.errors.NoSuchAlbum: 7\n", "NoSuchAlbum: 7"),
        ("builtins.KeyboardInterrupt", "Traceback:\nKeyboardInterrupt\n", "KeyboardInterrupt"),
        ("shop.Odd", "", "Odd"),
    ],
)
async def test_a_failure_is_told_without_its_traceback(make: Make, path: str, traceback: str, message: str) -> None:
    service = make("press")
    task = await begin(service, album=7)
    became(task, TaskResultStatus.FAILED, None, TaskError(exception_class_path=path, traceback=traceback))
    assert await service.poll([task]) == [Reading(State.FAILED, message=message)]


async def test_many_jobs_are_looked_at_in_one_thread_and_each_gets_its_own_answer(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make("press")
    tasks = [await begin(service, album=n) for n in range(20)]
    other = await begin(make("scratch"))
    became(tasks[3], TaskResultStatus.SUCCESSFUL, 3)
    asked: set[int] = set()
    get_result = Board.get_result

    def noted(self: Board, result_id: str) -> Any:
        asked.add(threading.get_ident())
        return get_result(self, result_id)

    monkeypatch.setattr(Board, "get_result", noted)
    looks = await service.poll([*tasks, "nobody", other])
    assert len(asked) == 1
    assert [look.result for look in looks[:20] if isinstance(look, Reading)] == [None] * 3 + [3] + [None] * 16
    assert [look.code for look in looks[20:] if isinstance(look, Miss)] == ["vanished", "nonsense"]


async def test_that_it_cannot_be_stopped_is_said(make: Make) -> None:
    service = make("press")
    task = await begin(service, album=7)
    assert await service.cancel(task) == Reading(State.PENDING, message="It cannot be stopped: it is waited for.")
    assert isinstance(await service.cancel("nobody"), Miss)
    assert not service.finds
    assert not service.starts_once


async def test_a_backend_in_trouble_is_a_miss_and_its_words_are_kept(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("connection to postgres://user:s3cret@host failed")

    monkeypatch.setattr(Board, "get_result", away)
    monkeypatch.setattr(Board, "enqueue", away)
    service = make("press")
    miss = Miss("unreachable", "The tasks backend is in trouble (OperationalError).")
    assert await service.poll(["a", "b"]) == [miss, miss]
    assert await service.start(Order("job", {"album": 1})) == miss
    assert "s3cret" not in caplog.text


async def test_a_backend_that_hangs_is_a_miss_in_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(Board, "get_result", lambda self, result_id: gate.wait(10))
    service = make("press", timeout=1_000, connections=1)
    try:
        late = Miss("unreachable", "The tasks backend did not answer in time.")
        assert await service.poll(["a"]) == [late]
        # The only thread hangs: this is not even asked.
        assert await service.poll(["a"]) == [Miss("unreachable", "The tasks backend cannot be reached.", heard=False)]
    finally:
        gate.set()


async def test_params_that_the_task_does_not_take_are_refused(make: Make) -> None:
    with pytest.raises(InvalidParams, match="params: missing a required argument: 'album'"):
        make("press").clean({})
    with pytest.raises(InvalidParams, match="params: got an unexpected keyword argument 'context'"):
        make("press").clean({"album": 1, "context": 2})
    again = make("press_again")
    assert again.clean({"album": 1}) == {"album": 1}
    assert again.title({}) == "Press again"
    assert make("press", title="A pressing").title({"album": 1}) == "A pressing"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": f"{HERE}.Board"}, "task: expected the dotted path of a task, as @task makes them, got"),
        ({"task": "no.such.task"}, "No module named 'no'"),
        ({"using": {"queue_name": "fast"}}, "using: Queue 'fast' is not valid for backend"),
        ({"using": {"queue": "slow"}}, "using: .*unexpected keyword argument 'queue'"),
        ({"using": {"backend": "immediate"}}, "expected a backend that can be asked for results, got ImmediateBackend"),
    ],
)
def test_what_cannot_work_is_said_at_start_up(options: dict[str, Any], message: str) -> None:
    declared = {"BACKEND": "progrock.services.tasks.TasksService", "OPTIONS": {"task": f"{HERE}.press", **options}}
    immediate = {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}
    with (
        override_settings(PROGROCK={"SERVICES": {"tasks": declared}}, TASKS={"default": BOARD, "immediate": immediate}),
        pytest.raises(ImproperlyConfigured, match=rf"SERVICES\['tasks'\]: .*{message}"),
    ):
        registry.build("tasks")
