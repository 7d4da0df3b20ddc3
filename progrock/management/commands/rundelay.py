"""`manage.py rundelay`: the delay scheduler, as a process of its own. Any number may run."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from progrock import reconcile, registry
from progrock.delay import Relay, Scheduler, StoreAway, StoreUnfit
from progrock.delay.finish import together
from progrock.management import process
from progrock.metrics import Address, NoPort, Port

logger = logging.getLogger("progrock.rundelay")

BATCH_MOST = 2_000


def _batch(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= BATCH_MOST:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {BATCH_MOST}, got {text!r}")
    return int(text)


class Command(BaseCommand):
    """Hand what is due to the workers."""

    help = "Hand what is due to the workers, until SIGTERM. Any number may run on one store."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--layer", default=registry.WORK_LAYER, help="channel layer to the workers (default: %(default)s)"
        )
        parser.add_argument(
            "--batch",
            type=_batch,
            default=250,
            metavar="N",
            help="leases in one message at most (default: %(default)s)",
        )
        process.add_metrics(parser)
        parser.add_argument("--once", action="store_true", help="hand out what is due now, and end")

    def handle(
        self, *args: Any, layer: str, batch: int, once: bool, metrics: Address | None = None, **options: Any
    ) -> None:
        channel_layer = process.work_layer(layer)
        store = registry.store()
        scheduler = Scheduler(store, channel_layer, standing=reconcile.standing(), batch=batch)

        async def main() -> None:
            try:
                # Before the store answers: that it does not is what somebody may want to know.
                async with Port(metrics, schedule=True):
                    await (store.check() if once else process.fit(store))
                    logger.info("Scheduler %s runs on layer %r, batches of %d.", scheduler.name, layer, batch)
                    if once:
                        await scheduler.run_once()
                    else:
                        await together(scheduler.run(), Relay(store, layer).run())
            finally:
                await store.aclose()

        try:
            process.run(main)
        except (StoreUnfit, StoreAway, NoPort) as error:
            raise CommandError(str(error)) from error
        logger.info("Scheduler %s has stopped.", scheduler.name)
