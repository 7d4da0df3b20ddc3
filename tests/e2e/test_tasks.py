"""Tasks of Django's framework as jobs, in real processes: a web server, a worker of django-tasks-db, one database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Client, connect
from tests.e2e.server import Command, ServerProcess

WORKER = ["manage.py", "db_worker", "--interval", "0.05", "--no-startup-delay", "--no-reload"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    server = ServerProcess("http://127.0.0.1:1", tmp_path_factory.mktemp("tasks"))
    server.environment["DJANGO_SETTINGS_MODULE"] = "tests.e2e.tasks_settings"
    with server:
        worker = Command(WORKER, server.environment)
        worker.spawn()
        try:
            yield server
        finally:
            worker.kill()
            worker.close()


async def told(client: Client, service: str, params: dict[str, Any]) -> list[dict[str, Any]]:
    """Start a job and return what is told of it, up to its end."""
    job = (await client.ask({"action": "start", "service": service, "params": params}))["job"]
    frames = await client.hear_until(lambda frame: frame.get("job") == job and frame["complete"])
    return [frame for frame in frames if frame.get("job") == job]


async def test_a_task_is_a_job_from_the_browser_to_its_end(project: ServerProcess) -> None:
    client = await connect(project)
    await client.hear()
    ended = (await told(client, "press", {"album": 7, "copies": 2}))[-1]
    assert (ended["state"], ended["result"]) == ("succeeded", {"album": 7, "copies": 2})
    refused = await client.ask({"action": "start", "service": "press", "params": {"record": 7}})
    assert refused["code"] == "invalid_params"
    await client.connection.close()


async def test_a_task_that_runs_is_waited_for_and_one_that_fails_says_why(project: ServerProcess, folder: Path) -> None:
    client = await connect(project)
    await client.hear()
    gate = folder / "open"
    job = (await client.ask({"action": "start", "service": "wait_for", "params": {"path": str(gate)}}))["job"]
    await client.hear_until(lambda frame: frame.get("message") == "A worker is at it.")
    await client.say({"action": "cancel", "job": job})
    await client.hear_until(lambda frame: frame.get("message") == "It cannot be stopped: it is waited for.")
    gate.touch()
    ended = (await client.hear_until(lambda frame: frame.get("job") == job and frame["complete"]))[-1]
    assert (ended["state"], ended["message"]) == ("succeeded", "It was finished before it could be cancelled.")
    ended = (await told(client, "scratch", {}))[-1]
    assert ended["state"] == "failed"
    assert ended["error"] == {"code": "remote", "message": "ValueError: The record is scratched."}
    await client.connection.close()
