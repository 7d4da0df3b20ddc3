"""What may be said of a job, checked where it is said."""

from __future__ import annotations

import logging
import math
from typing import Any

import msgspec

from .. import registry
from ..delay import trouble
from ..exceptions import Invalid
from ..inbox import End
from ..protocol import LEVELS, Line, State
from ..step import DATA_MOST, deep, one_line

logger = logging.getLogger(__name__)


def line(level: str, text: str, data: Any = None) -> Line:
    """Return a line of a journal.

    :raises Invalid: if there is no such level, or `data` is no JSON that a journal takes.
    """
    if level not in LEVELS:
        raise Invalid(f"level: expected one of {', '.join(sorted(LEVELS))}, got {level!a:.40}.")
    return Line(one_line(str(text)), level, _json("data", data, DATA_MOST))


def ended(state: State, message: str, result: Any = None) -> End:
    """Return an end.

    :raises Invalid: if the result is no JSON that a job keeps.
    """
    kept = _json("result", result, registry.conf().max_result_bytes)
    if kept is not None and "\\u0000" in msgspec.json.encode(kept).decode():
        raise Invalid("result: expected JSON that any database keeps, got a NUL character in it.")
    return End(state, one_line(str(message)), kept)


def number(name: str, value: object) -> float | None:
    """Return a number that was reported, None of what is none: that is no reason to break off what is being done."""
    if value is None:
        return None
    try:
        said = float(value)  # type: ignore[arg-type]
    except Exception:
        # An array or a tensor says in its own way that it is none.
        said = math.nan
    if not math.isfinite(said):
        # One line a second: what is reported once is asked for with every tick.
        trouble.say(logger, "%s: expected a number, got %a.", name, value)
        return None
    return said


def words(text: object) -> str | None:
    """Return a text that was reported as one line that can be kept, None of none: it may be one that is yet to be
    translated, or what Unicode does not have."""
    return None if text is None else one_line(str(text))


def why(error: BaseException) -> str:
    """Return the type and the words of an exception: its type alone, if it has none, or raises when it is asked."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def _json(name: str, value: Any, most: int) -> Any:
    if value is None:
        return None
    try:
        text = msgspec.json.encode(value)
        plain = msgspec.json.decode(text)
        msgspec.msgpack.encode(plain)  # where integers have 64 bits
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise Invalid(f"{name}: expected JSON, got something else: {error}.") from None
    if len(text) > most or deep(plain):
        raise Invalid(f"{name}: expected at most {most} bytes of JSON, nested 100 deep, got more.")
    return plain
