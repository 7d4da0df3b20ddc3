"""A message to be sent later: the contract of Channels 1's `asgi.delay`, checked where it comes in."""

from __future__ import annotations

import math
import re
import uuid
from typing import Any

import msgspec

from .entry import NewEntry
from .exceptions import InvalidMessage, NewerMessage

CHANNEL = "asgi.delay"
VERSION = 1
"""Of the form in which a store keeps a message."""
DELAY_MOST = 366 * 24 * 3_600_000
"""Milliseconds. What is to be sent later than in a year belongs into a database."""
_CHANNEL_FORM = re.compile(r"[a-zA-Z0-9\-_.]+(![a-zA-Z0-9\-_.]*)?")
_CHANNEL_MOST = 99
_KEY_MOST = 200


def _plain(value: object) -> str:
    """Return a text of a class of its own, as templates make them, as a text."""
    if isinstance(value, str):
        return str.__str__(value)
    raise TypeError(f"no form for {type(value).__name__}")


_encode = msgspec.msgpack.Encoder(enc_hook=_plain).encode
_decode = msgspec.msgpack.Decoder().decode


class Delayed(msgspec.Struct, frozen=True):
    """A message that waits.

    :param channel: where it is to be sent.
    :param content: what is to be sent there.
    :param delay: milliseconds from now.
    :param layer: alias of the channel layer; empty is the one of the relay.
    :param key: its name.
    :param version: of this form; 1 where it is not said.
    """

    channel: str
    content: dict[str, Any]
    delay: int
    layer: str
    key: str
    version: int = VERSION


def check(message: object) -> Delayed:
    """Return a message of the form `{"channel": …, "content": {…}, "delay": …}`, with `layer` and `key` if it has them.

    :raises InvalidMessage: naming what was expected, and what came.
    """
    if not isinstance(message, dict):
        raise InvalidMessage(f"Expected a dict with channel, content and delay, got {_told(message)}.")
    for name in ("channel", "content", "delay"):
        if name not in message:
            raise InvalidMessage(f"Expected channel, content and delay, got no {name}.")
    channel, content, delay = message["channel"], message["content"], message["delay"]
    layer, key = message.get("layer", ""), message.get("key", uuid.uuid4().hex)
    if not isinstance(channel, str) or len(channel) > _CHANNEL_MOST or not _CHANNEL_FORM.fullmatch(channel):
        form = f"ASCII letters, digits, '-', '_', '.' and at most one '!', {_CHANNEL_MOST} at most"
        raise InvalidMessage(f"Expected the channel as a name of {form}, got {_told(channel)}.")
    if not isinstance(content, dict):
        raise InvalidMessage(f"Expected the content as a dict, got {_told(content)}.")
    try:
        _check_content(content)
    except RecursionError:
        raise InvalidMessage("Expected a content that ends, got one that is nested too deeply.") from None
    if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= DELAY_MOST:
        raise InvalidMessage(f"Expected the delay as 0 to {DELAY_MOST} ms (366 days), got {_told(delay)}.")
    if not isinstance(layer, str):
        raise InvalidMessage(f"Expected the layer as the alias of a channel layer, got {_told(layer)}.")
    if not isinstance(key, str) or not 0 < len(key) <= _KEY_MOST:
        raise InvalidMessage(f"Expected the key as a text of 1 to {_KEY_MOST} characters, got {_told(key)}.")
    return Delayed(channel, content, math.ceil(delay), layer, key)


def entry_of(message: Delayed) -> NewEntry:
    """Return the entry of a message.

    :raises InvalidMessage: if its content cannot be carried.
    """
    try:
        return NewEntry(entry_key(message.key), CHANNEL, _encode(message), message.delay)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidMessage(f"Expected a content that MessagePack can carry, got one it cannot: {error}.") from None


def entry_refused(message: object, reason: str) -> NewEntry:
    """Return the entry of what makes no sense, due now: its step sets it aside."""
    try:
        packed = _encode({"refused": reason, "message": message})
    except (TypeError, ValueError, OverflowError, RecursionError):
        packed = _encode({"refused": reason, "message": _told(message)})
    return NewEntry(entry_key(uuid.uuid4().hex), CHANNEL, packed)


def entry_key(key: str) -> str:
    """Return the name of a message's entry: a name of its own, not a job's."""
    return f"{CHANNEL}:{key}"


def unpack(packed: bytes) -> Delayed:
    """Return a message that the store has kept.

    :raises NewerMessage: if it was stored by a version that is newer than this one.
    :raises InvalidMessage: naming what was expected, and what came.
    """
    try:
        message = _decode(packed)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError):
        raise InvalidMessage(f"Expected a message as MessagePack, got {packed[:40]!r}.") from None
    if isinstance(message, dict) and isinstance(message.get("refused"), str):
        raise InvalidMessage(message["refused"])
    version = message.get("version", VERSION) if isinstance(message, dict) else VERSION
    if isinstance(version, int) and version > VERSION:
        raise NewerMessage(f"Expected a message of version {VERSION}, got version {_told(version)}.")
    return check(message)


def _check_content(value: object) -> None:
    """Refuse what would arrive as something else: the encoder makes texts of dates, for one, and layers refuse some."""
    if isinstance(value, dict):
        for name, each in value.items():
            if not isinstance(name, str):
                raise InvalidMessage(f"Expected texts as the keys of the content's dicts, got {_told(name)}.")
            _check_content(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _check_content(each)
    elif not (value is None or isinstance(value, bool | int | float | str | bytes)):
        kinds = "None, bool, int, float, str, bytes, lists and dicts"
        raise InvalidMessage(f"Expected a content of {kinds}, got {_told(value)} in it.")


def _told(value: object) -> str:
    """Return a value as far as it fits into a line."""
    try:
        return ascii(value)[:80]
    except Exception:
        return type(value).__name__
