"""How a Redis is reached, by what the settings say of it: over a network or not, with a password, with TLS."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

_TRUE = ("true", "yes", "1")


class Reached(NamedTuple):
    """The way to a Redis.

    :param far: whether a network is on it.
    """

    far: bool
    password: bool
    tls: bool


def reached(host: Any) -> Reached:
    """Return the way to a Redis.

    :param host: a URL as STORE has them, or whatever channels_redis takes as one of its hosts.
    """
    if isinstance(host, str):
        return _by_url(host)
    if isinstance(host, tuple | list):
        return Reached(_far(str(host[0])) if host else True, password=False, tls=False)
    if not isinstance(host, Mapping):
        return Reached(far=True, password=False, tls=False)
    way = _by_url(str(host["address"])) if "address" in host else None
    if way is None:
        places = [str(place[0]) for place in host.get("sentinels", ())] or [str(host.get("host", "localhost"))]
        way = Reached(any(map(_far, places)), password=False, tls=False)
    return Reached(way.far, way.password or bool(host.get("password")), way.tls or bool(host.get("ssl")))


def _by_url(url: str) -> Reached:
    try:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
    except ValueError:
        return Reached(far=True, password=False, tls=False)
    credentials, _, places = parts.netloc.rpartition("@")
    far = parts.scheme != "unix" and any(_far(place) for place in places.split(","))
    password = bool(credentials.partition(":")[2] or query.get("password"))
    tls = parts.scheme == "rediss" or query.get("ssl", [""])[-1].lower() in _TRUE
    return Reached(far, password, tls)


def _far(place: str) -> bool:
    """Return whether a host, with a port or without, is another one."""
    name = place[1:].partition("]")[0] if place.startswith("[") else place
    if name.count(":") == 1:
        name = name.partition(":")[0]
    try:
        return not ip_address(name).is_loopback
    except ValueError:
        return name.lower() not in ("", "localhost")
