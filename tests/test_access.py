"""Whose job it is."""

from __future__ import annotations

import pytest
from django.contrib.auth import login
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.test import Client, RequestFactory
from django.utils import timezone

from progrock import registry
from progrock.access import ensure_owner, owner_of_request, owner_of_scope
from progrock.delay import StoreAway
from progrock.models import Job
from progrock.protocol import State

pytestmark = pytest.mark.django_db(transaction=True)


def a_session() -> SessionBase:
    request: HttpRequest = RequestFactory().get("/")
    request.session = SessionStore()
    ensure_owner(request)
    return request.session


async def test_a_user_is_the_same_owner_in_every_session() -> None:
    for session in (a_session(), a_session(), None):
        assert await owner_of_scope({"user": User(pk=7), "session": session}) == "user:7"


async def test_a_session_is_an_owner_and_its_key_is_not_told() -> None:
    session = a_session()
    await session.acreate()
    owner = await owner_of_scope({"user": AnonymousUser(), "session": session})
    assert owner == await owner_of_scope({"session": session})
    assert owner.startswith("session:")
    assert session.session_key
    assert session.session_key not in owner
    assert owner != await owner_of_scope({"session": a_session()})


async def test_who_has_neither_is_an_owner_of_their_own() -> None:
    scopes: tuple[dict[str, object], ...] = ({}, {}, {"session": SessionStore()}, {"user": AnonymousUser()})
    owners = {await owner_of_scope(scope) for scope in scopes}
    assert len(owners) == 4
    assert all(owner.startswith("socket:") for owner in owners)


def test_with_the_schedule_away_a_login_still_takes_the_jobs_along(monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(keys: object) -> int:
        raise StoreAway("away")

    monkeypatch.setattr(registry.store(), "nudge", away)
    request: HttpRequest = RequestFactory().get("/")
    request.session = session = SessionStore()
    ensure_owner(request)
    now = timezone.now()
    job = Job.objects.create(
        service="s", owner=f"session:{session['progrock.owner']}", state=State.PENDING, created=now, changed=now
    )
    user = User.objects.create(username="u")
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    job.refresh_from_db()
    assert job.owner == f"user:{user.pk}"


def test_the_page_makes_a_session_an_owner_and_keeps_it(client: Client) -> None:
    client.get("/")
    token = client.session["progrock.owner"]
    client.get("/")
    assert client.session["progrock.owner"] == token


def test_a_cookie_that_outlived_its_session_is_replaced(client: Client) -> None:
    client.cookies["sessionid"] = "x" * 32
    response = client.get("/")
    assert response.cookies["sessionid"].value != "x" * 32


async def test_a_request_and_a_socket_of_the_same_browser_are_the_same_owner() -> None:
    request: HttpRequest = RequestFactory().get("/")
    request.session = a_session()

    async def nobody() -> AnonymousUser:
        return AnonymousUser()

    request.auser = nobody
    assert await owner_of_request(request) == await owner_of_scope({"session": request.session})
