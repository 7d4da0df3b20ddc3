"""The adapter for Celery, with a real worker on the other side."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from progrock import registry
from progrock.exceptions import InvalidParams
from progrock.protocol import State
from progrock.services import Order, Started
from progrock.services.celery import CeleryService
from progrock.services.results import RESULT_MOST
from progrock.step import Look, Miss, Reading
from tests.redis import RedisServer
from tests.services import celery_app
from tests.services.celery_worker import Studio, studio
from tests.until import until

APP = f"{celery_app.__name__}.app"
UNKNOWN = "It may have been sent, and Celery cannot tell whether it was."
Make = Callable[..., CeleryService]


@pytest.fixture(scope="module")
def rooms() -> Iterator[Studio]:
    with studio() as made:
        yield made


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Make adapters for a task of the app, and close them after the test."""
    made: list[CeleryService] = []

    def adapter(name: str | list[str], app: str = APP, **options: Any) -> CeleryService:
        names = [f"{celery_app.__name__}.{each}" for each in ([name] if isinstance(name, str) else name)]
        made.append(CeleryService(app, names[0] if isinstance(name, str) else names, **options))
        return made[-1]

    yield adapter
    for each in made:
        await each.aclose()


async def begin(service: CeleryService, **params: Any) -> str:
    job = str(uuid.uuid4())
    started = await service.start(Order(job, service.clean(params)))
    assert isinstance(started, Started), started
    assert started.remote == job
    return job


async def look_at(service: CeleryService, job: str) -> Look:
    (look,) = await service.poll([job])
    return look


async def until_look(service: CeleryService, job: str, wanted: Callable[[Reading], bool]) -> Reading:
    looks: list[Look] = []

    async def seen() -> bool:
        looks.append(await look_at(service, job))
        return isinstance(looks[-1], Reading) and wanted(looks[-1])

    await until(seen)
    assert isinstance(looks[-1], Reading)
    return looks[-1]


async def end_of(service: CeleryService, job: str) -> Reading:
    return await until_look(service, job, lambda look: look.state.complete)


async def test_a_task_is_sent_by_its_name_and_its_result_is_the_jobs(rooms: Studio, make: Make) -> None:
    service = make("press")
    ended = await end_of(service, await begin(service, album=7, copies=2))
    assert (ended.state, ended.result) == (State.SUCCEEDED, {"album": 7, "copies": 2})


@pytest.mark.parametrize(
    ("name", "percent", "message", "title"),
    [("record", 37.5, "Track 3", ""), ("upload", 25.0, "One of four", "Red")],
)
async def test_what_a_task_tells_of_itself_is_told(
    rooms: Studio, make: Make, name: str, percent: float, message: str, title: str
) -> None:
    service = make(name)
    job = await begin(service, gate=f"{name}-gate")
    look = await until_look(service, job, lambda look: look.percent is not None)
    assert (look.state, look.percent, look.message, look.title) == (State.RUNNING, percent, message, title)
    rooms.let(f"{name}-gate")
    assert (await end_of(service, job)).state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("name", "message"),
    [("scratch", "ValueError: The record is scratched., 7"), ("melt", "EncodeError: TypeError(")],
)
async def test_a_task_that_fails_says_why_and_shows_no_traceback(
    rooms: Studio, make: Make, name: str, message: str
) -> None:
    service = make(name)
    ended = await end_of(service, await begin(service))
    assert ended.state is State.FAILED
    assert ended.message.startswith(message)
    assert "Traceback" not in ended.message
    assert "line" not in ended.message


async def test_a_task_that_is_tried_again_is_still_running(rooms: Studio, make: Make) -> None:
    service = make("retry")
    job = await begin(service)
    look = await until_look(service, job, lambda look: look.message.startswith("It is tried again"))
    assert (look.state, look.message) == (State.RUNNING, "It is tried again: OSError: The needle is away.")
    assert (await end_of(service, job)).result == "Second time"


