"""The presets of services that cannot be run here, against the replies that their documents show."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import pytest
from django.test import AsyncClient

from progrock import jobs, signing
from progrock.protocol import State
from progrock.services import Order, Started
from progrock.step import Miss, Reading
from tests.conftest import until
from tests.remotes.conftest import Declare, Run, end_of
from tests.remotes.looks import look
from tests.services.remote import Remote

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
AZURE = {"code": "ResourceNotFound", "message": "There is no such disk."}


async def started(service: Any, hook: str = "", **params: Any) -> Started:
    """Start a job and return what came."""
    found = await service.start(Order("the-job", service.clean(params), hook))
    assert isinstance(found, Started), found
    return found


async def reading(service: Any, remote: str) -> Reading:
    """Look at one job, which answers."""
    found = await look(service, remote)
    assert isinstance(found, Reading), found
    return found


async def test_azure_async_is_followed_by_its_status_codes(declare: Declare, played: Remote) -> None:
    there = "/v1/operations/7?api-version=2026-01-01"
    played.say("POST /v1/vms/start", status=202, Location=played.url + there, Retry_After="3")
    played.say(f"GET {there}", status=202, Retry_After="17")
    played.say(f"GET {there}", {"id": "vm", "size": 3})
    service = declare(preset="azure-async", base_url=f"{played.url}/v1", start={"call": "POST /vms/start"})
    began = await started(service, size=3)
    assert played.asked[0].json == {"size": 3}
    assert (began.remote, began.reading.again) == ("operations/7?api-version=2026-01-01", 3_000)
    first, last = [await reading(service, began.remote) for _ in range(2)]
    assert (first.state, first.again) == (State.RUNNING, 17_000)
    assert (last.state, last.result) == (State.SUCCEEDED, {"id": "vm", "size": 3})
    assert played.calls[1:] == [f"GET {there}"] * 2


async def test_azure_async_may_end_with_nothing_or_badly(declare: Declare, played: Remote) -> None:
    played.say("GET /operations/7", status=204)
    played.say("GET /operations/7", {"error": AZURE}, 409)
    service = declare(preset="azure-async", base_url=played.url, start={"call": "POST /vms"})
    ended = await reading(service, "operations/7")
    assert (ended.state, ended.result) == (State.SUCCEEDED, None)
    failed = await look(service, "operations/7")
    assert isinstance(failed, Miss)
    assert failed.code == "refused"


async def test_azure_async_never_calls_another_host(declare: Declare, played: Remote) -> None:
    played.say("POST /vms", status=202, Location="https://elsewhere.example/operations/7")
    service = declare(preset="azure-async", base_url=played.url, start={"call": "POST /vms"})
    found = await service.start(Order("the-job", {}))
    assert isinstance(found, Miss)
    assert found.code == "nonsense"
    assert played.calls == ["POST /vms"]


@pytest.mark.parametrize("header", ["Operation-Location", "Azure-AsyncOperation"])
async def test_azure_operation_is_followed_by_its_state(declare: Declare, played: Remote, header: str) -> None:
    there = "/operations/7"
    named: dict[str, Any] = {header: played.url + there}
    played.say("POST /vms", {"id": "vm"}, 202, **named)
    played.say(f"GET {there}", {"id": "7", "status": "NotStarted"})
    played.say(f"GET {there}", {"id": "7", "status": "InProgress", "percentComplete": 40}, Retry_After="5")
    played.say(f"GET {there}", {"id": "7", "status": "Succeeded", "result": {"size": 3}})
    played.say(f"GET {there}", {"id": "7", "status": "Failed", "error": AZURE})
    played.say(f"GET {there}", {"id": "7", "status": "Canceled"})
    start = {"call": "POST /vms", "location": header}
    service = declare(preset="azure-operation", base_url=played.url, start=start)
    remote = (await started(service)).remote
    seen = [await reading(service, remote) for _ in range(5)]
    assert [each.state for each in seen] == [
        State.PENDING,
        State.RUNNING,
        State.SUCCEEDED,
        State.FAILED,
        State.CANCELLED,
    ]
    assert (seen[1].percent, seen[1].again, seen[2].result) == (40, 5_000, {"size": 3})
    assert seen[3].message == "There is no such disk."


async def test_google_lro_is_followed_by_its_name(declare: Declare, played: Remote) -> None:
    name = "projects/p/operations/8"
    played.say("POST /v1/speech:longrunningrecognize", {"name": name})
    running = {"name": name, "metadata": {"@type": "x", "progressPercent": 30}}
    done = {"name": name, "done": True, "response": {"@type": "y", "results": []}}
    played.say(f"GET /v1/{name}", running)
    played.say(f"GET /v1/{name}", done)
    call = "POST /speech:longrunningrecognize"
    service = declare(preset="google-lro", base_url=f"{played.url}/v1", start={"call": call})
    began = await started(service, config={"language": "is"})
    assert played.asked[0].json == {"config": {"language": "is"}}
    assert began.remote == name
    first, last = [await reading(service, name) for _ in range(2)]
    assert (first.state, first.percent) == (State.RUNNING, 30)
    assert (last.state, last.result) == (State.SUCCEEDED, {"@type": "y", "results": []})


async def test_what_is_no_operation_makes_no_sense(declare: Declare, played: Remote) -> None:
    played.say("GET /operations/8", {})
    service = declare(preset="google-lro", base_url=played.url, start={"call": "POST /speech"})
    found = await look(service, "operations/8")
    assert isinstance(found, Miss)
    assert found.code == "nonsense"


@pytest.mark.parametrize(
    ("error", "state"),
    [({"code": 1, "message": "Stopped."}, State.CANCELLED), ({"code": 3, "message": "No sound."}, State.FAILED)],
)
async def test_google_lro_ends_with_an_error(
    declare: Declare, played: Remote, error: dict[str, Any], state: State
) -> None:
    played.say("POST /operations/8:cancel", {})
    played.say("GET /operations/8", {"name": "operations/8", "done": True, "error": error})
    service = declare(preset="google-lro", base_url=played.url, start={"call": "POST /speech"})
    ended = await service.cancel("operations/8")
    assert isinstance(ended, Reading)
    assert (ended.state, ended.message) == (state, error["message"])
    assert played.calls == ["POST /operations/8:cancel", "GET /operations/8"]
    assert (played.asked[0].body, played.asked[0].headers["Content-Length"]) == (b"", "0")


async def test_replicate_is_followed_by_its_predictions(
    declare: Declare, played: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8-secret")
    one = {"id": "ufaw", "status": "starting", "input": {"text": "Alice"}, "output": None, "error": None, "logs": ""}
    played.say("POST /v1/models/acme/hello/predictions", one, 201)
    played.say("GET /v1/predictions/ufaw", {**one, "status": "processing"})
    played.say("GET /v1/predictions/ufaw", {**one, "status": "succeeded", "output": ["hello Alice"]})
    played.say("GET /v1/predictions/ufaw", {**one, "status": "failed", "error": "No memory left."})
    played.say("GET /v1/predictions/ufaw", {**one, "status": "aborted"})
    played.say("POST /v1/predictions/ufaw/cancel", {**one, "status": "canceled"})
    start = {"call": "POST /models/acme/hello/predictions"}
    service = declare(preset="replicate", base_url=f"{played.url}/v1", start=start)
    began = await started(service, text="Alice")
    assert (began.remote, began.reading.state) == ("ufaw", State.PENDING)
    assert played.asked[0].json == {"input": {"text": "Alice"}}
    seen = [await reading(service, "ufaw") for _ in range(4)]
    assert [each.state for each in seen] == [State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED]
    assert (seen[1].result, seen[2].message) == (["hello Alice"], "No memory left.")
    cancelled = await service.cancel("ufaw")
    assert isinstance(cancelled, Reading)
    assert cancelled.state is State.CANCELLED
    assert {each.headers["Authorization"] for each in played.asked} == {"Bearer r8-secret"}


async def test_replicate_is_looked_at_when_it_calls_back(
    run: Run, played: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8-secret")
    monkeypatch.setenv("REPLICATE_HOOK_SECRET", SECRET)
    one = {"id": "ufaw", "status": "processing", "input": {"text": "Alice"}}
    done = {**one, "status": "succeeded", "output": ["hello Alice"]}
    played.say("POST /predictions", one, 201)
    played.say("GET /predictions/ufaw", one)
    played.say("GET /predictions/ufaw", done)
    hook = {"form": "standard", "secrets": ["${REPLICATE_HOOK_SECRET}"], "remote": "id", "net": 60_000}
    await run(hook, preset="replicate", base_url=played.url, start={"call": "POST /predictions"})
    job = (await jobs.astart(owner="me", params={"text": "Alice"})).job

    async def waits() -> bool:
        snapshot = await jobs.aget(job, owner="me")
        return "GET /predictions/ufaw" in played.calls and (snapshot.due or 0) - snapshot.at > 30_000

    await until(waits)
    path = f"/prog/hooks/remote/{job}/"
    assert played.asked[0].json["webhook"] == f"https://us.example{path}"
    body = json.dumps(done).encode()
    signed = signing.sign([signing.key(SECRET)], "msg_1", int(time.time()), body)
    answer = await AsyncClient().post(path, body, content_type="application/json", headers=signed)
    assert answer.status_code == 202
    ended = await end_of(job)
    assert (ended.state, ended.result) == (State.SUCCEEDED, ["hello Alice"])
    assert played.calls.count("GET /predictions/ufaw") == 2


async def test_replicate_is_told_where_to_call_back(
    declare: Declare, played: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8-secret")
    played.say("POST /predictions", {"id": "ufaw", "status": "starting"}, 201)
    start = {"call": "POST /predictions", "json": "{version: 'v1', input: params, webhook: hook}"}
    service = declare(preset="replicate", base_url=played.url, start=start)
    await started(service, "https://us.example/hook", text="Alice")
    service = declare(preset="replicate", base_url=played.url, start={"call": "POST /predictions"})
    await started(service, "https://us.example/hook", text="Alice")
    own, preset = [each.json for each in played.asked]
    assert own == {"version": "v1", "input": {"text": "Alice"}, "webhook": "https://us.example/hook"}
    told = {"webhook": "https://us.example/hook", "webhook_events_filter": ["completed"]}
    assert preset == {"input": {"text": "Alice"}, **told}
