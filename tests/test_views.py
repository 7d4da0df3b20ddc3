"""The finished file, by HTTP: to its owner and nobody else."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from django.test import AsyncClient, override_settings
from django.utils import timezone

from progrock.access import owner_of_scope
from progrock.models import Job
from progrock.protocol import State
from progrock.services import Elsewhere, File
from progrock.step import Miss

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def service() -> Iterator[None]:
    with override_settings(PROGROCK={"SERVICES": {"scripted": {"BACKEND": "tests.scripted.ScriptedService"}}}):
        yield


async def finished(client: AsyncClient, **fields: Any) -> Job:
    await client.get("/")
    session = await client.asession()
    now = timezone.now()
    kept: dict[str, Any] = {
        "service": "scripted",
        "owner": await owner_of_scope({"session": session}),
        "state": State.SUCCEEDED,
        "remote": "r-1",
        "file": "audio/wav",
        "created": now,
        "changed": now,
        "started": now,
        "finished": now,
    }
    return await Job.objects.acreate(**{**kept, **fields})


async def test_the_owner_gets_it_as_what_it_is(async_client: AsyncClient) -> None:
    job = await finished(async_client)
    response = await async_client.get(f"/prog/jobs/{job.pk}/file")
    assert response.status_code == 200
    assert b"".join([chunk async for chunk in response]) == b"the file of r-1"  # type: ignore[attr-defined]
    assert response.headers["Content-Type"] == "audio/wav"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in response.headers["Content-Security-Policy"]
    assert "private" in response.headers["Cache-Control"]


@pytest.mark.parametrize("change", [{"owner": "user:1"}, {"file": None}])
async def test_what_is_not_there_or_not_theirs_is_not_found(async_client: AsyncClient, change: dict[str, Any]) -> None:
    job = await finished(async_client, **change)
    for pk in (job.pk, uuid.uuid4()):
        assert (await async_client.get(f"/prog/jobs/{pk}/file")).status_code == 404


async def test_without_a_session_nothing_is_found(async_client: AsyncClient) -> None:
    job = await finished(async_client, owner="")
    assert (await AsyncClient().get(f"/prog/jobs/{job.pk}/file")).status_code == 404


async def test_a_service_that_is_gone_is_said(async_client: AsyncClient) -> None:
    job = await finished(async_client, service="removed")
    response = await async_client.get(f"/prog/jobs/{job.pk}/file")
    assert response.status_code == 410
    assert b"not set up here any more" in response.content


async def test_it_is_read_and_not_written(async_client: AsyncClient) -> None:
    job = await finished(async_client)
    assert (await async_client.post(f"/prog/jobs/{job.pk}/file")).status_code == 405


@pytest.mark.parametrize(("code", "status"), [("vanished", 410), ("unreachable", 502)])
async def test_a_file_that_the_service_does_not_give_is_said(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch, code: str, status: int
) -> None:
    async def away(self: object, remote: str, headers: object) -> Miss:
        return Miss(code, "Not now.")

    monkeypatch.setattr("tests.scripted.ScriptedService.open", away)
    job = await finished(async_client)
    response = await async_client.get(f"/prog/jobs/{job.pk}/file")
    assert (response.status_code, response.content) == (status, b"Not now.\n")


async def test_a_part_is_asked_for_and_passed_on(async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, str] = {}

    async def part(self: object, remote: str, headers: dict[str, str]) -> File:
        async def body() -> AsyncGenerator[bytes, None]:
            yield b"ab"

        asked.update(headers)
        return File(206, {"Content-Range": "bytes 0-1/9", "Content-Type": "text/html"}, body())

    monkeypatch.setattr("tests.scripted.ScriptedService.open", part)
    job = await finished(async_client)
    wanted = {"Range": "bytes=0-1", "If-Range": '"e"', "If-None-Match": '"f"', "If-Modified-Since": "now"}
    response = await async_client.get(f"/prog/jobs/{job.pk}/file", headers={**wanted, "X-Other": "1"})
    assert asked == wanted
    assert (response.status_code, response.headers["Content-Range"]) == (206, "bytes 0-1/9")
    assert response.headers["Content-Type"] == "audio/wav"


async def test_what_django_has_bounds_for_is_refused_without_a_traceback(
    async_client: AsyncClient, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    hooked = settings.PROGROCK["SERVICES"]["scripted"] | {
        "HOOK": {"form": "standard", "secrets": ["whsec_" + "c2VjcmV0" * 6]}
    }
    settings.PROGROCK = {"SERVICES": {"scripted": hooked}}
    job = await finished(async_client)
    many = "&".join(["a"] * 1_001)
    assert (await async_client.get(f"/prog/jobs/{job.pk}/file?{many}")).status_code == 400
    assert (await async_client.post(f"/prog/hooks/scripted/?{many}")).status_code == 400
    assert not [record for record in caplog.records if record.exc_info]


async def test_an_owner_has_so_many_open_at_once(async_client: AsyncClient, settings: Any) -> None:
    settings.PROGROCK = settings.PROGROCK | {"MAX_STREAMS": 2}
    job = await finished(async_client)
    url = f"/prog/jobs/{job.pk}/file"
    answers: list[Any] = [await async_client.get(url) for _ in range(2)]
    bodies = [aiter(each) for each in answers]
    for body in bodies:
        await anext(body)
    refused = await async_client.get(url)
    assert (refused.status_code, b"at most 2 open requests" in refused.content) == (429, True)
    for body in bodies:
        assert [chunk async for chunk in body] == [b"r-1"]
    assert (await async_client.get(url)).status_code == 200


@pytest.mark.parametrize(("method", "wanted"), [("HEAD", "bytes=0-1"), ("GET", "bytes=0-1,4-5")])
async def test_what_no_part_can_answer_is_no_part(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch, method: str, wanted: str
) -> None:
    """Several parts would come as multipart/byteranges, and be shown as the type of the file."""
    opened: list[AsyncGenerator[bytes, None]] = []

    async def whole(self: object, remote: str, headers: dict[str, str]) -> File:
        async def body() -> AsyncGenerator[bytes, None]:
            yield b"abc"

        assert "Range" not in headers
        opened.append(body())
        return File(200, {"Content-Length": "3"}, opened[0])

    monkeypatch.setattr("tests.scripted.ScriptedService.open", whole)
    job = await finished(async_client)
    response = await async_client.generic(method, f"/prog/jobs/{job.pk}/file", headers={"Range": wanted})
    assert (response.status_code, response.headers["Content-Length"]) == (200, "3")
    # Of a HEAD nothing is to be read any more.
    assert [chunk async for chunk in opened[0]] == ([] if method == "HEAD" else [b"abc"])


@pytest.mark.parametrize("value", ["bytes=0-1\r\nX: y", "bytes=0-1\x00", "bytes=\xe9", ""])
async def test_a_condition_that_cannot_be_sent_on_is_none(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    asked: list[dict[str, str]] = []

    async def away(self: object, remote: str, headers: dict[str, str]) -> Miss:
        asked.append(headers)
        return Miss("vanished", "Gone.")

    monkeypatch.setattr("tests.scripted.ScriptedService.open", away)
    job = await finished(async_client)
    await async_client.get(f"/prog/jobs/{job.pk}/file", headers={"Range": value})
    assert asked == [{}]


async def test_a_file_that_is_elsewhere_is_gone_for_there(
    async_client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(self: object, remote: str, headers: object) -> Elsewhere:
        return Elsewhere("https://store.example/x?sig=a%2Fb")

    monkeypatch.setattr("tests.scripted.ScriptedService.open", away)
    job = await finished(async_client)
    response = await async_client.get(f"/prog/jobs/{job.pk}/file")
    assert (response.status_code, response.headers["Location"]) == (302, "https://store.example/x?sig=a%2Fb")
    assert (response.headers["Cache-Control"], response.headers["Referrer-Policy"]) == ("no-store", "no-referrer")
