"""One POST to a URL that somebody else chose: to public addresses only, bounded, and deaf to what comes back."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from functools import partial
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from .aside import Aside, Full

TIMEOUT = 10.0
"""Seconds for all of it, from the look-up of the name to the status line."""
_REFUSED = "not a public address"
_names = Aside(128)
_NAT64 = IPv6Network("64:ff9b::/96")


class NotPublic(OSError):
    """The name leads to an address that is not public."""


class Answer(NamedTuple):
    """What came back: the status, and the header `Retry-After`, if there was one."""

    status: int
    retry_after: str | None


async def post(url: str, body: bytes, headers: Mapping[str, str], *, anywhere: bool) -> Answer:
    """Send, and read no more than the head of the answer. Redirects are not followed.

    :param anywhere: whether the address need not be public.
    :raises NotPublic: if it must be, and is not. This is asked of the very address that the connection goes to: what
        the name leads to the next time does not matter.
    :raises TimeoutError: if it takes longer than :data:`TIMEOUT`.
    :raises aiohttp.ClientError: if there is no answer that is HTTP.
    :raises OSError: if nobody can be reached.
    """
    # Used once: the addressees are many and far between, and none shall meet the connection of another.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=_Resolver(),
            socket_factory=None if anywhere else _public_socket,
            use_dns_cache=False,
            force_close=True,
        ),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    ) as session:
        try:
            async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                answer = Answer(response.status, response.headers.get("Retry-After"))
                response.close()
                return answer
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, NotPublic):
                raise error.os_error from None
            raise


def public(host: str) -> bool | None:
    """Return whether an address is one of the public internet; None if it is a name."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return _public(address)


def _public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inside = IPv4Address(int(address) & 0xFFFFFFFF)
        if inside is not None:
            return _public(inside)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


class _Resolver(AbstractResolver):
    """Looks names up beside everything else that does: whose name servers are slow must not hold up the others."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        try:
            found = await _names.run(partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM))
        except Full:
            raise OSError("too many names are being looked up") from None
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """It keeps nothing."""


def _public_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """Return a socket for an address that is about to be connected to."""
    family, kind, protocol, _, place = address
    # Not in the resolver: aiohttp asks it for no host that looks like an address to it, be it one to us or not.
    if public(str(place[0])) is not True:
        raise NotPublic(_REFUSED)
    return socket.socket(family, kind, protocol)
