"""`manage.py clearjobs`: forget jobs that ended long ago."""

from __future__ import annotations

import argparse
import asyncio
import re
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand

from progrock.retention import aclear, old

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_MOST_DAYS = 36_500


def _age(text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,9})([dhm])", text, re.ASCII)
    age = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    if age is None or age.days > _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"expected a time such as 30d, 12h or 90m, got {text!r}")
    return age


class Command(BaseCommand):
    """Delete rows of jobs, and nothing that is still going on."""

    help = "Delete jobs that ended longer ago than that. Jobs that have not ended stay, however old."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--older-than", type=_age, required=True, metavar="AGE", help="such as 30d, 12h or 90m")
        parser.add_argument("--dry-run", action="store_true", help="count them only")

    def handle(self, *args: Any, older_than: timedelta, dry_run: bool, **options: Any) -> None:
        async def main() -> int:
            if dry_run:
                return await old(older_than).acount()
            count = 0
            while some := await aclear(older_than):
                count += some
            return count

        count = asyncio.run(main())
        self.stdout.write(f"{'Would delete' if dry_run else 'Deleted'} {count} jobs.")
