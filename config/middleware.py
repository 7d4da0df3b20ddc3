"""The Content-Security-Policy: nothing but our own files, nothing inline."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; "
    "media-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)


@sync_and_async_middleware
def content_security_policy(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Set the policy on every response that has none of its own."""

    def guard(response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    async def on_async(request: HttpRequest) -> HttpResponseBase:
        return guard(await cast("Awaitable[HttpResponseBase]", get_response(request)))

    def on_sync(request: HttpRequest) -> HttpResponseBase:
        return guard(get_response(request))

    return on_async if iscoroutinefunction(get_response) else on_sync
