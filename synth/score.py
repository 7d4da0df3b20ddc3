"""Writes the score: turns a plan into the notes of every voice, bar by bar."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from synth.music import MODES, Plan, Section


class Note(NamedTuple):
    """One sound of one voice."""

    start: int
    """Sample at which it begins."""
    voice: str
    pitch: int
    """MIDI note; ignored by the unpitched drums."""
    samples: int
    """How long it is held."""
    gain: float


class Composer:
    """Writes one piece; its riff, chords and motif are chosen once, so that they come back."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self._scale = MODES[plan.mode]
        self._count = sum(plan.groups)
        self._accents = [sum(plan.groups[:k]) for k in range(len(plan.groups))]
        dice = random.Random(f"{plan.seed}/themes")
        self._riff = self._write_riff(dice)
        self._kicks = {at for at in range(1, self._count) if at not in self._accents and dice.random() < 0.22}
        self._chords = [0, dice.choice((5, 6, 3)), dice.choice((3, 4, 6)), dice.choice((6, 4, 1))]
        self._broken = dice.choice(((0, 2, 4, 7, 4), (0, 4, 2, 7, 9, 4, 2), (0, 4, 7, 9, 7, 4), (7, 4, 2, 0, 2)))
        self._motif = self._write_motif(dice)

    def notes(self) -> Iterator[Note]:
        """Yield every note of the piece, in order of its start."""
        for section in self.plan.sections:
            for k in range(section.bars):
                bar = section.first_bar + k
                notes = list(self._bar(section, k, bar))
                yield from sorted(note for note in notes if note.start < self.plan.total)

    def _write_riff(self, dice: random.Random) -> list[list[tuple[int, int, int]]]:
        """Write two bars of (eighth, eighths held, degree): the second is the first with another ending."""
        first, degree = [], 0
        for at in range(self._count):
            if at in self._accents:
                degree = 0 if at == 0 else dice.choice((0, 0, 2, 4, 7))
            elif dice.random() < 0.62:
                degree = max(-3, min(8, degree + dice.choice((-2, -1, 1, 2, 3))))
            else:
                continue
            first.append((at, 1, degree))
        turn = self._accents[-1]
        second = [note for note in first if note[0] < turn]
        second += [(at, 1, dice.choice((4, 5, 6, 7, 8))) for at in range(turn, self._count)]
        held = []
        for bar in (first, second):
            ends = [note[0] for note in bar[1:]] + [self._count]
            held.append([(at, end - at, degree) for (at, _, degree), end in zip(bar, ends, strict=True)])
        return held

    def _write_motif(self, dice: random.Random) -> list[list[tuple[float, float, int]]]:
        """Write four bars of (eighth, eighths held, degree): long notes, then a run of sixteenths."""
        bars: list[list[tuple[float, float, int]]] = []
        degree = dice.choice((4, 7, 9))
        for k in range(4):
            notes: list[tuple[float, float, int]] = []
            for at, group in zip(self._accents, self.plan.groups, strict=True):
                degree = max(2, min(13, degree + dice.choice((-3, -2, -1, 1, 2, 2, 4))))
                if at == self._accents[-1] and k % 2:
                    way = -1 if degree > 7 else 1
                    notes += [(at + step / 2, 0.5, degree + way * step) for step in range(group * 2)]
                elif dice.random() < 0.35:
                    notes += [(at, group - 1, degree), (at + group - 1, 1, degree + dice.choice((-1, 1)))]
                else:
                    notes.append((at, group, degree))
            bars.append(notes)
        return bars

    def _bar(self, section: Section, k: int, bar: int) -> Iterator[Note]:
        chord = self._chords[(k // 2 if section.name in ("riff", "reprise") else k) % 4]
        last = k == section.bars - 1 and section is not self.plan.sections[-1]
        name = section.name
        yield from self._drums(name, k, bar, fill=last)
        if name in ("riff", "solo", "reprise"):
            yield from self._bass(section, k, bar, chord)
        else:
            yield self._note("bass", bar, 0, self._count, chord, section, 0, 0.55)
        long = name in ("intro", "break") or (name == "reprise" and k % 4 == 3)
        yield from self._organ(section, bar, chord, held=long)
        if name in ("intro", "break", "reprise"):
            yield from self._plucks(section, bar, chord)
        if name in ("solo", "reprise"):
            for at, held, degree in self._motif[k % 4]:
                yield self._note("lead", bar, at, held * 0.94, degree + chord % 3, section, 24, 0.95)

    def _bass(self, section: Section, k: int, bar: int, chord: int) -> Iterator[Note]:
        for at, held, degree in self._riff[k % 2]:
            loud = 1.0 if at in self._accents else 0.75
            yield self._note("bass", bar, at, min(held, 2) * 0.85, degree + chord, section, 0, loud)
            # The riff is doubled two octaves up, as every organist in a cape would.
            if section.name == "riff":
                yield self._note("pluck", bar, at, held, degree + chord, section, 24, 0.7 * loud)

    def _organ(self, section: Section, bar: int, chord: int, *, held: bool) -> Iterator[Note]:
        for degree in (0, 2, 4, 6) if held else (0, 2, 4):
            if held:
                yield self._note("organ", bar, 0, self._count, chord + degree, section, 24, 0.75)
                continue
            for at in self._accents:
                yield self._note("organ", bar, at, 0.8, chord + degree, section, 24, 0.9 if at else 1.0)

    def _plucks(self, section: Section, bar: int, chord: int) -> Iterator[Note]:
        quiet = 0.5 if section.name == "reprise" else 0.9
        for at in range(self._count):
            # The pattern runs on across the bar line, so that it and the meter meet again only later.
            step = self._broken[(bar * self._count + at) % len(self._broken)]
            yield self._note("pluck", bar, at, 2, chord + step, section, 36, quiet)

    def _drums(self, name: str, k: int, bar: int, *, fill: bool) -> Iterator[Note]:
        full = name in ("riff", "solo", "reprise")
        if full and k == 0:
            yield self._hit("crash", bar, 0, 0.8)
        fill_from = self._accents[-1] if fill else self._count
        for at in range(self._count):
            if at >= fill_from:
                for half in (0.0, 0.5):
                    step = (at - fill_from) * 2 + int(half * 2)
                    drum = "snare" if step % 3 == 0 else "tom"
                    yield self._hit(drum, bar, at + half, 0.6 + 0.06 * step, pitch=52 - 2 * step)
                continue
            accent = at in self._accents
            group = self._accents.index(at) if accent else -1
            if full:
                if (accent and group % 2 == 0) or at in self._kicks:
                    yield self._hit("kick", bar, at, 1.0 if accent else 0.7)
                if accent and group % 2 == 1:
                    yield self._hit("snare", bar, at, 0.95)
                ending = at == self._count - 1
                yield self._hit("open" if ending else "hat", bar, at, 0.9 if accent else 0.55)
            elif accent:
                yield self._hit("hat", bar, at, 0.6)
                if at == 0:
                    yield self._hit("kick", bar, at, 0.85)

    def _note(
        self,
        voice: str,
        bar: int,
        at: float,
        held: float,
        degree: int,
        section: Section,
        up: int,
        gain: float,
    ) -> Note:
        octave, step = divmod(degree, len(self._scale))
        pitch = self.plan.root + section.lift + up + 12 * octave + self._scale[step]
        start = round((bar * self._count + at) * self.plan.eighth)
        return Note(start, voice, pitch, max(64, round(held * self.plan.eighth)), gain)

    def _hit(self, drum: str, bar: int, at: float, gain: float, pitch: int = 0) -> Note:
        return Note(round((bar * self._count + at) * self.plan.eighth), drum, pitch, 0, gain)
