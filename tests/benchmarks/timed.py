"""The job worker as it is, which tells how late its steps were."""

from __future__ import annotations

import atexit
import os
from array import array
from collections.abc import Sequence
from pathlib import Path

from channels.routing import ChannelNameRouter, ProtocolTypeRouter

from config import asgi  # noqa: F401 (sets Django up)
from progrock import registry
from progrock.consumers.outcomes import Outcomes
from progrock.consumers.worker import JobWorker
from progrock.delay import Lease
from progrock.reconcile import KEY
from tests.benchmarks import writes

_late = array("q")
"""For each step: whether it starts its job, when it was by the store's clock, and how late; in microseconds."""
_begun: set[str] = set()


class Timed(JobWorker):
    """The worker, with its lateness."""

    def steps(self, leases: Sequence[Lease]) -> Outcomes:
        for lease in leases:
            if lease.key != KEY:
                _late.extend((lease.key not in _begun, lease.at, lease.at - lease.due))
                _begun.add(lease.key)
        return super().steps(leases)


def _write() -> None:
    with (Path(os.environ["STEPS_FOLDER"]) / f"{os.getpid()}.late").open("wb") as file:
        _late.tofile(file)


if "STEPS_FOLDER" in os.environ:
    atexit.register(_write)
    writes.count(Path(os.environ["STEPS_FOLDER"]))

application = ProtocolTypeRouter({"channel": ChannelNameRouter({registry.CHANNEL: Timed.as_asgi()})})
