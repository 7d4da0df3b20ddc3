"""`manage.py doctor`: what is wrong with the running system, and how to mend it."""

from __future__ import annotations

import argparse
import logging
from json import dumps
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError

from progrock.doctor import Finding, examine


class Command(BaseCommand):
    """Look at the running system."""

    help = "Look at the running system, and say what is wrong and how to mend it; fails if there is an error."
    requires_system_checks = []  # they are among what is looked at

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="as one JSON object a line")

    def handle(self, *args: Any, json: bool, **options: Any) -> None:
        before = logging.root.manager.disable
        # What libraries log of a Redis that is away is said here once.
        logging.disable(logging.CRITICAL)
        try:
            found = examine()
        finally:
            logging.disable(before)
        for each in found:
            self.stdout.write(dumps(msgspec.to_builtins(each)) if json else self._line(each))
        if errors := sum(each.level == "error" for each in found):
            raise CommandError(f"Errors: {errors}.")

    def _line(self, found: Finding) -> str:
        line = f"{found.level:<8} {found.about}: {found.says}{found.remedy and f' Mend: {found.remedy}'}"
        style = {"ok": self.style.SUCCESS, "warning": self.style.WARNING, "error": self.style.ERROR}
        return style[found.level](line)
