"""Says what is wrong between this process and the others, one line a second at most: it goes wrong in thousands."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

_said_at = float("-inf")


def say(logger: logging.Logger, line: str, *args: object, extra: Mapping[str, object] | None = None) -> None:
    """Log a warning, unless this process has said another one so within the last second.

    When a store or a layer is away, everything that needs it finds out by itself, again and again.

    :param extra: what else the record has, as of the logger's own methods.
    """
    global _said_at
    now = time.monotonic()
    if now - _said_at >= 1:
        _said_at = now
        logger.warning(line, *args, extra=extra)


def forget() -> None:
    """Say the next one in any case."""
    global _said_at
    _said_at = float("-inf")
