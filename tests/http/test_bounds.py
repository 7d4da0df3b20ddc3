"""What one owner may have of a process, and what remembering it costs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack, aclosing, suppress

import pytest
from django.db import OperationalError

from progrock.exceptions import TooMany
from progrock.http import bounds
from tests.http.conftest import Caller, events, refused


async def test_room_is_given_back_however_it_ends(limit: Callable[..., None]) -> None:
    limit(max_streams=1)
    with suppress(ZeroDivisionError), bounds.room("a"):
        with pytest.raises(TooMany):
            bounds.look("a")
        with pytest.raises(TooMany), bounds.room("a"):
            pass
        raise ZeroDivisionError
    bounds.look("a")
    assert not bounds._open


@pytest.mark.django_db(transaction=True)
async def test_those_of_whom_nobody_is_known_are_bounded_by_their_address(limit: Callable[..., None]) -> None:
    limit(max_streams=1)
    callers = [Caller(), Caller()]
    listening = [await each.get("updates?list=1", accept="text/event-stream") for each in callers * 5]
    assert {each.status_code for each in listening} == {200}
    async with AsyncExitStack() as held:
        for each in listening:
            await anext(await held.enter_async_context(aclosing(events(each))))
        refused(await Caller().get("updates?list=1", accept="text/event-stream"), 429, "too_many")
        refused(await Caller().get("jobs/x/"), 404, "not_found")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["jobs/", "jobs/x/", "jobs/x/stream", "updates?list=1"])
async def test_a_session_that_cannot_be_read_is_said(
    caller: Caller, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async def away(request: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("progrock.caller.owner_of_request", away)
    response = await caller.get(path)
    assert "database" in refused(response, 503, "unavailable")
    assert response["Retry-After"] == "5"
