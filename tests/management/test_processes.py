"""The commands for jobs as real processes beside a site on a Redis: what they write, and how they end."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.management.conftest import Site

WITHIN = 40.0
LONG = ("length=60", "pace=0.5")


def line(process: subprocess.Popen[str]) -> str:
    """Return the next line of what a process writes to stdout."""
    assert process.stdout
    assert select.select([process.stdout], [], [], WITHIN)[0], f"expected a line within {WITHIN} s, got none"
    return process.stdout.readline()


def told(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the exit code of a process, and what else it wrote to stdout and to stderr."""
    out, error = process.communicate(timeout=WITHIN)
    return process.returncode, out, error


@pytest.fixture(scope="module")
def begun(site: Site) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """All of them at once: most of the time goes into starting Python."""
    terminal, end = pty.openpty()
    processes = {
        "interrupted": site.begin("rock", "synth", "--json", *LONG),
        "stopped": site.begin("rock", "synth", *LONG, "--owner", "cron"),
        "failed": site.begin("rock", "gone"),
        "listing": site.begin("jobs", "--follow", "--owner", "cron", "--json"),
        "unread": site.begin("rock", "synth", "--json", *LONG),
        "shown": site.begin(
            "rock", "synth", "length=2", "meter=7/8", stdout=end, TERM="xterm-256color", COLUMNS="160", LINES="40"
        ),
    }
    os.close(end)
    processes["shown"].stdout = os.fdopen(terminal, errors="strict")
    yield processes
    for each in processes.values():
        each.kill()
        for pipe in (each.stdout, each.stderr):
            if pipe is not None:
                pipe.close()
        each.wait(10)


def test_ctrl_c_cancels(begun: dict[str, subprocess.Popen[str]]) -> None:
    process = begun["interrupted"]
    first = json.loads(line(process))
    assert (first["state"], first["service"]) == ("pending", "synth")
    process.send_signal(signal.SIGINT)
    code, out, error = told(process)
    assert (code, error) == (130, "")
    snapshots = list(map(json.loads, out.splitlines()))
    assert {each["job"] for each in snapshots} == {first["job"]}
    assert (snapshots[-1]["state"], snapshots[-1]["complete"]) == ("cancelled", True)


def test_being_stopped_lets_the_job_go_on(site: Site, begun: dict[str, subprocess.Popen[str]]) -> None:
    process = begun["stopped"]
    assert line(process).startswith("Waiting")
    process.send_signal(signal.SIGTERM)
    code, _, error = told(process)
    assert code == 143
    found = re.fullmatch(r"Job (\S+) may go on: manage\.py (jobs \S+ --follow --owner cron)\n", error)
    assert found
    # What it says to do is right; and with another word, that is the end of it.
    code, out, error = told(site.begin(*found[2].split(), "--cancel", "--json"))
    assert (code, error) == (0, "")
    last = json.loads(out.splitlines()[-1])
    assert (last["job"], last["state"]) == (found[1], "cancelled")


def test_a_list_is_followed_until_ctrl_c(begun: dict[str, subprocess.Popen[str]]) -> None:
    process = begun["listing"]
    assert json.loads(line(process))["service"] == "synth"  # of the job that is stopped above, new or not
    process.send_signal(signal.SIGINT)
    assert told(process)[::2] == (130, "")


def test_a_job_that_fails_says_why(begun: dict[str, subprocess.Popen[str]]) -> None:
    code, out, _ = told(begun["failed"])
    assert code == 1
    assert re.match(r"Failed .+: .+", out.splitlines()[-1])


def test_who_reads_no_more_is_told_no_more(begun: dict[str, subprocess.Popen[str]]) -> None:
    process = begun["unread"]
    assert json.loads(line(process))["state"] == "pending"
    assert process.stdout
    process.stdout.close()
    assert process.wait(WITHIN) == 141
    assert process.stderr
    assert process.stderr.read() == ""


def test_a_terminal_shows_a_bar(begun: dict[str, subprocess.Popen[str]]) -> None:
    process = begun["shown"]
    assert process.stdout
    shown, end = "", time.monotonic() + WITHIN
    while time.monotonic() < end and select.select([process.stdout], [], [], WITHIN)[0]:
        try:
            shown += os.read(process.stdout.fileno(), 65_536).decode(errors="replace")
        except OSError:  # a terminal that nobody has any more
            break
    assert process.wait(10) == 0
    assert "\x1b[2K" in shown  # drawn again in its place
    assert "━━━━" in shown
    last = re.sub(r"\x1b\[[\d;?]*\w", "", shown).splitlines()
    assert any("100 %" in each and "Done" in each for each in last)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
    assert json.loads(last[-1])["meter"] == "7/8"
    assert re.fullmatch(r"It has a file: jobs/\S+/file, for its owner\.", last[-2])
