"""For whom tasks are queued: said around the code that queues them, or by the middleware for each request."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import msgspec
from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.utils.decorators import sync_and_async_middleware
from msgspec.structs import replace

Call = Callable[[str, tuple[Any, ...], Mapping[str, Any]], Any]
"""Takes a task's name, args and kwargs."""


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is said of a job when its task is queued.

    :param owner: whose job it is.
    :param title: what people see; empty is the task's name.
    :param deadline: milliseconds that it may take.
    :param tell: who is told when it ends.
    """

    owner: str
    title: str = ""
    deadline: int | None = None
    tell: Sequence[Mapping[str, Any]] = ()


class _Said(msgspec.Struct, frozen=True):
    owner: Any
    title: str = ""
    deadline: int | None = None
    tell: Sequence[Mapping[str, Any]] = ()


_said: ContextVar[_Said | None] = ContextVar("progrock.owned", default=None)


@contextmanager
def owned_by(
    owner: Any, *, title: str = "", deadline: int | None = None, tell: Sequence[Mapping[str, Any]] = ()
) -> Iterator[None]:
    """Have the tasks that are queued in this block be jobs of an owner's: `with owned_by(request.user): work.delay()`.

    :param owner: a user, a request, an owner as text, or None: nobody, and the tasks are not tracked.
    :param title: what people see; empty is the task's name.
    :param deadline: milliseconds that they may take, the wait for their turn included.
    :param tell: who is told when one ends, as :func:`progrock.jobs.start` takes it.
    """
    token = _said.set(_Said(owner, title, deadline, tell))
    try:
        yield
    finally:
        _said.reset(token)


@sync_and_async_middleware
def owned_by_request(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware that has the tasks which a view queues be jobs of whoever asked. After sessions and users."""
    if iscoroutinefunction(get_response):

        async def later(request: HttpRequest) -> Any:
            with owned_by(request):
                return await get_response(request)

        return later

    def at_once(request: HttpRequest) -> Any:
        with owned_by(request):
            return get_response(request)

    return at_once


def terms_of(
    call: tuple[str, tuple[Any, ...], Mapping[str, Any]],
    *,
    given: Terms | None = None,
    inherited: str = "",
    owner: Call | None = None,
    title: Call | None = None,
) -> Terms | None:
    """Return the terms on which a task is queued here; None if it is nobody's, and not tracked.

    :param call: the task's name, args and kwargs.
    :param given: what comes with the task itself.
    :param inherited: the owner of the task that queues it.
    :param owner: returns whose the task is, if nobody else says so.
    :param title: returns what people see; without, it is made of the task's name.
    :raises Invalid: if the owner is none.
    """
    # Whoever makes a Celery app imports this before Django is set up.
    from ..access import owner_text

    terms = given
    if terms is None and (said := _said.get()):
        terms = _terms_said(said)
    elif terms is None:
        whose = inherited or (owner and owner(*call))
        terms = Terms(owner_text(whose)) if whose else None
    if terms is None or terms.title:
        return terms
    return replace(terms, title=str(title(*call)) if title else _title_of(call[0]))


def _terms_said(known: _Said) -> Terms | None:
    """Return what was said around the code; a visitor who is not logged in owns by the session, made if need be."""
    from ..access import ensure_owner, owner_of, owner_text

    if known.owner is None:
        return None
    if isinstance(known.owner, HttpRequest) and owner_of(known.owner) is None:
        if not hasattr(known.owner, "session"):
            return None
        ensure_owner(known.owner)
    return Terms(owner_text(known.owner), known.title, known.deadline, known.tell)


def _title_of(name: str) -> str:
    """Return the name of a task as a title: what comes last in it, in words."""
    return name.rpartition(".")[2].replace("_", " ").strip().capitalize()
