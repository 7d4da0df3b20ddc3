"""System checks: settings that cannot work, or cost more than they must, each with what to write instead."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error
from django.core.exceptions import ImproperlyConfigured
from django.core.management import find_commands, get_commands
from django.utils.module_loading import import_string

from . import registry, sending
from .conf import Conf
from .delay import HAND_OFF
from .reached import reached

IN_MEMORY = "channels.layers.InMemoryChannelLayer"
PUB_SUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
CORE = "channels_redis.core.RedisChannelLayer"
WAIT = 5
"""Seconds that channels_redis waits for a message at a time."""
_HOSTS = '[{"address": "redis://host:port/db", "socket_timeout": 15}]'
_SENTINEL = '[{"sentinels": [("host", 26379)], "master_name": "service", "socket_timeout": 15}]'
_EMBEDDED = {"default": f'{{"BACKEND": "{IN_MEMORY}"}}', registry.WORK_LAYER: f'{{"BACKEND": "{IN_MEMORY}"}}'}
_ON_REDIS = {
    "default": f'{{"BACKEND": "{PUB_SUB}", "CONFIG": {{"hosts": {_HOSTS}}}}}',
    registry.WORK_LAYER: f'{{"BACKEND": "{CORE}", "CONFIG": {{"hosts": {_HOSTS}, "expiry": {HAND_OFF // 1000 - 1}}}}}',
}


def check(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check the settings."""
    try:
        conf = registry.conf()
        for name in conf.services:
            registry.build(name)
            _tell(conf, name)
        registry.hooks()
        registry.rights()
        registry.may_subscribe()
    except ImproperlyConfigured as error:
        return [Error(str(error), id="progrock.E001")]
    return [*_layers(conf), *_commands(conf)]


