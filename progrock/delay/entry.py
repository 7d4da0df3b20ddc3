"""The values that go in and out of a delay store, and their form on the channel layer.

Times are whole microseconds of the store's clock, delays and durations whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

LEASES = "delay.leases"
"""The type of the channel-layer message that carries a batch of leases."""
DELAY_MOST = 10**12
"""Milliseconds, some thirty years: due times stay whole numbers, in Redis too."""
_ATTEMPT_MOST = 10**9
_REASON_MOST = 500


def _check_delay(delay: object) -> None:
    if not isinstance(delay, int) or not 0 <= delay <= DELAY_MOST:
        raise ValueError(f"Expected the delay as whole milliseconds from 0 to {DELAY_MOST}, got {delay!a:.40}.")


class NewEntry(msgspec.Struct, frozen=True):
    """Something to be looked at once, `delay` from now, and then as its consumer says.

    :param key: the entry's name; a store holds at most one entry of a name.
    :param channel: the channel whose readers may have it.
    :param message: what the consumer gets; the store does not look inside.
    :param delay: milliseconds from now; 0 is due at once.
    """

    key: str
    channel: str
    message: bytes
    delay: int = 0

    def __post_init__(self) -> None:
        _check_delay(self.delay)
        if not self.channel or " " in self.channel:
            raise ValueError(f"Expected the channel as a name without spaces, got {self.channel!a:.40}.")
        if not isinstance(self.message, bytes):
            raise TypeError(f"Expected the message as bytes, got {type(self.message).__name__}.")


class Entry(msgspec.Struct, frozen=True):
    """A stored entry as it stands now.

    :param due: when it should be sent, or, while held, when the hold ends; None if it is dead.
    :param held: whether a lease on it has not ended yet.
    :param attempt: the number of the next look, or of the one going on; see :class:`Lease`.
    :param reason: why it is dead.
    :param stale: whether its message may be overtaken: somebody asked for a look, or a look was lost with its reader.
    """

    key: str
    channel: str
    message: bytes
    due: int | None
    held: bool
    attempt: int
    reason: str = ""
    stale: bool = False

    @property
    def dead(self) -> bool:
        """Whether it is never due again."""
        return self.due is None


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """A time-limited hold on an entry.

    :param receipt: the proof of the hold: the due time that the entry was moved to.
    :param due: when the entry was due before it was leased.
    :param at: when the lease was given; `at - due` is the lateness.
    :param attempt: 1 for a step's first look; one more each time that the look before it was lost with its
        worker, or failed.
    :param nudged: somebody asked for this look; the consumer reads what changed.
    :param reader: the channel of the worker that it is meant for.
    """

    key: str
    channel: str
    message: bytes
    receipt: int
    due: int
    at: int
    attempt: int = 1
    nudged: bool = False
    reader: str = ""


def about(lease: Lease) -> dict[str, object]:
    """Return what a log record about a lease has beside its line."""
    return {"entry": lease.key, "attempt": lease.attempt, "receipt": lease.receipt}


class Again(msgspec.Struct, frozen=True):
    """A step's outcome: look again after a delay.

    :param delay: milliseconds from the settling on.
    :param message: what the next look gets; None leaves the entry's as it is.
    :param attempt: the number of the next look; above 1 when it repeats one that failed.
    :param nudged: the next look is asked for too: this one had no chance to read what changed.
    """

    delay: int
    message: bytes | None = None
    attempt: int = 1
    nudged: bool = False

    # Here, where the mistake is made: a store that stumbles over one outcome drops those that were settled with it.
    def __post_init__(self) -> None:
        _check_delay(self.delay)
        if self.message is not None and not isinstance(self.message, bytes):
            raise TypeError(f"Expected the message as bytes or None, got {type(self.message).__name__}.")
        if not isinstance(self.attempt, int) or not 0 < self.attempt < _ATTEMPT_MOST:
            raise ValueError(f"Expected the attempt as a whole number from 1 on, got {self.attempt!a:.40}.")


class Done(msgspec.Struct, frozen=True):
    """A step's outcome: it is over, forget the entry."""


class Dead(msgspec.Struct, frozen=True):
    """A step's outcome: it cannot go on. The entry is kept, never due, until somebody revives or removes it.

    :param reason: what went wrong, for people; cut if it is long.
    """

    reason: str

    def __post_init__(self) -> None:
        # A file name, or what quotes it, need not be UTF-8.
        reason = self.reason[:_REASON_MOST].encode(errors="backslashreplace").decode()
        msgspec.structs.force_setattr(self, "reason", reason)


Outcome = Again | Done | Dead


class Reader(msgspec.Struct, frozen=True):
    """A worker as a store knows it.

    :param slots: how many leases it takes at a time; 0 when it has signed off.
    :param taken: how many it has.
    """

    name: str
    channel: str
    slots: int
    taken: int


class Status(msgspec.Struct, frozen=True):
    """What is in a store now.

    :param now: the store's time.
    :param waiting: how many entries wait, due or not.
    :param overdue: how many of these are due.
    :param held: how many are with a reader.
    :param dead: how many are never due again.
    :param readers: the workers that have announced themselves lately.
    :param schedulers: the schedulers that have, by name.
    :param late: for how many microseconds the first of those that are due has been; 0 if none is.
    """

    now: int
    waiting: int
    overdue: int
    held: int
    dead: int
    readers: list[Reader]
    schedulers: list[str]
    late: int = 0


_decode_leases = msgspec.msgpack.Decoder(list[Lease]).decode
_encode = msgspec.msgpack.Encoder().encode


def to_channel(leases: Sequence[Lease]) -> dict[str, Any]:
    """Return the channel-layer message that carries `leases`."""
    return {"type": LEASES, "leases": _encode(leases)}


def from_channel(message: dict[str, Any]) -> list[Lease]:
    """Return the leases that a channel-layer message carries.

    :raises msgspec.DecodeError: if it carries anything else.
    """
    packed = message.get("leases")
    if not isinstance(packed, bytes):
        raise msgspec.ValidationError(f"Expected `leases` as bytes, got {type(packed).__name__}.")
    return _decode_leases(packed)
