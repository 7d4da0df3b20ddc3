"""From the URL of a Redis to a client of the running event loop: standalone, behind Sentinel, or a Cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
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
        # Once, for a connection that was closed while it lay idle. More is for the caller, who knows what may be lost.
        "retry": Retry(ExponentialWithJitterBackoff(base=0.05, cap=0.2), 1),
    }


def connector(url: str) -> Connect:
    """Return what makes a client for a URL.

    :param url: `redis://`, `rediss://` or `unix://` as redis-py has them; `redis+sentinel://host:port,…/service/db`;
        `redis+cluster://host:port,…`. User and password of the last two are given as in the first.
    :raises ValueError: if it is none of these.
    """
    scheme = url.partition("://")[0]
    if scheme in _STANDALONE:
        return lambda: Redis.from_pool(
            BlockingConnectionPool.from_url(url, max_connections=_MOST_CONNECTIONS, timeout=_MOST_WAITING, **_options())
        )
    if scheme not in SCHEMES:
        expected = ", ".join(f"{each}://" for each in SCHEMES)
        raise ValueError(f"Expected a URL that starts with one of {expected}, got one with {scheme[:20]!r}.")
    parts = urlsplit(url)
    credentials, _, places = parts.netloc.rpartition("@")
    hosts = [_host(place) for place in places.split(",")]
    options: dict[str, Any] = {**_credentials(credentials), **dict(parse_qsl(parts.query))}
    if scheme == "redis+cluster":
        nodes = [ClusterNode(host, port) for host, port in hosts]
        return lambda: RedisCluster(startup_nodes=nodes, max_connections=_MOST_CONNECTIONS * 4, **_options(), **options)
    service, _, db = parts.path.strip("/").partition("/")
    if not service:
        raise ValueError("Expected redis+sentinel://host:port/service/db, got no service.")
    return lambda: _behind_sentinel(hosts, service, {**options, "db": int(db or 0)})


async def close(client: Client) -> None:
    """Close all connections of a client, also those to the sentinels, which redis-py leaves open."""
    await client.aclose()
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    for sentinel in manager.sentinels if manager else ():
        await sentinel.aclose()


def _behind_sentinel(hosts: list[tuple[str, int]], service: str, options: Mapping[str, Any]) -> Redis:
    # Sentinel's pool cannot block; so many connections are never open at once.
    sentinel = Sentinel(hosts, sentinel_kwargs={"socket_timeout": 3})  # type: ignore[no-untyped-call]
    master: Redis = sentinel.master_for(service, max_connections=_MOST_CONNECTIONS * 4, **_options(), **options)
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
