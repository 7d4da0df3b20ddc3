"""Shortens leases and waits, and puts in the places where a worker can be made to die over a delivery."""

import os
from collections.abc import Iterable

from django.apps import AppConfig


class ToldConfig(AppConfig):
    """The app of the kill tests of the outbox."""

    name = "tests.faults.told"

    def ready(self) -> None:
        from progrock import outbox
        from progrock.consumers.worker import JobWorker
        from progrock.delay import Lease, Outcome
        from progrock.models import Delivery
        from progrock.outbox import Outbox
        from progrock.sending import Unsent
        from tests.faults.project.strike import strike

        JobWorker.run_lease = 4_000
        outbox.RETRY = int(os.environ.get("RETRY", "100"))
        schedule, record = outbox.aschedule, Outbox._record

        async def struck_schedule(made: Iterable[Delivery]) -> None:
            await strike("before", "schedule")
            await schedule(made)

        async def struck_record(self: Outbox, lease: Lease, row: Delivery, unsent: Unsent | None) -> Outcome:
            await strike("before", "record")
            outcome = await record(self, lease, row, unsent)
            await strike("after", "record")
            return outcome

        outbox.aschedule = struck_schedule
        Outbox._record = struck_record  # type: ignore[method-assign]
