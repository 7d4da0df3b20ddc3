"""`make bench-track`: what it costs a loop of one's own to be tracked.

A loop of ITEMS items that does some 20 us of work for each, plain and tracked by turns, in ROUNDS parts of each, so
that both get the same share of what else the machine does. Redis, a worker and a scheduler run beside it, as processes.
The last line is one JSON object: `overhead_<way>` is the CPU time of this process, all its threads, that is added to
that of the plain loop, in percent of it; `wall_<way>` the same of the time that it takes.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import django

from tests.push.stage import stage

WORK = 20e-6
WAYS = ("iterate", "report")


def measure(items: int, rounds: int) -> dict[str, float]:
    """Run all ways by turns and return the figures."""
    import progrock

    spins = _spins()
    part = items // rounds
    taken = {way: [0.0, 0.0] for way in ("plain", *WAYS)}

    def timed(way: str, loop: Callable[[], None]) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        loop()
        taken[way][0] += time.process_time() - cpu
        taken[way][1] += time.perf_counter() - wall

    def plain() -> None:
        for _ in range(part):
            _work(spins)

    for _ in range(rounds):
        timed("plain", plain)
        with progrock.track("Iterate", owner="user:7", total=part) as job:

            def iterate() -> None:
                for _ in job.iterate(range(part)):
                    _work(spins)

            timed("iterate", iterate)
        with progrock.track("Report", owner="user:7", total=part) as job:

            def report() -> None:
                for n in range(part):
                    _work(spins)
                    job.report(n)

            timed("report", report)
    each = taken["plain"][0] / part / rounds
    figures: dict[str, float] = {"items": part * rounds, "us_of_work": round(each * 1e6, 2)}
    for way in WAYS:
        for kind, at in (("overhead", 0), ("wall", 1)):
            figures[f"{kind}_{way}"] = round((taken[way][at] / taken["plain"][at] - 1) * 100, 2)
    return figures


def _work(spins: int) -> None:
    for _ in range(spins):
        pass


def _spins() -> int:
    """Return how many turns of nothing take as long as the work shall."""
    begin = time.process_time()
    _work(5_000_000)
    return max(1, round(5_000_000 * WORK / (time.process_time() - begin)))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, stage(Path(folder)) as made:
        os.environ.update(made.environment)
        django.setup()
        items, rounds = (int(os.environ.get(name, default)) for name, default in (("ITEMS", 1_000_000), ("ROUNDS", 20)))
        sys.stdout.write(json.dumps(measure(items, rounds)) + "\n")
