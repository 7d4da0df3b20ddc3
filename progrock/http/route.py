"""A route: what a URL does for each method that it has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import Error as DatabaseTrouble
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from .. import logs, tracing
from ..delay import StoreAway, trouble
from ..exceptions import Invalid, Refused, Unavailable
from .problem import NoSuchMethod, problem

logger = logging.getLogger(__name__)

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]

_PLAIN = ("job", "service")
"""The parts of a URL that may be logged: any other may be a token."""


def route(**methods: View) -> View:
    """Return the view of a URL; whatever its methods refuse is answered with a problem.

    :param methods: what is done, by the method's name. GET does for HEAD too.
    """
    known = {*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}
    allow = ", ".join(sorted(known))

    async def view(request: HttpRequest, **parts: str) -> HttpResponseBase:
        with logs.about(**{name: parts[name] for name in _PLAIN if name in parts}):
            return await answered(request, parts)

    async def answered(request: HttpRequest, parts: dict[str, str]) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return HttpResponse(status=204, headers={"Allow": allow})
        method = "GET" if request.method == "HEAD" else str(request.method)
        said = False
        try:
            if method not in methods:
                raise NoSuchMethod(f"Expected one of the methods {allow}, got {method!a:.40}.")
            response = await _answer(methods[method], method, request, parts)
        except NoSuchMethod as refusal:
            response = await problem(request, refusal, {"Allow": allow})
        except Refused as refusal:
            response = await problem(request, refusal)
        except SuspiciousOperation as error:
            # Django's own bounds, such as a thousand fields in a query: whoever likes goes beyond them.
            words = f"Expected a request within this site's bounds, got one beyond: {type(error).__name__}."
            response = await problem(request, Invalid(words))
        except (DatabaseTrouble, StoreAway) as error:
            # A session is read, or made, where nobody says it in our words.
            said = True
            trouble.say(logger, "A request is refused: %r", error)
            response = await problem(request, Unavailable("Expected a database that answers; it does not."))
        except Exception:
            said = True
            logger.exception("A request could not be answered: %a %s", request.method, _route(request))
            response = await problem(request, Unavailable("Something went wrong on our side. Try again later."))
        if not parts.keys() <= set(_PLAIN) and response.status_code >= HTTPStatus.BAD_REQUEST:
            _log_without_path(request, response, said=said)
        # What is somebody's own is in no cache but theirs, and there only until it is asked for again.
        response.headers.setdefault("Cache-Control", "private, no-cache")
        # What a service has said is in it, and is not for a browser to guess at.
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        patch_vary_headers(response, ["Accept", "Cookie"])
        return response

    return view


async def _answer(ask: View, method: str, request: HttpRequest, parts: dict[str, str]) -> HttpResponseBase:
    # Who only looks has no part in what becomes of a job.
    if method != "POST":
        return await ask(request, **parts)
    where = _route(request)
    with tracing.serving(f"{method} {where}", {"http.request.method": method, "http.route": where}):
        return await ask(request, **parts)


def _log_without_path(request: HttpRequest, response: HttpResponseBase, *, said: bool) -> None:
    """Log an answer as Django would, which writes the path of each that refuses something, and keep it from doing so.

    :param said: whether there is a line of ours already.
    """
    # There is no other way to tell Django.
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001
    if not said:
        level = logging.ERROR if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING
        logger.log(level, "%s: %a %s", response.reason_phrase, request.method, _route(request))


def _route(request: HttpRequest) -> str:
    """Return the route, and not the path: there may be a token in that."""
    return request.resolver_match.route if request.resolver_match else ""
