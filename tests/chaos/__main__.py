"""The long form, `make chaos`: `python -m tests.chaos`, and `python -m tests.chaos --sabotage`.

Of the environment: JOBS in a round, REPEAT for what depends on chance, of which STRIKES come in one round, FREEZE in
seconds, SEED to see a run again, and ONLY the faults of these names.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from tests.chaos.faults import CHANCE, Fault
from tests.chaos.places import POINTS
from tests.chaos.round import Measure, play
from tests.chaos.sabotage import SABOTAGE
from tests.chaos.stage import Stage
from tests.chaos.table import PAGE, write
from tests.chaos.verdict import Verdict

FAULTS = [*CHANCE, *POINTS]


def _whole(name: str, default: int) -> int:
    return int(os.environ.get(name) or default)


async def main(sabotage: bool) -> int:
    """Run, and return the exit code: 1 if something was not as it must be."""
    seed = _whole("SEED", random.randrange(10**6))
    only = set(os.environ.get("ONLY", "").split())
    measure = Measure(
        _whole("JOBS", 200), lasts=3, freeze=_whole("FREEZE", 6), trouble=12, strikes=_whole("STRIKES", 5)
    )
    faults = [fault for fault in FAULTS if not only or fault.name in only]
    _say(f"SEED={seed}")
    bad = 1
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        stage = Stage(Path(folder))
        try:
            await stage.open()
            if sabotage:
                bad = await _sabotage(stage, seed, only or set(SABOTAGE))
            else:
                bad = await _all(stage, faults, seed, measure)
        finally:
            if bad:
                sys.stderr.write(stage.crew.say())
            stage.close()
    _say("green" if not bad else f"RED: {bad}")
    return 1 if bad else 0


async def _all(stage: Stage, faults: Sequence[Fault], seed: int, measure: Measure) -> int:
    """Let every fault strike, in turn, as often as it is to; return how often something was wrong.

    The table is written after each round: what was seen is not lost with the run.
    """
    seen: dict[str, list[Verdict]] = {}
    repeat = _whole("REPEAT", 20)
    for number in range(repeat):
        for fault in faults:
            struck = sum(verdict.strikes for verdict in seen.get(fault.name, []))
            if not number or (fault.chance and struck < repeat):
                verdict = await play(stage, fault, seed + number, measure)
                seen.setdefault(fault.name, []).append(verdict)
                _tell(f"{fault.name} {number}", verdict)
                write(PAGE, FAULTS, seen, f"{date.today()}, {measure.jobs} jobs, seed {seed}")
    return sum(bool(verdict.wrong) for verdicts in seen.values() for verdict in verdicts)


async def _sabotage(stage: Stage, seed: int, only: set[str]) -> int:
    """Switch off one thing after the other; return how many of them nobody noticed."""
    unseen = 0
    for what, fault in SABOTAGE.items():
        if what not in only:
            continue
        verdict = await play(stage, fault, seed, Measure(24, lasts=3, freeze=5, trouble=5, most=10), without=what)
        _say(f"without {what}, {fault.name}: {'red, as it must be' if verdict.wrong else 'GREEN, WHICH MUST NOT BE'}")
        for line in verdict.wrong:
            _say(f"    {line:.200}")
        unseen += not verdict.wrong
    return unseen


def _tell(name: str, verdict: Verdict) -> None:
    states = ", ".join(f"{count} {state}" for state, count in verdict.states.items())
    _say(
        f"{'RED' if verdict.wrong else 'ok '} {name}: {states}; silence {verdict.silence:.1f} s, "
        f"{verdict.twice} signalled twice, {verdict.refused} refused; {verdict.seconds:.1f} s"
    )
    for line in verdict.wrong:
        _say(f"    {line}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(asyncio.run(main("--sabotage" in sys.argv[1:])))
