"""`manage.py reconcile`: every unfinished job and delivery has its entry, every cancel has been heard."""

from __future__ import annotations

import asyncio
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from progrock import reconcile, registry
from progrock.delay import StoreAway
from progrock.management import process


class Command(BaseCommand):
    """Do now what the schedule's standing entry does every minute."""

    help = "Schedule the jobs and deliveries that the schedule lacks, and wake the jobs whose cancel was not heard."

    def handle(self, *args: Any, **options: Any) -> None:
        if registry.conf().embedded:
            raise CommandError(process.EMBEDDED)

        async def main() -> tuple[int, int]:
            try:
                return await reconcile.areconcile()
            finally:
                await registry.aclose()

        try:
            scheduled, nudged = asyncio.run(main())
        except StoreAway as trouble:
            raise CommandError(f"The delay store does not answer: {trouble}") from trouble
        self.stdout.write(f"Scheduled again: {scheduled}. Told that they are cancelled: {nudged}.")
