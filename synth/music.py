"""Plans a piece from its seed: meter, tempo, key, sections, and what is said while each is recorded."""

from __future__ import annotations

import math
import random
from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from synth.titles import title_for

RATE = 22_050
"""Samples a second of every recording."""

# Each meter counted in eighths, as the groups a drummer would feel.
METERS: dict[str, tuple[tuple[int, ...], ...]] = {
    "5/4": ((3, 3, 2, 2), (2, 2, 3, 3), (3, 2, 3, 2)),
    "7/8": ((2, 2, 3), (3, 2, 2), (2, 3, 2)),
    "9/8": ((2, 2, 2, 3), (2, 3, 2, 2), (3, 2, 2, 2)),
    "11/8": ((3, 3, 3, 2), (2, 2, 3, 2, 2), (3, 2, 3, 3)),
    "13/8": ((3, 3, 3, 2, 2), (2, 2, 3, 3, 3), (3, 2, 3, 2, 3)),
}
MODES: dict[str, tuple[int, ...]] = {
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "aeolian": (0, 2, 3, 5, 7, 8, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
    "phrygian dominant": (0, 1, 4, 5, 7, 8, 10),
}
_PHRASES: dict[str, tuple[str, ...]] = {
    "intro": ("Counting in {meter}", "Recording the arpeggio", "Recording the organ", "Warming the valves"),
    "riff": ("Recording the drums", "Recording the bass", "Doubling the bass", "Chasing the {meter} riff",
             "Stacking the organ"),
    "break": ("Letting the reverb breathe", "Recording the twelve-string", "Holding the {mode} chord",
              "Lighting the dry ice"),
    "solo": ("Recording the lead", "Bending the lead", "Riding the {meter} ostinato", "Turning the lead up"),
    "reprise": ("Bringing the riff back", "Recording the lead", "Doubling the lead", "Recording the crash",
                "Pulling out every stop"),
    "fade": ("Fading out",),
}  # fmt: skip


class Section(NamedTuple):
    """A stretch of whole bars that is played in one manner."""

    name: str
    first_bar: int
    bars: int
    lift: int
    """Semitones above the home key."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything settled before a note is written; cheap, so a clock-mode render has one too."""

    seed: int
    meter: str
    tempo: float
    """Quarter notes a minute."""
    total: int
    """Length in samples."""
    title: str
    mode: str
    root: int
    """MIDI note of the bass's home."""
    groups: tuple[int, ...]
    """The eighths of a bar, as felt."""
    sections: tuple[Section, ...]
    fade: int
    """Samples of the fade at the end."""

    @property
    def eighth(self) -> float:
        """Samples in an eighth note; a fraction, so that a long piece does not drift from its tempo."""
        return RATE * 30 / self.tempo

    @property
    def bar(self) -> float:
        """Samples in a bar."""
        return self.eighth * sum(self.groups)

    def section_at(self, sample: int) -> Section:
        """Give the section that is played at `sample`."""
        bar = int(sample / self.bar)
        return self.sections[bisect_right(self.sections, bar, key=lambda section: section.first_bar) - 1]

    def message_at(self, sample: int) -> str:
        """Say in a few words what is being recorded at `sample`; changes about every 1.5 s."""
        section = self.section_at(sample)
        name = "fade" if sample >= self.total - self.fade else section.name
        phrases = _PHRASES[name]
        since = sample / RATE - section.first_bar * self.bar / RATE
        phrase = phrases[int(since / 1.5 + (0 if name == "intro" else self.seed % 7)) % len(phrases)]
        return phrase.format(meter=self.meter, mode=self.mode)

    def log_at(self, sample: int) -> list[str]:
        """Say of each section that is on tape at `sample` what it is, from the first on."""
        told = []
        for section in self.sections:
            end = (section.first_bar + section.bars) * self.bar
            if sample < min(end, self.total):
                break
            bars = f"{section.bars} bar{'s' if section.bars > 1 else ''} of {self.meter}"
            told.append(f"On tape: {section.name}, {bars}, from {section.first_bar * self.bar / RATE:.1f} s")
        return told


def plan_for(seed: int, length: float, meter: str | None = None, tempo: float | None = None) -> Plan:
    """Plan a piece from its seed: `length` in seconds, `meter` and `tempo` (bpm) its own or as given."""
    dice = random.Random(f"{seed}/plan")
    own_meter, own_tempo = dice.choice(list(METERS)), float(dice.randrange(108, 169, 2))
    meter, tempo = meter or own_meter, tempo or own_tempo
    groups = METERS[meter][dice.randrange(3)]
    total = max(1, round(length * RATE))
    bars = max(1, math.ceil(total / (RATE * 30 / tempo * sum(groups))))
    return Plan(
        seed=seed,
        meter=meter,
        tempo=tempo,
        total=total,
        title=title_for(seed),
        mode=dice.choice(list(MODES)),
        root=dice.randrange(28, 38),
        groups=groups,
        sections=_sections(bars, dice),
        fade=min(3 * RATE, total // 6),
    )


def _sections(bars: int, dice: random.Random) -> tuple[Section, ...]:
    lift = dice.choice((2, 3, 5, -2))
    if bars < 4:
        shape = [("intro", 0), ("riff", 0), ("reprise", 0)][3 - bars :]
        return tuple(Section(name, at, 1, by) for at, (name, by) in enumerate(shape))
    frame = min(bars, 20)
    intro, middle, rest = (max(1, round(frame * part)) for part in (0.16, 0.3, 0.16))
    pieces = [("intro", intro, 0), ("riff", middle, 0)]
    # A long piece wanders before it comes home; one that is just over the frame only gets a longer reprise.
    spare = bars - frame
    while spare >= 10:
        long = 2 if spare >= 60 else 1
        pieces += [("break", 2 * long, lift), ("solo", 4 * long, lift), ("riff", 4 * long, 0)]
        spare -= 10 * long
    pieces += [("break", rest, lift), ("reprise", frame - intro - middle - rest + spare, 0)]
    sections, at = [], 0
    for name, count, by in pieces:
        sections.append(Section(name, at, count, by))
        at += count
    return tuple(sections)