async def test_a_task_that_is_declared_without_a_result_gives_one(rooms: Studio, make: Make) -> None:
    service = make("whisper")
    assert (await end_of(service, await begin(service))).result == "Heard"


async def test_a_result_that_is_too_large_is_not_kept(rooms: Studio, make: Make) -> None:
    service = make("long")
    ended = await end_of(service, await begin(service, size=RESULT_MOST))
    assert (ended.state, ended.result) == (State.SUCCEEDED, None)
    assert ended.message == "Done, with a result that is too large to be kept."


async def test_many_jobs_are_looked_at_with_one_call_and_nothing_stays_behind(rooms: Studio, make: Make) -> None:
    service = make("press")
    jobs = [await begin(service, album=n) for n in range(30)]
    for job in jobs:
        await end_of(service, job)
    rooms.redis.cli("CONFIG", "RESETSTAT")
    threads = threading.active_count()
    looks = await service.poll([*jobs, str(uuid.uuid4())])
    assert [look.result["album"] for look in looks[:-1] if isinstance(look, Reading)] == list(range(30))
    assert isinstance(looks[-1], Reading)
    assert looks[-1].state is State.PENDING
    calls = re.search(r"cmdstat_mget:calls=(\d+)", rooms.redis.cli("INFO", "commandstats"))
    assert calls
    assert calls[1] == "1"
    await until(lambda: threading.active_count() <= threads)
    # An AsyncResult would have subscribed to each.
    assert rooms.redis.cli("PUBSUB", "CHANNELS", "celery-task-meta-*") == ""


async def test_a_task_that_waits_is_revoked(rooms: Studio, make: Make) -> None:
    service = make("play")
    busy = [await begin(service, gate="busy") for _ in range(2)]
    for job in busy:
        await until_look(service, job, lambda look: look.state is State.RUNNING)
    waiting = await begin(service, gate="never")
    await service.cancel(waiting)
    ended = await end_of(service, waiting)
    assert (ended.state, ended.message) == (State.CANCELLED, "It was revoked.")
    assert await service.cancel(waiting) == ended
    # Those that have begun go on, and it is said that they do.
    look = await service.cancel(busy[0])
    assert isinstance(look, Reading)
    assert (look.state, look.message) == (State.RUNNING, "It has begun, and cannot be stopped.")
    for _ in busy:
        rooms.let("busy")
    for job in busy:
        assert (await end_of(service, job)).result == "Played"


@pytest.mark.parametrize("how", [True, "SIGKILL"])
async def test_a_task_that_has_begun_is_ended_if_that_is_wanted(rooms: Studio, make: Make, how: bool | str) -> None:
    service = make("play", terminate=how)
    job = await begin(service, gate="never")
    await until_look(service, job, lambda look: look.state is State.RUNNING)
    looks: list[Look] = []

    async def ended() -> bool:
        looks.append(await service.cancel(job))
        return isinstance(looks[-1], Reading) and looks[-1].state.complete

    await until(ended)
    told = "Its worker was told to stop it."
    assert looks[0] == Reading(State.RUNNING, message=told)
    assert looks[-1] == Reading(State.CANCELLED, message=told)


async def test_a_process_that_was_lost_is_one_that_was_stopped_if_that_was_asked_for(
    redis: RedisServer, stray: Callable[..., Celery], make: Make
) -> None:
    stray(redis.url, redis.url)
    record = '{"status": "FAILURE", "result": {"exc_type": "WorkerLostError", "exc_message": ["signal 9"]}}'
    redis.cli("SET", "celery-task-meta-a", record)
    lost = Reading(State.FAILED, message="WorkerLostError: signal 9")
    assert await make("elsewhere", STRAY).cancel("a") == lost
    service = make("elsewhere", STRAY, terminate=True)
    assert await service.poll(["a"]) == [lost]
    assert await service.cancel("a") == Reading(State.CANCELLED, message="Its worker was told to stop it.")


