"""The long form: `python -m tests.chaos`, which is `make chaos`."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.faults import CHANCE, POINTS
from tests.chaos.round import Measure, play
from tests.chaos.stage import Stage


async def main() -> int:
    seed = int(os.environ.get("SEED") or random.randrange(10**6))
    repeat = int(os.environ.get("REPEAT") or 20)
    only = set((os.environ.get("ONLY") or "").split())
    measure = Measure(int(os.environ.get("JOBS") or 200), 4, float(os.environ.get("FREEZE") or 6))
    faults = [fault for fault in [*CHANCE, *POINTS] if not only or fault.name in only]
    print(f"SEED={seed} REPEAT={repeat} JOBS={measure.jobs}", flush=True)
    bad = 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        stage = Stage(Path(folder))
        try:
            began = time.monotonic()
            await stage.open()
            print(f"open after {time.monotonic() - began:.1f} s", flush=True)
            for fault in faults:
                for number in range(repeat if fault.chance else 1):
                    verdict = await play(stage, fault, seed + number, measure)
                    print(
                        f"{'ok ' if not verdict.wrong else 'RED'} {fault.name} {number} {verdict.seconds:.1f} s,"
                        f" silence {verdict.silence:.1f} s, twice {verdict.twice}, refused {verdict.refused},"
                        f" {dict(verdict.states)}",
                        flush=True,
                    )
                    for line in verdict.wrong:
                        print("    " + line, flush=True)
                    bad += bool(verdict.wrong)
        finally:
            if bad:
                print(stage.crew.say())
            stage.close()
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
