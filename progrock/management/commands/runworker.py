"""`manage.py runworker`: Channels' command with a worker that is bounded, never raises, and drains."""

from __future__ import annotations

import argparse
import logging
from typing import Any

from channels.routing import get_default_application
from django.core.management.base import BaseCommand, CommandError

from progrock import registry
from progrock.delay import StoreUnfit, Worker
from progrock.management import process
from progrock.metrics import Address, NoPort, Port

logger = logging.getLogger("progrock.runworker")


class Command(BaseCommand):
    """Run the consumers of channels."""

    help = "Run the consumers of channels, until SIGTERM. Any number may run."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--layer", default=registry.WORK_LAYER, help="channel layer to listen on (default: %(default)s)"
        )
        process.add_metrics(parser)
        parser.add_argument("channels", nargs="+", help=f"channels to listen on; those of jobs: {registry.CHANNEL}")

    def handle(
        self, *args: Any, layer: str, channels: list[str], metrics: Address | None = None, **options: Any
    ) -> None:
        worker = Worker(get_default_application(), channels, process.work_layer(layer))
        served = ", ".join(channels)

        async def main() -> None:
            try:
                # Before the store answers: that it does not is what somebody may want to know.
                async with Port(metrics, schedule=False):
                    await process.fit(registry.store())
                    logger.info("A worker runs on layer %r, for %s.", layer, served)
                    await worker.run()
            finally:
                await registry.aclose()

        try:
            process.run(main)
        except (StoreUnfit, NoPort, ValueError) as error:
            raise CommandError(str(error)) from error
        logger.info("The worker for %s has stopped.", served)