async def test_a_task_that_expires_before_its_turn_says_so(rooms: Studio, make: Make) -> None:
    service = make("play", options={"expires": 0.01, "countdown": 0.5})
    ended = await end_of(service, await begin(service, gate="never"))
    assert (ended.state, ended.message) == (State.CANCELLED, "It expired before a worker came to it.")


async def test_what_a_worker_has_begun_is_found(rooms: Studio, make: Make) -> None:
    service = make("press")
    job = await begin(service, album=1)
    await end_of(service, job)
    assert await service.find(job) == job


async def test_what_nobody_knows_of_is_not_started_again_unless_it_may_run_twice(rooms: Studio, make: Make) -> None:
    unknown = str(uuid.uuid4())
    miss = await make("press").find(unknown)
    assert isinstance(miss, Miss)
    assert (miss.code, miss.message) == (
        "start_unknown",
        "It may have been sent, and Celery cannot tell whether it was.",
    )
    assert await make("press", twice=True).find(str(uuid.uuid4())) is None
    # Should it come after all, the worker drops it.
    service = make("press")
    assert isinstance(await service.start(Order(unknown, {"album": 1})), Started)
    assert (await end_of(service, unknown)).state is State.CANCELLED


async def test_of_several_tasks_the_params_name_one(rooms: Studio, make: Make) -> None:
    service = make(["press", "whisper"])
    name = f"{celery_app.__name__}.press"
    params = {"name": name, "kwargs": {"album": 3}}
    assert service.title(params) == "Press"
    assert (await end_of(service, await begin(service, **params))).result == {"album": 3, "copies": 1}
    for wrong in (
        {},
        {"name": "os.system"},
        {"name": name, "kwargs": [3]},
        {"name": name, "kwargs": {"album": 3}, "queue": "other"},
        {"name": [name]},
    ):
        with pytest.raises(InvalidParams, match="params: expected "):
            service.clean(wrong)


async def test_params_that_the_task_does_not_take_are_refused(make: Make) -> None:
    with pytest.raises(InvalidParams, match="missing 1 required positional argument: 'album'"):
        make("press").clean({"copies": 2})
    with pytest.raises(InvalidParams, match="unexpected keyword argument 'alum'"):
        make("press").clean({"album": 1, "alum": 2})
    late = await make(["press"]).start(Order("job", {"name": "gone"}))
    assert isinstance(late, Miss)
    assert (late.code, late.heard) == ("refused", False)
    assert make("elsewhere").clean({"any": "thing"}) == {"any": "thing"}
    assert make("press_all_of_it").title({}) == "Press all of it"
    assert make("press", title="A pressing").title({"album": 1}) == "A pressing"


# Without a worker: what goes wrong between us and broker or backend.

STRAY = f"{celery_app.__name__}.stray"


@pytest.fixture
def stray(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Celery]:
    """Make an app that only its broker and its result backend know of."""

    def app(broker: str, backend: str | None, **conf: Any) -> Celery:
        made = Celery("stray", broker=broker, backend=backend, set_as_current=False)
        made.conf.update(conf)
        monkeypatch.setattr(celery_app, "stray", made, raising=False)
        return made

    return app


@pytest.fixture
def own() -> Iterator[RedisServer]:
    with RedisServer() as redis:
        yield redis


async def test_a_broker_that_is_away_surely_heard_nothing(
    own: RedisServer, redis: RedisServer, stray: Callable[..., Celery], make: Make
) -> None:
    stray(own.url, redis.url)
    service = make("elsewhere", STRAY)
    job = await begin(service)
    own.kill()
    nobody = Miss("unreachable", "Celery's broker cannot be reached.", heard=False)
    assert await service.start(Order(str(uuid.uuid4()), {})) == nobody  # by the link that was there
    assert await service.start(Order(str(uuid.uuid4()), {})) == nobody
    assert await service.cancel(job) == nobody
    assert (await look_at(service, job)) == Reading(State.PENDING, message="Waiting for a Celery worker.")
    own.start()
    assert isinstance(await service.start(Order(job, {})), Started)
    assert own.cli("LLEN", "celery") == "1"


