"""Whether a command line is one: of `manage.py`, of a module of ours, or of daphne."""

from __future__ import annotations

import contextlib
import io

from daphne.cli import CommandLineInterface
from django.core.management import get_commands, load_command_class

from config.make_secrets import ANEW
from synth.__main__ import _options


def parse(command: tuple[str, ...]) -> None:
    """Have a command line read by what it calls.

    :raises AssertionError: if nothing of ours is called, or it does not take these arguments.
    """
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            match command:
                case ("python", "manage.py", name, *arguments):
                    assert name in get_commands(), name
                    known = load_command_class(get_commands()[name], name)
                    known.create_parser("manage.py", name).parse_args(arguments)
                case ("python", "-m", "synth", *arguments):
                    _options(arguments)
                case ("python", "-m", "config.make_secrets" | "config.probe", _):
                    pass
                case ("python", "-m", "config.make_secrets", _, "--anew", name):
                    assert name in ANEW, name
                case ("daphne", *arguments):
                    CommandLineInterface().parser.parse_args(arguments)
                case _:
                    raise AssertionError(f"expected a command of ours, got {command}")
    except SystemExit:
        raise AssertionError(f"{command}: {said.getvalue()}") from None
