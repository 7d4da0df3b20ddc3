"""How much of everything: the command line of a load run."""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

JOBS_EACH = 20
"""Jobs that an owner has in flight: far from what the site allows one owner."""


@dataclass(frozen=True)
class Measure:
    """What is run.

    :param compose: the folder of the project whose containers run.
    :param files: Compose's files; none is those that Compose finds by itself.
    :param project: Compose's name of the project; empty is the folder's.
    :param url: where the web server is.
    :param minutes: from the first job on until no more are started.
    :param sockets: how many.
    :param jobs: how many are in flight, all sockets together.
    :param lasts: seconds that a job lasts, on the average.
    :param ramp: seconds within which the sockets come, and start their first jobs.
    :param quiet: the part of the rest in which nothing is killed.
    :param kill_every: seconds between two kills, on the average.
    :param deploys: how often all is deployed anew.
    :param workers: how many run.
    :param schedulers: how many run.
    :param drain: seconds in which all must be over after the last start, beside what a job lasts.
    :param token: the METRICS_TOKEN of the site; empty leaves out what only `/metrics` tells.
    :param seed: of all that is left to chance.
    :param report: the page that the result is written to; none is the standard output.
    """

    compose: Path
    files: tuple[Path, ...] = ()
    project: str = ""
    url: str = "http://127.0.0.1:8000"
    minutes: float = 10.0
    sockets: int = 1_000
    jobs: int = 2_000
    lasts: float = 120.0
    ramp: float = 80.0
    quiet: float = 0.2
    kill_every: float = 8.0
    deploys: int = 2
    workers: int = 2
    schedulers: int = 2
    drain: float = 90.0
    token: str = ""
    seed: int = 1
    report: Path | None = None

    @property
    def owners(self) -> int:
        """How many people there are."""
        return min(self.sockets, math.ceil(self.jobs / JOBS_EACH))

    @property
    def longest(self) -> float:
        """Seconds that the longest job lasts."""
        return 1.5 * self.lasts

    def __str__(self) -> str:
        return (
            f"{self.sockets:,} sockets of {self.owners} owners, {self.jobs:,} jobs in flight that last "
            f"{self.lasts / 2:g} to {self.longest:g} s, {self.minutes:g} minutes; {self.workers} workers, "
            f"{self.schedulers} schedulers; seed {self.seed}"
        )


def measure(arguments: Sequence[str]) -> Measure:
    """Return what the command line asks for; exit with a message if that makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description="Load a running site of containers.")
    parser.add_argument("--compose", type=Path, required=True, metavar="DIR", help="the project whose containers run")
    parser.add_argument("--file", dest="files", type=Path, action="append", help="Compose's file; may come again")
    for name, meaning in {
        "project": "Compose's name of the project (default: the folder's)",
        "url": "where the web server is",
        "minutes": "from the first job on until no more are started",
        "sockets": "how many",
        "jobs": "how many are in flight",
        "lasts": "seconds that a job lasts, on the average",
        "ramp": "seconds within which all come",
        "quiet": "the part of the rest in which nothing is killed, 0 to 1",
        "kill-every": "seconds between two kills",
        "deploys": "how often all is deployed anew",
        "workers": "how many run",
        "schedulers": "how many run",
        "drain": "seconds in which all must be over at the end, beside what a job lasts",
        "token": "the site's METRICS_TOKEN, for what only /metrics tells",
    }.items():
        default = getattr(Measure, name.replace("-", "_"))
        said = f" (default: {default})" if default != "" else ""
        parser.add_argument(f"--{name}", type=type(default), default=default, help=meaning + said)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="of all that is left to chance")
    parser.add_argument("--report", type=Path, help="write the result into this page, between its marks")
    options = vars(parser.parse_args(arguments))
    options["files"] = tuple(options["files"] or ())
    wanted = Measure(**options)
    if min(wanted.sockets, wanted.jobs, wanted.workers, wanted.schedulers) < 1 or wanted.jobs < wanted.sockets:
        parser.error(f"expected at least one of each, and a job for each socket, got {wanted}")
    if min(wanted.minutes, wanted.lasts, wanted.kill_every, wanted.drain) <= 0 or not 0 <= wanted.quiet <= 1:
        parser.error("expected times above 0, and a part from 0 to 1")
    if wanted.longest > 600:
        parser.error(f"expected --lasts of at most 400 s, which is what the synth plays, got {wanted.lasts:g}")
    return wanted
