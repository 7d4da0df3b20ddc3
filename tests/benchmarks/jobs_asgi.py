"""The job worker as it is, which tells how late its steps were, and a service that answers at once."""

from __future__ import annotations

import atexit
import os
import random
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from channels.routing import ChannelNameRouter, ProtocolTypeRouter

from config import asgi  # noqa: F401 (sets Django up)
from progrock import registry
from progrock.consumers.worker import JobWorker, Outcomes
from progrock.delay import Lease
from progrock.protocol import State
from progrock.reconcile import KEY
from progrock.services import File, Order, Service, Started
from progrock.step import Look, Miss, Reading
from tests.benchmarks import writes

_every = int(os.environ.get("EVERY_MS", "1000"))
_steps = int(os.environ.get("STEPS", "60"))
_looks: Counter[str] = Counter()
_late = array("q")
"""For each step: whether it starts its job, and how late it was in microseconds."""
_begun: set[str] = set()
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


class Timed(JobWorker):
    """The worker, with its lateness."""

    def steps(self, leases: Sequence[Lease]) -> Outcomes:
        for lease in leases:
            if lease.key != KEY:
                _late.extend((lease.key not in _begun, lease.at - lease.due))
                _begun.add(lease.key)
        return super().steps(leases)


def _write() -> None:
    with (Path(os.environ["STEPS_FOLDER"]) / f"{os.getpid()}.late").open("wb") as file:
        _late.tofile(file)


if "STEPS_FOLDER" in os.environ:
    atexit.register(_write)
    writes.count(Path(os.environ["STEPS_FOLDER"]))

application = ProtocolTypeRouter({"channel": ChannelNameRouter({registry.CHANNEL: Timed.as_asgi()})})
