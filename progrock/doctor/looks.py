"""Asks all that the doctor looks at, side by side, each for a bounded time: what hangs is one line."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Coroutine, Mapping
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError

from .. import registry
from ..aside import Aside
from ..delay import RedisStore, StoreAway
from . import host, layers, rows
from .finding import Finding, error, ok, warning
from .schedule import schedule
from .server import server

LIMIT = 2.0
"""Seconds that whatever is asked has for its answer."""
CHECKS_LIMIT = 10.0
"""The same for the system checks: they wait for nobody, and import all of the site on a busy host."""
_END = 0.3
"""Seconds that what is stopped has to let go of its connections."""
_PLACES = 8
_NAMES = 50
_LAYERS = ("default", registry.WORK_LAYER)

_REDIS = "See that its Redis runs, and that this host may connect to it."
_DATABASE = "See that the database runs, that this host may connect to it, and that manage.py migrate has run."
_REMEDIES = {"migrations": _DATABASE, "deliveries": _DATABASE, "jobs": _DATABASE, "settings": "See manage.py check."}

Look = Coroutine[Any, Any, list[Finding]]


class _Loop(asyncio.SelectorEventLoop):
    """An event loop that does not wait for name servers when it ends, as others do."""

    def __init__(self) -> None:
        super().__init__()
        self._aside = Aside(_NAMES)

    async def getaddrinfo(self, *args: Any, **kwargs: Any) -> Any:
        return await self._aside.run(lambda: socket.getaddrinfo(*args, **kwargs))


def examine() -> list[Finding]:
    """Look at the running system.

    :returns: what was found, in a fixed order.
    """
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(_examine())


async def _examine() -> list[Finding]:
    aside = Aside(_PLACES)
    checking = asyncio.ensure_future(_within("settings", host.settings(aside), CHECKS_LIMIT))
    found = [*await _system(aside), host.daphne()]
    return [*found, *await checking]


async def _system(aside: Aside) -> list[Finding]:
    try:
        conf = registry.conf()
    except ImproperlyConfigured:
        # The system checks say why.
        return await _each({"migrations": rows.migrations(aside)})
    if conf.embedded:
        looks = {"migrations": rows.migrations(aside), "deliveries": rows.deliveries(aside, None)}
        return [_embedded(), *await _each({**_layers(), **looks})]
    try:
        store = RedisStore.from_url(conf.store, shards=conf.store_shards)
    except ValueError as wrong:
        return [error("redis", str(wrong), "Write another PROGROCK['STORE'].")]
    try:
        return await _with_store(aside, store, conf.store)
    finally:
        await asyncio.wait([asyncio.ensure_future(store.aclose())], timeout=_END)


async def _with_store(aside: Aside, store: RedisStore, url: str) -> list[Finding]:
    looked = await _each({"redis": server(store), "migrations": rows.migrations(aside)})
    # One that answers has told its time. Of another, one line says enough: nothing else in it can be asked for.
    answers = any(each.about.startswith("clock") for each in looked)
    looks = _layers(but="" if answers else url)
    if answers:
        looks |= {"schedule": schedule(store), "jobs": rows.jobs(aside, store)}
    looks["deliveries"] = rows.deliveries(aside, store if answers else None)
    return [*looked, *await _each(looks)]


def _layers(but: str = "") -> dict[str, Look]:
    """Return looks at the layers, except at those on one Redis alone."""
    return {f"layer {alias}": layers.layer(alias) for alias in _LAYERS if not but or not layers.only_on(alias, but)}


def _embedded() -> Finding:
    says = "PROGROCK['STORE'] is memory://: it is inside the web server, and cannot be seen from here."
    if settings.DEBUG:
        return ok("schedule", says)
    return warning("schedule", says, "For production, set it to the URL of a Redis.")


async def _each(looks: Mapping[str, Look]) -> list[Finding]:
    """Take looks side by side, and return what they find, in their order."""
    found = await asyncio.gather(*(_within(about, look, LIMIT) for about, look in looks.items()))
    return [each for some in found for each in some]


async def _within(about: str, look: Look, limit: float) -> list[Finding]:
    """Return what a look finds; that it does not come back, or raises, is a finding too.

    :param limit: seconds that it has.
    """
    looking = asyncio.ensure_future(look)
    # Not wait_for: that waits for what it has cancelled, which may hang in letting go.
    if not (await asyncio.wait([looking], timeout=limit))[0]:
        looking.cancel()
        await asyncio.wait([looking], timeout=_END)
        return [error(about, f"Does not answer within {limit:g} s.", _REMEDIES.get(about, _REDIS))]
    try:
        return looking.result()
    except StoreAway as trouble:
        return [error(about, f"Does not answer: {trouble}", _REDIS)]
    except DatabaseError as trouble:
        return [error(about, f"The database refuses: {trouble}", _DATABASE)]
    except Exception as trouble:
        return [error(about, f"{type(trouble).__name__}: {trouble}", _REMEDIES.get(about, _REDIS))]
