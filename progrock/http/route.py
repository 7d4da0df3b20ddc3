"""A route: what a URL does for each method that it has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from django.db import Error as DatabaseTrouble
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

from ..delay import StoreAway, trouble
from ..exceptions import Refused, Unavailable
from .problem import NoSuchMethod, problem

logger = logging.getLogger(__name__)

View = Callable[..., Coroutine[Any, Any, HttpResponseBase]]


def route(**methods: View) -> View:
    """Return the view of a URL; whatever its methods refuse is answered with a problem.

    :param methods: what is done, by the method's name. GET does for HEAD too.
    """
    known = {*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}
    allow = ", ".join(sorted(known))

    async def view(request: HttpRequest, **parts: str) -> HttpResponseBase:
        if request.method == "OPTIONS":
            return HttpResponse(status=204, headers={"Allow": allow})
        method = "GET" if request.method == "HEAD" else str(request.method)
        try:
            if method not in methods:
                raise NoSuchMethod(f"Expected one of the methods {allow}, got {method!a:.40}.")
            response = await methods[method](request, **parts)
        except NoSuchMethod as refusal:
            response = await problem(request, refusal, {"Allow": allow})
        except Refused as refusal:
            response = await problem(request, refusal)
        except (DatabaseTrouble, StoreAway) as error:
            # A session is read, or made, where nobody says it in our words.
            trouble.say(logger, "A request is refused: %r", error)
            response = await problem(request, Unavailable("Expected a database that answers; it does not."))
        except Exception:
            logger.exception("A request could not be answered: %a %a", request.method, request.path)
            response = await problem(request, Unavailable("Something went wrong on our side. Try again later."))
        # What is somebody's own is in no cache but theirs, and there only until it is asked for again.
        response.headers.setdefault("Cache-Control", "private, no-cache")
        # What a service has said is in it, and is not for a browser to guess at.
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        patch_vary_headers(response, ["Accept", "Cookie"])
        return response

    return view