async def test_a_broker_that_hangs_costs_no_more_threads_than_allowed_and_hears_nothing_later(
    own: RedisServer, redis: RedisServer, stray: Callable[..., Celery], make: Make
) -> None:
    stray(own.url, redis.url)
    service = make("elsewhere", STRAY, timeout=1_500, connections=2)
    await begin(service)
    threads = threading.active_count()
    own.pause()
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        orders = [Order(str(uuid.uuid4()), {}) for _ in range(8)]
        misses = await asyncio.gather(*map(service.start, orders))
        assert loop.time() - began < 5  # one after the other would take six
        assert misses == [Miss("unreachable", "Celery's broker cannot be reached.", heard=False)] * 8
        assert threading.active_count() <= threads + 2
    finally:
        own.resume()
    await until(lambda: threading.active_count() <= threads)
    assert own.cli("LLEN", "celery") == "1"
    assert isinstance(await service.start(orders[0]), Started)


async def test_neither_a_start_nor_a_cancel_takes_a_connection_of_the_app(
    own: RedisServer, redis: RedisServer, stray: Callable[..., Celery], make: Make
) -> None:
    """It would wait for ever for a broker that hangs, and for a minute for one that is away."""
    stray(own.url, redis.url)
    service = make("elsewhere", STRAY, timeout=1_500)
    job = await begin(service)
    assert (await service.cancel(job)) == Miss("unreachable", "No Celery worker has taken note of it yet.")
    own.cli("CLIENT", "PAUSE", 10_000, "WRITE")
    threads = threading.active_count()
    assert await service.cancel(job) == Miss("unreachable", "Celery's broker did not answer in time.")
    await until(lambda: threading.active_count() <= threads, within=8)
    # That of the adapter is closed, as one that does not answer in time is.
    assert [line for line in own.cli("CLIENT", "LIST").splitlines() if "cmd=client|list" not in line] == []


async def test_a_start_without_an_answer_may_have_been_heard_and_is_not_made_twice(
    own: RedisServer, redis: RedisServer, stray: Callable[..., Celery], make: Make
) -> None:
    stray(own.url, redis.url, broker_transport_options={"socket_timeout": 5})
    service = make("elsewhere", STRAY, timeout=400)
    own.cli("CLIENT", "PAUSE", 4_000, "WRITE")  # less than its socket waits
    miss = await service.start(Order(str(uuid.uuid4()), {}))
    assert miss == Miss("unreachable", "Celery's broker did not answer in time.")
    assert miss.heard
    own.cli("CLIENT", "UNPAUSE")
    service = make("elsewhere", STRAY, timeout=5_000)
    await until(lambda: own.cli("LLEN", "celery") == "1")
    assert isinstance(await service.start(Order(str(uuid.uuid4()), {})), Started)
    assert own.cli("LLEN", "celery") == "2"


async def test_a_broker_of_another_kind_that_says_nothing_is_given_up(
    redis: RedisServer, stray: Callable[..., Celery], make: Make
) -> None:
    """It takes the connection and nothing else, as one that is starved does."""
    writers: list[asyncio.StreamWriter] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    stray(f"amqp://guest:s3cret@127.0.0.1:{port}//", redis.url)
    service = make("elsewhere", STRAY, timeout=600, connect_timeout=300)
    threads = threading.active_count()
    nobody = Miss("unreachable", "Celery's broker cannot be reached.", heard=False)
    assert await service.start(Order(str(uuid.uuid4()), {})) == nobody
    assert writers
    await until(lambda: threading.active_count() <= threads)
    server.close()
    for writer in writers:
        writer.close()
    assert await service.start(Order(str(uuid.uuid4()), {})) == nobody


