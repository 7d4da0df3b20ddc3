"""Shortens the leases, puts what can be made to fail in the place of the real parts, and writes down each end."""

from __future__ import annotations

import os
from typing import Any, cast

from django.apps import AppConfig

RUN_LEASE = int(os.environ.get("RUN_LEASE", "3000"))
HAND_OFF = 1_000
QUIET = 2_400
SWEEP, FULL_SWEEP = 1_000, 12_000


class ChaosConfig(AppConfig):
    """The app of the fault matrix."""

    name = "tests.chaos.project"

    def ready(self) -> None:
        from progrock import jobs, protocol, reconcile, registry, signals
        from progrock.consumers import receiver, worker
        from progrock.delay import Scheduler
        from progrock.delay.consumer import SelfReschedulingConsumer

        from . import points, sabotage
        from .store import ChaosStore

        worker.JobWorker.run_lease = RUN_LEASE
        SelfReschedulingConsumer.patience = 600
        jobs.HAND_OFF = HAND_OFF  # type: ignore[attr-defined]
        cast("dict[str, Any]", Scheduler.__init__.__kwdefaults__)["hand_off"] = HAND_OFF
        reconcile.EVERY, reconcile.FULL_EVERY = SWEEP, FULL_SWEEP
        protocol.QUIET = QUIET
        receiver.Bucket = _Wide  # type: ignore[assignment, attr-defined]
        registry.RedisStore = ChaosStore  # type: ignore[attr-defined]
        signals.finished.connect(_finished, dispatch_uid="chaos")
        points.place()
        sabotage.prepare()


class _Wide:
    """A bucket that is never empty: a few clients start all jobs."""

    def __init__(self, rate: float, burst: float) -> None:
        pass

    def take(self) -> bool:
        return True


def _finished(sender: object, job: str, **kwargs: Any) -> None:
    from tests.faults.events import event, tell

    tell(event("finished", key=job))
