"""Holds the trouble switches: what misbehaviour is asked for, checked strictly, and which request it hits."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from synth import wire

ROUTES = ("start", "status", "cancel", "file")
_COMMON = ("on", "times", "chance", "kind")
_LONGEST_WAIT = 3_600_000


@dataclass(slots=True)
class Trouble:
    """One switch."""

    kind: str
    on: tuple[str, ...]
    left: int | None
    """Requests it will still hit; None: all, until it is deleted."""
    chance: float
    options: wire.Fields
    """The settings of its kind."""
    hits: int = 0

    @classmethod
    def read(cls, value: object) -> Trouble:
        """Check one trouble object.

        Raises:
            Refusal: 400, naming the unknown kind or key, or the value that is wrong.
        """
        if not isinstance(value, dict):
            raise wire.wrong("trouble", "a JSON object or a list of them", value)
        kind = value.get("kind")
        if not isinstance(kind, str) or kind not in _KINDS:
            raise wire.Refusal(400, "unknown-kind", f"kind: expected one of {', '.join(_KINDS)}, got {wire.show(kind)}")
        checks = _KINDS[kind]
        wire.fields(value, (*_COMMON, *checks))
        on = value.get("on", list(ROUTES))
        if not isinstance(on, list) or not on:
            raise wire.wrong("on", "a list of " + ", ".join(ROUTES), on)
        times = value.get("times")
        options = {key: check(value[key], key) for key, check in checks.items() if key in value}
        missing = [key for key in _NEEDED.get(kind, ()) if key not in options]
        if missing or (kind == "percent" and not options):
            needed = ", ".join(missing) or "done or total"
            raise wire.Refusal(400, "missing-key", f"{kind}: expected {needed}, got {wire.show(value)}")
        return cls(
            kind=kind,
            on=tuple(wire.one_of(name, "on", ROUTES) for name in on),
            left=None if times is None else wire.whole(times, "times", 1, 2**31),
            chance=wire.number(value.get("chance", 1.0), "chance", 0, 1),
            options=options,
        )

    def show(self) -> dict[str, Any]:
        """Give the switch as the API shows it: `times` is the hits it has left, `hits` those it had."""
        return {
            "kind": self.kind,
            "on": list(self.on),
            "times": self.left,
            "chance": self.chance,
            **self.options,
            "hits": self.hits,
        }


class Switchboard:
    """All the switches that are on."""

    def __init__(self) -> None:
        self._troubles: list[Trouble] = []
        self.hits = 0

    def put(self, value: object) -> None:
        """Replace all switches by `value`, one trouble or a list; nothing changes if any of it is wrong.

        Raises:
            Refusal: 400.
        """
        self._troubles = [Trouble.read(each) for each in (value if isinstance(value, list) else [value])]

    def clear(self) -> None:
        """Turn every switch off."""
        self._troubles = []

    def show(self) -> dict[str, Any]:
        """Give the switches as the API shows them, those that are used up included."""
        return {"trouble": [trouble.show() for trouble in self._troubles]}

    def strike(self, route: str) -> dict[str, Trouble]:
        """Choose what goes wrong with one request, by kind, and count it.

        Of several switches of one kind only the first not used up strikes, so a list of them is a sequence.
        """
        struck: dict[str, Trouble] = {}
        for trouble in self._troubles:
            if trouble.kind in struck or route not in trouble.on or trouble.left == 0:
                continue
            if trouble.chance < 1 and random.random() >= trouble.chance:
                continue
            trouble.hits += 1
            self.hits += 1
            if trouble.left is not None:
                trouble.left -= 1
            struck[trouble.kind] = trouble
        return struck


_Check = Callable[[Any, str], Any]


def _wait(value: object, name: str) -> float:
    return wire.number(value, name, 0, _LONGEST_WAIT)


def _status(value: object, name: str) -> int:
    return wire.whole(value, name, 200, 599)


def _redirect(value: object, name: str) -> int:
    return wire.whole(value, name, 300, 399)


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise wire.wrong(name, "a string", value)
    return value


def _header(value: object, name: str) -> float | str:
    if isinstance(value, str) and value.isprintable() and value.isascii():
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise wire.wrong(name, "a number or a printable string", value)


def _names(value: object, name: str) -> list[str] | str:
    if value == "all":
        return "all"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return value
    raise wire.wrong(name, '"all" or a list of render ids', value)


def _anything(value: object, _name: str) -> object:
    return value


# Every kind, with the settings it takes; README.md says what each does.
_KINDS: dict[str, dict[str, _Check]] = {
    "latency": {"ms": _wait},
    "status": {"status": _status, "retry_after": _header},
    "redirect": {"to": _header, "status": _redirect},
    "garbage": {"body": _text},
    "hang": {},
    "drip": {"ms": _wait},
    "reset": {},
    "lost-reply": {},
    "twice": {},
    "backwards": {},
    "forget": {"ids": _names},
    "die": {},
    "percent": {"done": _anything, "total": _anything},
    "state": {"state": _text},
    "stranger": {"id": _text},
}
_NEEDED = {
    "latency": ("ms",),
    "status": ("status",),
    "redirect": ("to",),
    "garbage": ("body",),
    "state": ("state",),
    "stranger": ("id",),
}
