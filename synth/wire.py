"""Reads and writes what goes over the wire: strict JSON in, JSON out, refusals that say what was expected."""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Fields = dict[str, Any]

# Marks a number kept as it was written; drawn anew by each process, so that nobody can send one.
_RAW = f"\x00{secrets.token_hex(8)}:"


class Refusal(Exception):
    """A request that is answered with an error; raised anywhere, turned into an answer in one place."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.answer = Answer({"error": {"code": code, "message": message}}, status, dict(headers or {}))


@dataclass(slots=True)
class Answer:
    """What to reply: a JSON value, ready bytes, or a file."""

    payload: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def body(self) -> bytes:
        """Give the bytes of the reply."""
        if isinstance(self.payload, bytes):
            return self.payload
        if isinstance(self.payload, Path):
            return self.payload.read_bytes()
        return dumps(self.payload).encode("utf-8", "surrogatepass")


def dumps(value: object) -> str:
    """Write JSON; numbers that `loads` kept as written (1e400) come out as they went in."""
    text = json.dumps(value, separators=(",", ":"))
    mark = json.dumps(_RAW)[1:-1]
    while (at := text.find(f'"{mark}')) >= 0:
        end = text.index('"', at + 1)
        text = text[:at] + text[at + 1 + len(mark) : end] + text[end + 1 :]
    return text


def loads(body: bytes, *, wild: bool = False) -> Any:
    """Read a JSON body; an empty one is `{}`, and only a `wild` one may hold NaN, Infinity or 1e400.

    Raises:
        Refusal: 400, if it is not JSON.
    """
    if not body.strip():
        return {}
    try:
        return json.loads(
            body.decode(),
            parse_float=_keep_wild if wild else _finite,
            parse_constant=float if wild else _finite,
        )
    except RecursionError:
        raise Refusal(400, "bad-json", "expected JSON, got a body nested too deep") from None
    except ValueError as error:
        raise Refusal(400, "bad-json", f"expected JSON in UTF-8, got {len(body)} bytes: {error}") from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        message = f"{text} is not a finite number"
        raise ValueError(message)
    return number


def _keep_wild(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else _RAW + text


def fields(value: object, allowed: tuple[str, ...]) -> Fields:
    """Check that `value` is a JSON object with no keys but the `allowed` ones.

    Raises:
        Refusal: 400, naming the key that is too much.
    """
    if not isinstance(value, dict):
        raise wrong("the body", "a JSON object", value)
    for key in value:
        if key not in allowed:
            raise Refusal(400, "unknown-key", f"expected the keys {', '.join(allowed)}; got {show(key)}")
    return value


def number(value: object, name: str, low: float, high: float) -> float:
    """Check a JSON number within `low` and `high`, both included.

    Raises:
        Refusal: 400.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise wrong(name, f"a number from {low:g} to {high:g}", value)
    return float(value)


def whole(value: object, name: str, low: int, high: int) -> int:
    """Check a whole JSON number within `low` and `high`, both included.

    Raises:
        Refusal: 400.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong(name, f"a whole number from {low} to {high}", value)
    return value


def one_of(value: object, name: str, choices: tuple[str, ...]) -> str:
    """Check that `value` is one of the words in `choices`.

    Raises:
        Refusal: 400.
    """
    if not isinstance(value, str) or value not in choices:
        raise wrong(name, "one of " + ", ".join(choices), value)
    return value


def wrong(name: str, expected: str, got: object) -> Refusal:
    """Make the refusal for a value of the wrong kind."""
    return Refusal(400, "bad-value", f"{name}: expected {expected}, got {show(got)}")


def show(value: object) -> str:
    """Quote what came, short enough for a message."""
    try:
        text = dumps(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= 60 else text[:57] + "..."
