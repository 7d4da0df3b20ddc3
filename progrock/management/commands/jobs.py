"""`manage.py jobs`: list jobs, follow them, cancel them."""

from __future__ import annotations

import argparse
import asyncio
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

import msgspec
from asgiref.sync import sync_to_async
from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from progrock import jobs, standing
from progrock.exceptions import Invalid, NotFound
from progrock.management import asked, outcome
from progrock.management.follow import feed_of, follow, follow_all
from progrock.management.screen import Screen, as_json, progress, screen, text, write
from progrock.models import primary
from progrock.protocol import Snapshot, State
from progrock.step import one_line
from progrock.words import STATES

LIMIT_MOST = 1_000


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= LIMIT_MOST):
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 to {LIMIT_MOST}, got {text!a:.80}")
    return int(text)


class Command(BaseCommand):
    """List and follow jobs."""

    help = (
        "List jobs, newest first, or tell how those of these ids stand. With --follow exits 0 if all of them "
        "succeeded, 1 if one did not, 130 after Ctrl-C, which cancels nothing; 2 if what is asked for is refused."
    )

    def create_parser(self, *args: Any, **options: Any) -> CommandParser:
        return asked.in_any_order(super().create_parser(*args, **options))

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("ids", nargs="*", metavar="ID", help="of a job")
        asked.add_owner(parser).add_argument("--all", action="store_true", help="those of everybody")
        parser.add_argument(
            "--follow", action="store_true", help="show how they go: those of the ids until they are over"
        )
        parser.add_argument("--cancel", action="store_true", help="cancel those of the ids")
        parser.add_argument("--limit", type=_limit, default=20, metavar="N", help="list so many (default: %(default)s)")
        parser.add_argument("--json", action="store_true", help="each snapshot as one JSON object a line")

    def handle(
        self,
        *args: Any,
        ids: list[str],
        user: str | None,
        owner: str | None,
        all: bool,  # noqa: A002
        follow: bool,
        cancel: bool,
        limit: int,
        json: bool,
        no_color: bool,
        **options: Any,
    ) -> None:
        async def main(interrupted: asyncio.Event) -> int:
            if cancel and not ids:
                raise Invalid("Expected the ids of jobs with --cancel, got none.")
            if follow and all and not ids:
                raise Invalid("Expected the ids of jobs, --user or --owner with --follow, got --all alone.")
            whose = None if all else await sync_to_async(asked.owner_of)(user, owner)
            if follow and whose is not None and not ids:
                with screen(self.stdout, as_json=json, plain=no_color, named=True) as shown:
                    await _show_all(whose, shown)
            found = await _found(ids, whose, limit)
            if cancel:
                for job, theirs in found:
                    await jobs.acancel(job, owner=theirs)
            if follow:
                with screen(self.stdout, as_json=json, plain=no_color, named=len(found) > 1) as shown:
                    ended = await _follow(found, shown)
                if cancel and {each.state for each in ended} <= {State.CANCELLED}:
                    return outcome.SUCCEEDED
                return outcome.code_of(ended)
            await self._list(found, json=json, named=all)
            return outcome.SUCCEEDED

        outcome.run(main, asks=False)

    async def _list(self, found: list[tuple[str, str]], *, json: bool, named: bool) -> None:
        owners = dict(found)
        for each in await _snapshots(found):
            if json:
                said = msgspec.to_builtins(each)
                write(self.stdout, as_json({**said, "owner": owners[each.job]} if named else said))
                continue
            created = timezone.localtime(datetime.fromtimestamp(each.created / 1000, UTC)).strftime("%Y-%m-%d %H:%M")
            words = [each.job, created, f"{STATES[each.state]:<10}", f"{progress(each):>5}", text(each)]
            if named:
                words.insert(2, one_line(owners[each.job]))
            write(self.stdout, "  ".join(words))
        if not found and not json:
            write(self.stdout, "No jobs.")


async def _found(ids: list[str], owner: str | None, limit: int) -> list[tuple[str, str]]:
    """Return pairs of job and owner: of these ids, else the newest.

    :param owner: None is everybody.
    :raises NotFound: if there is no such job as one of them, or it is somebody else's.
    """
    keys = list(dict.fromkeys(map(standing.key_of, ids)))
    rows = primary() if owner is None else primary().filter(owner=owner)
    rows = rows.filter(pk__in=keys) if keys else rows.filter(parent__isnull=True).order_by("-created", "-id")[:limit]
    with jobs.available():
        owners = {str(pk): theirs async for pk, theirs in rows.values_list("pk", "owner")}
    for key in keys:
        if key not in owners:
            raise NotFound(f"Expected the id of a job {'' if owner is None else f'of {owner!a:.80}'}, got {key}.")
    return [(key, owners[key]) for key in keys or owners]


def _by_owner(found: list[tuple[str, str]]) -> dict[str, list[str]]:
    owners: dict[str, list[str]] = defaultdict(list)
    for job, owner in found:
        owners[owner].append(job)
    return owners


async def _snapshots(found: list[tuple[str, str]]) -> list[Snapshot]:
    """Return how jobs stand, in their order."""
    snapshots = {}
    for owner, names in _by_owner(found).items():
        for each in await jobs.aget_all(names, owner=owner):
            snapshots[each.job] = each
    return [snapshots[job] for job, _ in found]


async def _follow(found: list[tuple[str, str]], shown: Screen) -> list[Snapshot]:
    """Show how jobs go until all of them are over, and return how they ended."""

    async def of_one(owner: str, names: list[str]) -> list[Snapshot]:
        newest = {}
        async with feed_of(owner) as feed:
            async for told in follow(feed, names):
                newest[told.snapshot.job] = told.snapshot
                shown.show(told.snapshot, told.lines)
        return list(newest.values())

    ended = await asyncio.gather(*[of_one(owner, names) for owner, names in _by_owner(found).items()])
    return [each for some in ended for each in some]


async def _show_all(owner: str, shown: Screen) -> None:
    """Show how an owner's jobs go, also those to come, without end."""
    async with feed_of(owner) as feed:
        async for told in follow_all(feed):
            shown.show(told.snapshot)
