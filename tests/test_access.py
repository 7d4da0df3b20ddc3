"""Whose job it is."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.http import HttpRequest
from django.test import Client, RequestFactory

from progrock.access import aowner_of_request, ensure_session, owner_of_scope


def scope(user: object = None, key: str | None = None) -> dict[str, object]:
    return {"user": user, "session": SessionStore(key)}


def test_a_user_is_the_same_owner_in_every_session() -> None:
    user = User(pk=7)
    assert owner_of_scope(scope(user, "a" * 32)) == owner_of_scope(scope(user)) == "user:7"


def test_a_session_is_an_owner_and_its_key_is_not_told() -> None:
    key = "s3cret" * 6
    owner = owner_of_scope(scope(AnonymousUser(), key))
    assert owner == owner_of_scope(scope(None, key))
    assert owner.startswith("session:")
    assert key not in owner
    assert owner != owner_of_scope(scope(None, "t3cret" * 6))


def test_who_has_neither_is_an_owner_of_their_own() -> None:
    owners = {owner_of_scope(each) for each in (scope(), scope(), {}, {})}
    assert len(owners) == 4
    assert all(owner.startswith("socket:") for owner in owners)


@pytest.mark.django_db
def test_the_page_gives_a_session_and_keeps_it(client: Client) -> None:
    client.get("/")
    key = client.session.session_key
    assert key
    client.get("/")
    assert client.session.session_key == key


@pytest.mark.django_db
def test_a_cookie_that_outlived_its_session_is_replaced(client: Client) -> None:
    client.cookies["sessionid"] = "x" * 32
    response = client.get("/")
    assert response.cookies["sessionid"].value != "x" * 32


@pytest.mark.django_db(transaction=True)
async def test_a_request_and_a_socket_of_the_same_browser_are_the_same_owner() -> None:
    request: HttpRequest = RequestFactory().get("/")
    request.session = SessionStore()
    await request.session.acreate()
    ensure_session(request)

    async def nobody() -> AnonymousUser:
        return AnonymousUser()

    request.auser = nobody
    assert await aowner_of_request(request) == owner_of_scope(scope(None, request.session.session_key))
