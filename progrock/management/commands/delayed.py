"""`manage.py delayed`: what is in the schedule, and what to do with entries that are dead."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from json import dumps
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from progrock import registry
from progrock.delay import DelayStore, Status, StoreAway
from progrock.management import process

ALL_MOST = 100_000


class Command(BaseCommand):
    """Look into the schedule."""

    help = "Tell what is in the schedule; list, retry and drop entries that are dead."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        status = actions.add_parser("status", help="count entries, workers and schedulers; fails if one is missing")
        status.add_argument("--scheduler", action="store_true", help="ask for a live scheduler only")
        status.add_argument("--worker", metavar="CHANNEL", help="ask for a live worker of this channel only")
        status.add_argument("--json", action="store_true", help="as one JSON object")
        listing = actions.add_parser("dead", help="list dead entries, those first that died first")
        listing.add_argument("--limit", type=int, default=100, help="how many at most (default: %(default)s)")
        listing.add_argument("--json", action="store_true", help="as one JSON object a line")
        for name, meaning in (("retry", "make dead entries due now"), ("drop", "forget dead entries")):
            action = actions.add_parser(name, help=meaning)
            action.add_argument("keys", nargs="*", help="of dead entries")
            action.add_argument("--all", action="store_true", help="all of them")

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        if registry.conf().embedded:
            raise CommandError(process.EMBEDDED)
        act: Callable[..., Awaitable[None]] = getattr(self, f"_{action}")

        async def main() -> None:
            store = registry.store()
            try:
                await act(store, **options)
            finally:
                await store.aclose()

        try:
            asyncio.run(main())
        except StoreAway as trouble:
            raise CommandError(f"The delay store does not answer: {trouble}") from trouble

    async def _status(
        self, store: DelayStore, *, scheduler: bool, worker: str | None, json: bool, **options: Any
    ) -> None:
        status = await store.status()
        self.stdout.write(_json(status) if json else _in_words(status))
        everything = not scheduler and not worker
        channels = {reader.channel for reader in status.readers}
        if (scheduler or everything) and not status.schedulers:
            raise CommandError("No scheduler is alive. Start one: manage.py rundelay")
        wanted = worker or registry.CHANNEL
        if (worker or everything) and wanted not in channels:
            raise CommandError(f"No worker of {wanted} is alive. Start one: manage.py runworker {wanted}")

    async def _dead(self, store: DelayStore, *, limit: int, json: bool, **options: Any) -> None:
        for entry in await store.dead(limit):
            # ascii(): a key may be anything that somebody wrote into Redis.
            line = f"{entry.key!a} of {_plain(entry.channel)}, after {entry.attempt} attempts: {entry.reason!a}"
            self.stdout.write(_json(entry) if json else line)

    async def _retry(self, store: DelayStore, **options: Any) -> None:
        keys = await self._keys(store, **options)
        self.stdout.write(f"{await store.revive(keys)} of {len(keys)} entries are due now.")

    async def _drop(self, store: DelayStore, **options: Any) -> None:
        keys = await self._keys(store, **options)
        self.stdout.write(f"{await store.bury(keys)} of {len(keys)} entries are forgotten.")

    async def _keys(self, store: DelayStore, *, keys: list[str], all: bool, **options: Any) -> list[str]:  # noqa: A002
        """Return the keys that were asked for, of dead entries only: the others are at work."""
        if all:
            return [entry.key for entry in await store.dead(ALL_MOST)]
        if not keys:
            raise CommandError("Expected keys of dead entries, or --all, got neither.")
        entries = await store.peek(keys)
        alive = [key for key, entry in zip(keys, entries, strict=True) if entry is not None and entry.due is not None]
        if alive:
            raise CommandError(f"Expected keys of dead entries, got {', '.join(map(ascii, alive))}, not dead.")
        return keys


def _json(value: object) -> str:
    # Names may be anything that somebody wrote into Redis, JSON is UTF-8.
    return dumps(msgspec.to_builtins(value))


def _plain(name: str) -> str:
    # A terminal does what control characters say.
    return name if name.isascii() and name.isprintable() else ascii(name)[1:-1]


def _in_words(status: Status) -> str:
    readers = [f"  {_plain(each.name)}: {each.taken} of {each.slots} slots taken" for each in status.readers]
    return "\n".join(
        [
            f"Entries: {status.waiting} waiting ({status.overdue} of them due), {status.held} held, {status.dead} dead",
            f"Schedulers: {', '.join(map(_plain, status.schedulers)) or 'none'}",
            f"Workers:{'' if readers else ' none'}",
            *readers,
        ]
    )
