"""What a proxy says of the client it speaks for, believed of the proxies that are named and of nobody else."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, MutableMapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured

FILE = "unix"
"""Stands for whoever connects over a socket on a file."""
_PREFIX = b"x-forwarded-"
_HOPS_MOST = 20

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(names: Iterable[str]) -> list[Network]:
    """Return addresses and networks as such; the word `unix` is passed over.

    :raises ImproperlyConfigured: naming what is none.
    """
    found = []
    for name in names:
        if name == FILE:
            continue
        try:
            found.append(ipaddress.ip_network(name))
        except ValueError as error:
            raise ImproperlyConfigured(f"TRUSTED_PROXIES: expected addresses, networks or 'unix': {error}") from None
    return found


class TrustedProxies:
    """An ASGI application behind proxies.

    A proxy adds the address of whoever it was asked by to the end of `X-Forwarded-For`. So the client is the last of
    them that is no proxy of ours: what stands before, the client may have made up. From others, no `X-Forwarded-`
    header gets through, so that `SECURE_PROXY_SSL_HEADER` cannot be forged.

    :param trusted: addresses and networks of the proxies, as text; `unix` is whoever connects over a file.
    """

    def __init__(self, app: Any, trusted: Iterable[str]) -> None:
        self._app = app
        names = list(trusted)
        self._networks = networks(names)
        self._file = FILE in names

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if "headers" in scope:
            scope = self._seen(scope)
        await self._app(scope, receive, send)

    def _seen(self, scope: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        address = str((scope.get("client") or [""])[0])
        headers = list(scope["headers"])
        if not self._trusts(address):
            kept = [(name, value) for name, value in headers if not name.lower().startswith(_PREFIX)]
            return scope if len(kept) == len(headers) else {**scope, "headers": kept}
        said = b",".join(value for name, value in headers if name.lower() == b"x-forwarded-for")
        for hop in said.decode("latin-1").rsplit(",", _HOPS_MOST)[::-1][:_HOPS_MOST]:
            client = _address(hop)
            if client is None:
                break
            address = client
            if not self._trusts(client):
                break
        return {**scope, "client": [address, 0]}

    def _trusts(self, address: str) -> bool:
        if not address:
            return self._file
        try:
            known = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(known, ipaddress.IPv6Address) and known.ipv4_mapped:
            known = known.ipv4_mapped
        return any(known in network for network in self._networks)


def _address(hop: str) -> str | None:
    """Return the address in a hop, which may have a port behind it; None if there is none."""
    text = hop.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
