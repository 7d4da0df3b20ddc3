"""The reference of the commands: each of them is in it, with all of its options, and its examples can be run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class
from django.core.management.base import CommandParser

from progrock.management import outcome

PAGE = (Path(__file__).parents[2] / "docs/reference/commands.md").read_text()
OURS = [name for name, app in get_commands().items() if app == "progrock"]
EXAMPLES = re.findall(r"manage\.py (\w+) ?([^`\n]*?)\)?$", PAGE.replace('"$job"', "1"), re.MULTILINE)


def parser(name: str) -> CommandParser:
    return load_command_class("progrock", name).create_parser("manage.py", name)


def test_every_command_is_listed() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)) == sorted(OURS)


@pytest.mark.parametrize("name", ["rock", "jobs"])
def test_every_option_is_listed(name: str) -> None:
    section = PAGE.split(f"\n## `manage.py {name}`\n")[1].split("\n## ")[0]
    rows = "".join(re.findall(r"^\| (`--[^|]*) \|", section, re.MULTILINE))
    general = {option for action in CommandParser()._actions for option in action.option_strings}
    own = {option for action in parser(name)._actions for option in action.option_strings} - general
    djangos = {"--version", "--verbosity", "--settings", "--pythonpath", "--traceback", "--no-color", "--force-color"}
    mine = {option for option in own if option.startswith("--")} - djangos - {"--skip-checks"}
    assert set(re.findall(r"`(--\w+)`", rows)) == mine


def test_every_exit_code_is_listed() -> None:
    codes = {value for name, value in vars(outcome).items() if name.isupper() and isinstance(value, int)}
    assert set(map(int, re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE))) == codes


def test_examples_are_what_the_commands_take() -> None:
    assert len(EXAMPLES) == 11
    for name, words in EXAMPLES:
        parser(name).parse_args(shlex.split(words))
