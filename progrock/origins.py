"""The door for websockets: pages of this site, those it trusts, and whoever has a ticket."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest

from . import tickets
from .delay import trouble
from .exceptions import BadToken, Refused

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Origin = tuple[str, str, int | None]

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?", re.ASCII)
_PORTS = {"http": 80, "https": 443}


class BadOrigin(Refused):
    """A page that may not speak to this site in the name of whoever looks at it."""

    code = "bad_origin"


class OriginGuard:
    """An ASGI application before yours that lets in no socket of other sites' pages.

    A browser sends cookies along whichever page opens a socket, and says in `Origin` which one that is. It must be the
    one that the socket was asked of, or one of `CSRF_TRUSTED_ORIGINS`: scheme, host and port. Who sends none is no
    browser, and needs a ticket, `?ticket=`. All else is answered 403.

    :param application: yours. It finds what a ticket says in its scope, and nothing of it in the query.
    """

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            try:
                scope = await _let_in(scope)
            except Refused as refusal:
                trouble.say(logger, "A websocket is refused: %s", refusal)
                await deny(receive, send)
                return
        await self._application(scope, receive, send)


async def deny(receive: Receive, send: Send) -> None:
    """Refuse a socket at its handshake: 403."""
    await receive()  # websocket.connect
    await send({"type": "websocket.close"})


async def _let_in(scope: Scope) -> Scope:
    """Return the scope, with what its ticket says if it has one.

    :raises Refused: if it may not.
    """
    asked = _Asked(scope)
    origin = asked.META.get("HTTP_ORIGIN")
    if origin is not None:
        _check(origin, asked)
    query = parse_qsl(scope.get("query_string", b"").decode("latin1"), keep_blank_values=True)
    given = [value for name, value in query if name == "ticket"]
    if not given:
        if origin is None:
            raise BadOrigin("Expected an Origin, as browsers send it, or a ticket, got neither.")
        return scope
    if len(given) > 1:
        raise BadToken("Expected one ticket, got several.")
    ticket = await tickets.redeem(given[0])
    rest = urlencode([each for each in query if each[0] != "ticket"]).encode()
    return {**scope, "query_string": rest, tickets.SCOPE: ticket}


def _check(origin: str, asked: _Asked) -> None:
    came, site = _parse(origin), asked.origin()
    if came is None or not (came == site or any(_is_trusted(came, each) for each in settings.CSRF_TRUSTED_ORIGINS)):
        expected = f"{site[0]}://{site[1]}{'' if site[2] == _PORTS.get(site[0]) else f':{site[2]}'}" if site else "none"
        raise BadOrigin(f"Expected the origin {expected}, or one of CSRF_TRUSTED_ORIGINS, got {origin!a:.100}.")


def _parse(text: str) -> Origin | None:
    """Return scheme, host and port; None if it is no origin, as `null` is none."""
    found = _ORIGIN.fullmatch(text.lower())
    if found is None:
        return None
    scheme, host, port = found.groups()
    return scheme, host, int(port) if port else _PORTS.get(scheme)


def _is_trusted(came: Origin, trusted: str) -> bool:
    """Return whether an origin is one of those that an entry of the setting means, as Django reads it."""
    known = _parse(trusted.replace("://*.", "://", 1))
    if known is None or "*" not in trusted:
        return came == known
    (scheme, host, port), (_, domain, _) = came, known
    return (scheme, port) == (known[0], known[2]) and (host == domain or host.endswith(f".{domain}"))


class _Asked(HttpRequest):
    """A handshake as Django sees requests: it knows which headers of proxies are to be believed."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        super().__init__()
        # A server that does not say is asked without TLS: it stands behind a proxy, or gives us no way to tell.
        self._tls = scope.get("scheme") in ("wss", "https")
        self.META.update(SERVER_NAME="unknown", SERVER_PORT="0")
        for name, value in scope.get("headers", ()):
            if b"_" not in name:
                key = f"HTTP_{name.decode('latin1').upper().replace('-', '_')}"
                text = value.decode("latin1")
                # Two of them are none, wherever one is expected.
                self.META[key] = f"{self.META[key]},{text}" if key in self.META else text

    def _get_scheme(self) -> str:
        return "https" if self._tls else "http"

    def origin(self) -> Origin | None:
        """Return the origin that this was asked of; None if that is no host of ours."""
        try:
            return _parse(f"{self.scheme}://{self.get_host()}")
        except DisallowedHost:
            return None
