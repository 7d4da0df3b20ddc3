"""The one place where settings become objects: the store, the services, the journals, the work layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, cast
from urllib.parse import quote, urlencode

from channels.layers import get_channel_layer
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.utils.module_loading import import_string

from .conf import BUILT_IN, Conf, Limit, parse
from .counts import OTHER
from .delay import DelayStore, Lease, MemoryStore, RedisStore
from .delay.entry import to_channel
from .delay.loops import PerLoop
from .delay.memory import wall_clock
from .delay.scripts import Scripts
from .exceptions import UnknownService
from .hooks import Hook
from .inbox import Inbox, MemoryInbox, RedisInbox
from .journal import Journal, MemoryJournal, RedisJournal
from .politeness import Audience, Limits, MemoryAudience, MemoryLimits, RedisAudience, RedisLimits, scripts
from .services import Service
from .step import Policy

CHANNEL = "prog-rocker"
"""Where starts are sent, and whose readers take the steps."""
WORK_LAYER = "work"
OWNERS = "progrock.rights.Owners"
"""The class of rights that lets each do all with their own."""

clock: Callable[[], int] | None = None
"""The time of a store in memory, in microseconds, when a test has it in its hands; see :mod:`progrock.testing`."""


@cache
def conf() -> Conf:
    """Return the settings.

    :raises ImproperlyConfigured: if they cannot be used.
    """
    return parse(getattr(settings, "PROGROCK", {}))


@cache
def store() -> DelayStore:
    """Return the schedule: one for the process."""
    return MemoryStore(clock) if conf().embedded else RedisStore.from_url(conf().store, shards=conf().store_shards)


@PerLoop
def _services() -> dict[str, Service]:
    """Return the adapters, which keep connections, by the names of their services."""
    return {}


def service(name: str) -> Service:
    """Return the adapter of a service for the running event loop.

    :raises UnknownService: if there is none of that name.
    """
    known = conf().services
    if name not in known:
        names = ", ".join(repr(each) for each in sorted(known.keys() - BUILT_IN)) or "none"
        raise UnknownService(f"Expected one of the services {names}, got {name!r}.")
    mine = _services()
    if name not in mine:
        mine[name] = build(name)
    return mine[name]


def label(name: str) -> str:
    """Return what stands for a service in what is counted: its name if it is in the settings."""
    return name if name in conf().services else OTHER


def build(name: str) -> Service:
    """Return a new adapter, as its settings say.

    :raises ImproperlyConfigured: naming the setting that cannot be used.
    """
    declared = conf().services[name]
    try:
        made = import_string(declared.backend)(**declared.options)
    except (ImportError, TypeError) as error:
        raise ImproperlyConfigured(f"PROGROCK: SERVICES[{name!r}]: {error}") from error
    except ValueError as error:
        # Of this, the text says all; its frames have credentials in them, and pages for debugging show frames.
        raise ImproperlyConfigured(f"PROGROCK: SERVICES[{name!r}]: {error}") from None
    if not isinstance(made, Service):
        raise ImproperlyConfigured(f"PROGROCK: SERVICES[{name!r}]: {declared.backend} is no Service.")
    return made


def policy(name: str) -> Policy:
    """Return how to look at the jobs of a service; of one that is gone, the default."""
    declared = conf().services.get(name)
    return declared.policy if declared else Policy()


@cache
def hooks() -> Mapping[str, Hook]:
    """Return how services call back, by name: those that do.

    :raises ImproperlyConfigured: naming the setting that cannot be used.
    """
    made = {}
    for name, declared in conf().services.items():
        if declared.hook is None:
            continue
        try:
            if "/" in name or not name.strip("."):
                raise ValueError("expected a name that can be a part of a URL, without a slash")
            made[name] = Hook(declared.hook)
        except ValueError as error:
            raise ImproperlyConfigured(f"PROGROCK: SERVICES[{name!r}]: {error}") from None
    return made


def hook_url(name: str, job: str) -> str:
    """Return the URL that a service is told to call when there is something to see of a job; empty if it is not."""
    hook, public = hooks().get(name), conf().public_url
    if hook is None or not public:
        return ""
    query = f"?{urlencode(hook.query)}" if hook.query else ""
    return f"{public.rstrip('/')}/hooks/{quote(name, safe='')}/{job}/{query}"


def limit(name: str) -> Limit | None:
    """Return how many calls a service gets, None if any number."""
    declared = conf().services.get(name)
    return declared.limits if declared else None


@cache
def _polite() -> Scripts:
    limited = [name for name, each in conf().services.items() if each.limits is not None]
    return scripts(conf().store, limited)


@cache
def limits() -> Limits:
    """Return the limits: those of all workers together."""
    return MemoryLimits(clock or wall_clock()) if conf().embedded else RedisLimits(_polite())


@cache
def audience() -> Audience:
    """Return who is watched, as all web processes have it together."""
    return MemoryAudience(clock or wall_clock()) if conf().embedded else RedisAudience(_polite())


_once: dict[str, int] = {}


async def once(name: str, duration: int) -> bool:
    """Return whether this is the first time that it is asked of a name, by any process.

    :param duration: milliseconds for which that is remembered.
    :raises StoreAway: if Redis does not answer.
    """
    if not conf().embedded:
        return await _polite().command("SET", f"progrock:once:{name}", "1", "NX", "PX", duration) is not None
    now = (clock or wall_clock())()
    for other in [each for each, until in _once.items() if until <= now]:
        del _once[other]
    first = name not in _once
    _once.setdefault(name, now + duration * 1_000)
    return first


async def remembered(name: str) -> bool:
    """Return whether :func:`once` was asked of a name, and that is still remembered.

    :raises StoreAway: if Redis does not answer.
    """
    if not conf().embedded:
        return bool(await _polite().command("EXISTS", f"progrock:once:{name}"))
    return _once.get(name, 0) > (clock or wall_clock())()


@cache
def journal() -> Journal:
    """Return the journals of all jobs."""
    most, keep = conf().journal_most, conf().journal_keep * 1000
    if conf().embedded:
        return MemoryJournal(clock or wall_clock(), most, keep)
    return RedisJournal(conf().store, most, keep)


@cache
def inbox() -> Inbox:
    """Return what own code has said of its jobs."""
    if conf().embedded:
        return MemoryInbox(clock or wall_clock(), conf().journal_most)
    return RedisInbox(conf().store, conf().journal_most)


@cache
def counts_watchers() -> bool:
    """Return whether a policy makes a difference between jobs that are watched and those that are not."""
    return any(each.policy.unwatched for each in conf().services.values())


@cache
def rights() -> Any:
    """Return what says who may what, a :class:`~progrock.rights.Rights`: one for the process.

    :raises ImproperlyConfigured: if it is not there, or no such thing.
    """
    path = conf().rights
    try:
        base = import_string("progrock.rights.Rights")
        made = import_string(path)
        if not (isinstance(made, type) and issubclass(made, base)):
            raise TypeError(f"expected a class that is a progrock.rights.Rights, got {path}")
        return made()
    except (ImportError, TypeError) as error:
        raise ImproperlyConfigured(f"PROGROCK: RIGHTS: {error}") from error


@cache
def may_subscribe() -> Callable[..., Any] | None:
    """Return what says who may subscribe to which channel; None if nobody may to any.

    :raises ImproperlyConfigured: if it is not there.
    """
    path = conf().may_subscribe
    if not path:
        return None
    try:
        function = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"PROGROCK: MAY_SUBSCRIBE: {error}") from error
    if not callable(function):
        raise ImproperlyConfigured(f"PROGROCK: MAY_SUBSCRIBE: expected a function, got {path}.")
    return cast("Callable[..., Any]", function)


async def hand_over(leases: Sequence[Lease]) -> None:
    """Send fresh entries straight to the workers; what gets lost here comes due after its hand-off lease."""
    await get_channel_layer(WORK_LAYER).send(CHANNEL, to_channel(leases))


async def aclose() -> None:
    """Let go of the running loop's connections."""
    for each in (_services.pop() or {}).values():
        await each.aclose()
    await store().aclose()
    await journal().aclose()
    await inbox().aclose()
    if not conf().embedded:
        await _polite().aclose()


def forget() -> None:
    """Forget what was made from the settings."""
    for each in (conf, store, hooks, _polite, limits, audience, journal, inbox, counts_watchers, rights, may_subscribe):
        each.cache_clear()
    _services.clear()
    _once.clear()


def _forget(*, setting: str, **kwargs: Any) -> None:
    if setting == "PROGROCK":
        forget()


setting_changed.connect(_forget)