def check_deploy(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Check what a site that others can reach must not go without: `manage.py check --deploy`."""
    try:
        conf = registry.conf()
    except ImproperlyConfigured:
        return []  # said by the other
    return list(_open_redis(conf))


def _open_redis(conf: Conf) -> Iterator[CheckMessage]:
    """Whoever can write to the Redis decides what our workers do, and can read what they say."""
    ways = {} if conf.embedded else {'PROGROCK["STORE"]': [reached(conf.store)]}
    for alias, layer in getattr(settings, "CHANNEL_LAYERS", {}).items():
        hosts = layer.get("CONFIG", {}).get("hosts", ())
        ways[f'CHANNEL_LAYERS["{alias}"]'] = [reached(host) for host in hosts]
    without = {
        name: [where for where, some in ways.items() if any(each.far and not getattr(each, name) for each in some)]
        for name in ("password", "tls")
    }
    if where := without["password"]:
        says = f"A Redis on another host is used without a password: {', '.join(where)}."
        hint = "Give it one (requirepass, or ACL), and write redis://:password@host:port/db, with rediss:// for TLS."
        yield checks.Warning(says, hint=hint, id="progrock.W005")
    if where := without["tls"]:
        says = f"A Redis on another host is used without TLS: {', '.join(where)}."
        hint = (
            "Write rediss://:password@host:port/db. If the network between is yours alone, as among containers of one"
            " host, silence this."
        )
        yield checks.Warning(says, hint=hint, id="progrock.W006")


def _tell(conf: Conf, name: str) -> None:
    """Make sure that those can be told whom the settings name.

    :raises ImproperlyConfigured: naming the setting that cannot be used.
    """
    for at, each in enumerate(conf.services[name].tell):
        try:
            sending.check(each)
        except ValueError as error:
            raise ImproperlyConfigured(f"PROGROCK: SERVICES[{name!r}]: TELL[{at}]: {error}") from None


def _layers(conf: Conf) -> Iterator[CheckMessage]:
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    for alias, right in (_EMBEDDED if conf.embedded else _ON_REDIS).items():
        hint = f'Write CHANNEL_LAYERS["{alias}"] = {right}.'
        try:
            kinds = kinds_of(layers[alias]["BACKEND"])
        except (KeyError, ImportError) as error:
            says = f"There is no channel layer {alias!r}{f': {error}' if isinstance(error, ImportError) else ''}."
            yield Error(says, hint=hint, id="progrock.E003")
            continue
        config = layers[alias].get("CONFIG", {})
        if conf.embedded:
            yield from _embedded(alias, kinds, hint)
        else:
            yield from _on_redis(alias, kinds, config, hint)
        if kinds & {PUB_SUB, CORE}:
            yield from _hosts(alias, config.get("hosts") or ["redis://localhost:6379"])


def kinds_of(backend: str) -> set[str]:
    """Return the layer's class and those it is made of, by name: whoever adds to one of Channels' keeps its ways."""
    return {f"{each.__module__}.{each.__qualname__}" for each in import_string(backend).__mro__}


def _embedded(alias: str, kinds: set[str], hint: str) -> Iterator[CheckMessage]:
    if kinds & {PUB_SUB, CORE}:
        says = f"The channel layer {alias!r} is a Redis, which embedded mode (STORE memory://) does not need."
        hint += ' Or, to leave embedded mode, PROGROCK["STORE"] = "redis://host:port/db".'
        yield checks.Warning(says, hint=hint, id="progrock.W002")


def _on_redis(alias: str, kinds: set[str], config: Mapping[str, Any], hint: str) -> Iterator[CheckMessage]:
    work = alias == registry.WORK_LAYER
    if IN_MEMORY in kinds:
        says = f"STORE is a Redis, but the channel layer {alias!r} is in memory: nothing in it leaves its process."
        yield Error(says, hint=hint, id="progrock.E004")
    elif work and PUB_SUB in kinds:
        says = f"The channel layer {alias!r} is a pub/sub one: every worker would be sent every entry."
        yield Error(says, hint=hint, id="progrock.E005")
    elif work and CORE in kinds and (expiry := config.get("expiry", 60)) * 1000 >= HAND_OFF:
        says = f"Messages of the channel layer {alias!r} live for {expiry} s, and the leases in them for less."
        hint = f'Write CHANNEL_LAYERS["{alias}"]["CONFIG"]["expiry"] = {HAND_OFF // 1000 - 1}.'
        yield checks.Warning(says, hint=hint, id="progrock.W004")
    elif not work and CORE in kinds:
        says = (
            f"The channel layer {alias!r} costs ten times what the pub/sub one does, and a FLUSHALL empties its groups."
        )
        yield checks.Warning(says, hint=hint, id="progrock.W001")


def _hosts(alias: str, hosts: Sequence[Any]) -> Iterator[CheckMessage]:
    hint = f'Write CHANNEL_LAYERS["{alias}"]["CONFIG"]["hosts"] = {_HOSTS}.'
    # redis-py 8 gives up waiting for anything after 5 s, if nothing else is said.
    default = 5 if int(redis.__version__.partition(".")[0]) >= 8 else None
    forms = [form_of(host) for host in hosts]
    timeouts = [form.get("socket_timeout", default) for form in forms]
    if not all(timeout is None or (isinstance(timeout, int | float) and timeout > WAIT) for timeout in timeouts):
        says = f"Whoever waits on the channel layer {alias!r} would get a TimeoutError after {WAIT} s of silence."
        yield Error(says, hint=hint, id="progrock.E006")
    addresses = [str(form.get("address", "redis://")) for form in forms]
    if not all(address.startswith(("redis://", "rediss://", "unix://")) for address in addresses):
        says = f"The channel layer {alias!r} has an address that is no redis://, rediss:// or unix:// one."
        yield Error(says, hint=f"{hint} Behind Sentinel, {_SENTINEL}.", id="progrock.E007")


def form_of(host: Any) -> Mapping[str, Any]:
    """Return one of the layer's hosts in the one form that has room for everything."""
    if isinstance(host, tuple | list):
        return dict(zip(("host", "port"), host, strict=False))
    return host if isinstance(host, dict) else {"address": host}


def _commands(conf: Conf) -> Iterator[CheckMessage]:
    """Django takes a command from the first app that has it."""
    for name in find_commands(str(Path(__file__).parent / "management")):
        owner = get_commands()[name]
        if owner != "progrock" and (conf.embedded or name != "runserver"):
            says = f"'manage.py {name}' is that of {owner!r}, not of 'progrock'."
            hint = f'In INSTALLED_APPS, write "progrock" before "{owner}".'
            yield checks.Warning(says, hint=hint, id="progrock.W003")
