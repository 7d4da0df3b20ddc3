"""What the doctor says of one thing, in one line."""

from __future__ import annotations

from typing import Literal

import msgspec

from ..step import one_line

Level = Literal["ok", "warning", "error"]


class Finding(msgspec.Struct, frozen=True):
    """What one look has found.

    :param about: what was looked at.
    :param level: `ok`; `warning`: it works, and will not for ever, or not as well as it could; `error`: it does not.
    :param says: what was found, in one line.
    :param remedy: how to mend it; empty where there is nothing to mend, or `says` tells it.
    """

    about: str
    level: Level
    says: str
    remedy: str = ""

    def __post_init__(self) -> None:
        # Names and reasons come from Redis and from libraries: neither may forge a line, nor steer a terminal.
        for name in ("about", "says", "remedy"):
            msgspec.structs.force_setattr(self, name, one_line(" ".join(getattr(self, name).split())))


def ok(about: str, says: str) -> Finding:
    """Return that nothing is wrong."""
    return Finding(about, "ok", says)


def warning(about: str, says: str, remedy: str = "") -> Finding:
    """Return what works, and should be seen to."""
    return Finding(about, "warning", says, remedy)


def error(about: str, says: str, remedy: str = "") -> Finding:
    """Return what does not work."""
    return Finding(about, "error", says, remedy)