async def test_a_backend_that_is_away_or_hangs_is_a_miss_for_every_job(
    own: RedisServer, redis: RedisServer, stray: Callable[..., Celery], make: Make
) -> None:
    stray(redis.url, own.url)
    service = make("elsewhere", STRAY, timeout=1_500, connections=2)
    jobs = [await begin(service) for _ in range(3)]
    assert len({look.message for look in await service.poll(jobs)}) == 1
    own.pause()
    try:
        assert await service.poll(jobs) == [Miss("unreachable", "Celery's result backend did not answer in time.")] * 3
        assert isinstance(await service.find(jobs[0]), Miss)
    finally:
        own.resume()
    await until(lambda: is_reading(service, jobs[0]))
    own.kill()
    looks = await service.poll(jobs)
    assert [isinstance(look, Miss) and look.code for look in looks] == ["unreachable"] * 3
    own.start()
    await until(lambda: is_reading(service, jobs[0]))


async def is_reading(service: CeleryService, job: str) -> bool:
    return isinstance(await look_at(service, job), Reading)


async def test_a_record_that_cannot_be_read_spoils_no_other(
    redis: RedisServer, stray: Callable[..., Celery], make: Make
) -> None:
    stray(redis.url, redis.url)
    service = make("elsewhere", STRAY)
    records = {
        "garbage": "\\x00\\xff{",
        "list": "[]",
        "none": '{"result": 1}',
        "other": '{"status": "SUCCESS", "result": 1, "task_id": "good"}',
        "evil": '{"status": "FAILURE", "result": {"exc_type": "system", "exc_module": "os", "exc_message": ["ls"]}}',
        "good": '{"status": "SUCCESS", "result": 1, "task_id": "good"}',
    }
    for name, text in records.items():
        redis.cli("SET", f"celery-task-meta-{name}", text)
    looks = dict(zip(records, await service.poll(list(records)), strict=True))
    assert [look.code for name, look in looks.items() if isinstance(look, Miss)] == ["nonsense"] * 4
    assert looks["evil"] == Reading(State.FAILED, message="system: ls")
    assert looks["good"] == Reading(State.SUCCEEDED, result=1)


async def test_no_password_is_shown(stray: Callable[..., Celery], make: Make, caplog: pytest.LogCaptureFixture) -> None:
    with RedisServer() as redis:
        redis.cli("CONFIG", "SET", "requirepass", "right")
        url = redis.url.replace("://", "://:s3cret@")
        stray(url, url)
        service = make("elsewhere", STRAY)
        said = [repr(service)]
        for _ in range(2):
            said.append(repr(await service.start(Order(str(uuid.uuid4()), {}))))
            said += map(repr, await service.poll(["a"]))
            said.append(repr(await service.cancel("a")))
        assert "AuthenticationError" in said[2]
    trouble = [record for record in caplog.records if record.name == "progrock.services.threads"]
    assert len(trouble) == 2, "expected one line for the broker, one for the backend"
    assert "s3cret" not in "".join([*said, caplog.text])


@pytest.mark.parametrize("backend", ["file", "shelf"])
async def test_other_backends_are_read_too(
    redis: RedisServer, stray: Callable[..., Celery], make: Make, tmp_path: Path, backend: str
) -> None:
    shelf = f"{celery_app.__name__}:Shelf"
    app = stray(redis.url, f"file://{tmp_path}" if backend == "file" else shelf)
    service = make("elsewhere", STRAY)
    assert service.batch == (250 if backend == "file" else 1)
    if backend == "file":
        app.backend.store_result("a", {"n": 1}, "SUCCESS")
        app.backend.store_result("b", ValueError("No."), "FAILURE")
    else:
        celery_app.Shelf.records = {
            "a": {"status": "SUCCESS", "result": {"n": 1}},
            "b": {
                "status": "FAILURE",
                "result": {"exc_type": "ValueError", "exc_message": ["No."], "exc_module": "builtins"},
            },
        }
    assert await service.poll(["a", "b", "c"]) == [
        Reading(State.SUCCEEDED, result={"n": 1}),
        Reading(State.FAILED, message="ValueError: No."),
        Reading(State.PENDING, message="Waiting for a Celery worker."),
    ]


