"""Looks at the Redis of the schedule: whether it answers, keeps what it is given, and has the same time as we."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from ..delay import RedisStore, StoreUnfit
from .finding import Finding, error, ok, warning

CLOCK_MOST = 1.0
"""Seconds that the clocks may be apart."""
CLOCK_WRONG = 60.0
"""The same, from which on signatures with a time in them may be refused."""
FULL = 0.9
"""The part of `maxmemory` from which on it is nearly full."""


async def server(store: RedisStore) -> list[Finding]:
    """Look at each Redis of the store.

    :raises StoreAway: if one does not answer.
    """
    began, start = time.time(), time.monotonic()
    nodes = await store.about()
    took = time.monotonic() - start
    found = [await _fit(store, nodes.values(), took)]
    for name, node in nodes.items():
        of_node = [*_memory(node), _file(node), clock(node, began, took)]
        found += [replace(each, about=f"{each.about} {name}".rstrip()) for each in of_node]
    return found


async def _fit(store: RedisStore, nodes: Iterable[Mapping[str, Any]], took: float) -> Finding:
    try:
        await store.check()
    except StoreUnfit as unfit:
        says, _, remedy = str(unfit).partition(". ")
        return error("redis", f"{says}.", remedy)
    versions = ", ".join(sorted({str(node.get("redis_version", "unknown")) for node in nodes}))
    return ok("redis", f"Answers within {took * 1000:.0f} ms, version {versions}.")


def _memory(node: Mapping[str, Any]) -> Iterator[Finding]:
    policy = str(node.get("maxmemory_policy", "noeviction"))
    used, most = _number(node, "used_memory"), _number(node, "maxmemory")
    if policy.startswith("allkeys"):
        return  # it is not fit, which is told already
    if policy != "noeviction":
        says = f"The maxmemory-policy is {policy}: once it is full, it drops journals and what jobs have reported."
        mend = "CONFIG SET maxmemory-policy noeviction, and write it into its configuration."
        yield warning("redis memory", says, mend)
    elif most and used > FULL * most:
        says = f"{used / most:.0%} of maxmemory is used: once it is full, nothing can be started or settled."
        yield warning("redis memory", says, "Raise maxmemory, or find out what fills it: redis-cli --bigkeys.")
    else:
        yield ok("redis memory", "It drops nothing, and has room.")


def _file(node: Mapping[str, Any]) -> Finding:
    if not _number(node, "aof_enabled"):
        says = "There is no append-only file: a restart forgets the schedule, delayed messages and journals."
        return warning("redis file", says, "CONFIG SET appendonly yes, and write it into its configuration.")
    if "err" in (node.get("aof_last_write_status"), node.get("aof_last_bgrewrite_status")):
        return error("redis file", "The append-only file could not be written.", "See its log; make room on its disk.")
    return ok("redis file", "What it is given is in an append-only file.")


def clock(node: Mapping[str, Any], began: float, took: float) -> Finding:
    """Compare the clocks.

    :param node: what Redis said of itself.
    :param began: when it was asked, by this host's clock, in seconds since 1970.
    :param took: seconds until it had answered.
    """
    there = _number(node, "server_time_usec") / 1e6
    if not there:
        return warning("clock", "Redis does not tell its time.", "Put Redis 7 or newer there, or Valkey.")
    # It was read somewhere on the way.
    apart = max(began - there, there - began - took, 0.0)
    if apart <= CLOCK_MOST:
        return ok("clock", f"This host and Redis are less than {apart + took + 0.001:.3f} s apart.")
    says = f"This host's clock and Redis' are {apart:.0f} s apart: ends, deadlines and signed times look wrong."
    return (error if apart >= CLOCK_WRONG else warning)("clock", says, "Set both by NTP: see chronyc tracking on each.")


def _number(node: Mapping[str, Any], field: str) -> float:
    value = node.get(field, 0)
    return float(value) if isinstance(value, int | float) else 0.0
