"""`manage.py rock`: start a job and show how it goes, until it is over."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shlex
from typing import Any

from asgiref.sync import sync_to_async
from django.core.management.base import BaseCommand, CommandParser

from progrock import jobs
from progrock.exceptions import Refused, Unavailable
from progrock.management import asked, outcome
from progrock.management.follow import PAUSE, feed_of, follow
from progrock.management.screen import Screen, as_json, screen, write
from progrock.protocol import Snapshot, State


class Command(BaseCommand):
    """Start a job."""

    help = (
        "Start a job and show how it goes. Ctrl-C cancels it, a second Ctrl-C does not wait for that. "
        "Exits 0 if it succeeded, 1 if it did not, 2 if it was refused, 130 if it was cancelled by Ctrl-C."
    )

    def create_parser(self, *args: Any, **options: Any) -> CommandParser:
        return asked.in_any_order(super().create_parser(*args, **options))

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("service", metavar="SERVICE", help="its name in the settings")
        parser.add_argument("params", nargs="*", metavar="key=value", help="what the service takes; JSON, or else text")
        asked.add_owner(parser)
        parser.add_argument("--key", metavar="TEXT", help="your name for this start: started twice, it is one job")
        parser.add_argument("--detach", action="store_true", help="print the job's id and end; the job goes on")
        parser.add_argument("--json", action="store_true", help="each snapshot as one JSON object a line")

    def handle(
        self,
        *args: Any,
        service: str,
        params: list[str],
        user: str | None,
        owner: str | None,
        key: str | None,
        detach: bool,
        json: bool,
        no_color: bool,
        **options: Any,
    ) -> None:
        async def main(interrupted: asyncio.Event) -> int:
            whose = await sync_to_async(asked.owner_of)(user, owner)
            started = await jobs.astart(service, asked.params_of(params), owner=whose, key=key)
            if detach:
                write(self.stdout, as_json(started) if json else started.job)
                return outcome.SUCCEEDED
            try:
                with screen(self.stdout, as_json=json, plain=no_color) as shown:
                    shown.show(started)
                    ended = await self._follow(started, whose, shown, interrupted)
            except (asyncio.CancelledError, Unavailable):
                job, theirs = started.job, shlex.quote(whose)
                write(self.stderr, f"Job {job} may go on: manage.py jobs {job} --follow --owner {theirs}")
                raise
            if not json:
                self._tell(ended)
            return outcome.code_of([ended], interrupted=interrupted.is_set())

        outcome.run(main, asks=True)

    async def _follow(self, started: Snapshot, owner: str, shown: Screen, interrupted: asyncio.Event) -> Snapshot:
        job, newest = started.job, started

        async def cancel() -> None:
            await interrupted.wait()
            while True:
                try:
                    snapshot = await jobs.acancel(job, owner=owner)
                except Refused as refusal:
                    write(self.stderr, f"Not cancelled yet: {refusal}")
                    await asyncio.sleep(PAUSE)
                    continue
                if newest.state in (State.PENDING, State.RUNNING):
                    shown.show(snapshot)
                return

        cancelling = asyncio.ensure_future(cancel())
        try:
            async with feed_of(owner) as feed:
                async for told in follow(feed, [job]):
                    newest = told.snapshot
                    shown.show(newest, told.lines)
        finally:
            cancelling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await cancelling
        return newest

    def _tell(self, ended: Snapshot) -> None:
        if ended.file is not None:
            write(self.stdout, f"It has a file: jobs/{ended.job}/file, for its owner.")
        if ended.result is not None:
            write(self.stdout, as_json(ended.result))
