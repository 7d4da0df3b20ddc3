"""From the URL of a Redis to a client of the running event loop: standalone, behind Sentinel, or a Cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Connection, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff

Client = Redis | RedisCluster
Connect = Callable[[], Client]

_STANDALONE = ("redis", "rediss", "unix")
SCHEMES = (*_STANDALONE, "redis+sentinel", "redis+cluster")

_MOST_CONNECTIONS = 50
_MOST_WAITING = 20
"""Seconds that a command waits for a connection when all are busy."""


def _options() -> dict[str, Any]:
    return {
        "protocol": 2,
        "socket_timeout": 5,
        "socket_connect_timeout": 3,
        "socket_keepalive": True,
        # Finds a peer that is gone without a word before a command does.
        "health_check_interval": 15,
        "retry": _once(),
    }


def _once() -> Retry:
    """Try again once, for a connection that was closed while it lay idle.

    More is for the caller, who knows what may be lost.
    """
    return Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.2), 1)


def connector(url: str) -> Connect:
    """Return what makes a client for a URL.

    :param url: `redis://`, `rediss://` or `unix://` as redis-py has them; `redis+sentinel://host:port,…/service/db`;
        `redis+cluster://host:port,…`. User and password of the last two are given as in the first.
    :raises ValueError: if it is none of these.
    """
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        expected = ", ".join(f"{each}://" for each in SCHEMES)
        raise ValueError(f"Expected a URL that starts with one of {expected}, got one with {scheme[:20]!r}.")
    make = _standalone if scheme in _STANDALONE else _spread
    try:
        connect = make(url)
        connect()  # opens nothing yet
    except TypeError as error:
        raise ValueError(f"Expected options that redis-py knows in the URL: {error}") from None
    return connect


def _standalone(url: str) -> Connect:
    options: dict[str, Any] = {**_options(), **parse_url(url)}
    if "path" in options:
        del options["socket_keepalive"]  # there is no network to a file
    _check(options)
    return lambda: Redis.from_pool(
        BlockingConnectionPool(**{"max_connections": _MOST_CONNECTIONS, "timeout": _MOST_WAITING, **options})
    )


def _spread(url: str) -> Connect:
    parts = urlsplit(url)
    credentials, _, places = parts.netloc.rpartition("@")
    hosts = [_host(place) for place in places.split(",")]
    options: dict[str, Any] = {"max_connections": _MOST_CONNECTIONS * 4, **_options(), **_credentials(credentials)}
    options.update(parse_url(f"redis://?{parts.query}"))
    options["ssl"] = str(options.get("ssl", False)).lower() in ("true", "yes", "1")
    if parts.scheme == "redis+cluster":
        # A node keeps connections: each client needs its own.
        return lambda: RedisCluster(startup_nodes=[ClusterNode(*host) for host in hosts], **options)
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("Expected redis+sentinel://host:port/service/db, got no service.")
    if db:
        options["db"] = int(db)
    _check(options)
    return lambda: _behind_sentinel(hosts, service, options)


def _check(options: Mapping[str, Any]) -> None:
    """Make a connection without opening it.

    :raises TypeError: if redis-py does not know one of the options.
    """
    own = {name: value for name, value in options.items() if name not in ("max_connections", "timeout", "ssl")}
    own.pop("connection_class", Connection)(**own)


class _Master(Redis):
    """Where the sentinels say. Closes the connections to them too, which redis-py leaves to be collected."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        pool: Any = self.connection_pool
        for sentinel in pool.sentinel_manager.sentinels:
            await sentinel.aclose()


def _behind_sentinel(hosts: list[tuple[str, int]], service: str, options: Mapping[str, Any]) -> Redis:
    # Sentinel's pool cannot block; so many connections are never open at once.
    sentinel = Sentinel(hosts, sentinel_kwargs={"socket_timeout": 3, "retry": _once()})  # type: ignore[no-untyped-call]
    master: Redis = sentinel.master_for(service, redis_class=_Master, **options)
    return master


def _host(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"Expected host:port,host:port in the URL, got {place!r}.")
    return host.strip("[]"), int(port)


def _credentials(text: str) -> dict[str, str]:
    username, _, password = text.partition(":")
    found = {"username": unquote(username), "password": unquote(password)}
    return {name: value for name, value in found.items() if value}
