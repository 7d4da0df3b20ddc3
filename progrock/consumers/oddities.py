"""Says once what is odd about a service's answers: thousands of jobs would find it out one by one."""

from __future__ import annotations

import logging
import math

from ..step import Look, Miss

logger = logging.getLogger(__name__)


class Oddities:
    """What one worker has seen, and said in the log."""

    def __init__(self) -> None:
        self._said: set[tuple[str, str]] = set()

    def see(self, service: str, shown: float | None, look: Look) -> None:
        """Have a look at an answer.

        :param service: whose answer.
        :param shown: the percentage that was last shown of the job.
        """
        if isinstance(look, Miss):
            if look.code == "auth" and self._first(service, "auth"):
                logger.error("%r: %s All its jobs wait for somebody to put that right.", service, look.message)
            return
        self._said.discard((service, "auth"))
        percent = look.percent
        if percent is None:
            return
        if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
            if self._first(service, "percent"):
                logger.warning("%r: expected a percentage from 0 to 100, got %s.", service, _short(percent))
        elif shown is not None and percent < math.floor(shown) and self._first(service, "back"):
            logger.warning("%r: a job went back from %g to %g percent; %g stays shown.", service, shown, percent, shown)

    def _first(self, service: str, what: str) -> bool:
        said = (service, what) in self._said
        self._said.add((service, what))
        return not said


def _short(value: object) -> str:
    """Return what is short enough for a line: a number within a billion, or a type's name."""
    if isinstance(value, int | float):
        return f"{max(-1e9, min(1e9, value)):g}"
    return type(value).__name__
