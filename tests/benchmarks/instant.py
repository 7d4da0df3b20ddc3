"""A service that answers at once."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Mapping, Sequence

from progrock.protocol import State
from progrock.services import File, Order, Service, Started
from progrock.step import Look, Miss, Reading

_every = int(os.environ.get("EVERY_MS", "1000"))
_steps = int(os.environ.get("STEPS", "60"))
_looks: Counter[str] = Counter()
_done = Reading(State.SUCCEEDED)


class Instant(Service):
    """Does nothing, and says so at once; a job is over at its last look."""

    starts_once = True

    async def start(self, order: Order) -> Started | Miss:
        return Started(order.job, self._reading(0))

    async def poll(self, remotes: Sequence[str]) -> Sequence[Look]:
        return [self._look(each) for each in remotes]

    def _look(self, remote: str) -> Look:
        _looks[remote] += 1
        return self._reading(_looks[remote]) if _looks[remote] < _steps else _done

    def _reading(self, look: int) -> Reading:
        return Reading(State.RUNNING, 100 * look / _steps, again=int(_every * random.uniform(0.9, 1.1)))

    async def cancel(self, remote: str) -> Look:
        return Reading(State.CANCELLED)

    async def open(self, remote: str, headers: Mapping[str, str]) -> File | Miss:
        return Miss("vanished", "There is none.")

    async def aclose(self) -> None: ...