async def test_a_record_that_cannot_be_read_spoils_no_other_of_a_backend_that_is_asked_one_by_one(
    redis: RedisServer, stray: Callable[..., Celery], make: Make
) -> None:
    stray(redis.url, f"{celery_app.__name__}:Shelf")
    service = make("elsewhere", STRAY)
    evil = {"status": "FAILURE", "result": {"exc_type": "system", "exc_module": "os", "exc_message": ["ls"]}}
    fine = {"status": "SUCCESS", "result": 1}
    celery_app.Shelf.records = {"a": fine, "b": evil, "c": fine, "d": evil, "e": evil}
    unreadable = Miss("nonsense", "Celery's record of it cannot be read.")
    read = Reading(State.SUCCEEDED, result=1)
    assert await service.poll(["a", "b", "c", "d"]) == [read, unreadable, read, unreadable]
    trouble = Miss("unreachable", "Celery's result backend is in trouble (SecurityError).")
    assert await service.poll(["a", "b", "d", "e"]) == [trouble] * 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"app": "tests.redis.RedisServer"},
            "app: expected the dotted path of a Celery app, got 'tests.redis.RedisServer'",
        ),
        ({"app": "no.such.app"}, "No module named 'no'"),
        ({"name": ""}, "name: expected the name of a task, or a list of such, got ''"),
        ({"name": []}, "name: expected the name of a task"),
        ({"nam": "press"}, "unexpected keyword argument 'nam'"),
        ({"options": {"que": "fast"}}, "options: expected some of .*, got que"),
        ({"options": {"queue": "fast"}}, r"options: no way for press \(QueueNotFound\)"),
        ({"connect_timeout": 0}, "connect_timeout: expected 1 ms or more, got 0"),
        ({"connections": 0}, "Expected a timeout and connections of 1 or more, got 10000 and 0"),
        ({"terminate": "SIGNOTHING"}, "terminate: expected True, False or the name of a signal, got 'SIGNOTHING'"),
    ],
)
def test_what_cannot_work_is_said_at_start_up(
    stray: Callable[..., Celery], options: dict[str, Any], message: str
) -> None:
    stray("redis://127.0.0.1:1/0", "redis://127.0.0.1:1/0", task_create_missing_queues=False)
    declared = {
        "BACKEND": "progrock.services.celery.CeleryService",
        "OPTIONS": {"app": STRAY, "name": "press", **options},
    }
    with (
        override_settings(PROGROCK={"SERVICES": {"celery": declared}}),
        pytest.raises(ImproperlyConfigured, match=rf"SERVICES\['celery'\]: .*{message}"),
    ):
        registry.build("celery")


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (None, "to have a result_backend that anybody can read, got none"),
        ("rpc://", "got rpc://, which answers only the process that asked"),
        ("nonsense://:s3cret@host", r"has a result_backend that Celery refuses \(ModuleNotFoundError\)"),
    ],
)
def test_a_backend_that_nobody_can_ask_is_refused(
    stray: Callable[..., Celery], backend: str | None, message: str
) -> None:
    stray("redis://127.0.0.1:1/0", backend)
    with pytest.raises(ValueError, match=message) as refused:
        CeleryService(STRAY, "press")
    assert "s3cret" not in str(refused.value)


def test_celery_is_imported_only_by_those_who_use_it() -> None:
    code = "import sys, django; django.setup(); import progrock.services, progrock.registry, progrock.consumers.worker"
    code += "; print([name for name in sys.modules if name.partition('.')[0] in ('celery', 'kombu', 'django_tasks')])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
