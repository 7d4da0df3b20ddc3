"""Records a plan to a WAV file block by block: mixes the notes, adds echo and room, and writes as it goes."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from synth.music import RATE, Plan
from synth.score import Composer, Note
from synth.voices import Kept, Kit, Sound

BLOCK = 1_024
"""Samples mixed at a time; fixed, and no longer than any delay line, so the pace never changes the sound."""

_CEILING = 10 ** (-1 / 20)
_DRIVE = 0.72
# Level, share sent to the echo, share sent to the room.
_CHANNELS: dict[str, tuple[float, float, float]] = {
    "bass": (0.42, 0.0, 0.02),
    "organ": (0.15, 0.05, 0.3),
    "pluck": (0.5, 0.25, 0.3),
    "lead": (0.33, 0.35, 0.3),
    "kick": (0.8, 0.0, 0.03),
    "snare": (0.8, 0.0, 0.22),
    "tom": (0.6, 0.0, 0.2),
    "hat": (0.55, 0.0, 0.05),
    "open": (0.6, 0.0, 0.1),
    "crash": (0.6, 0.0, 0.25),
}


class Tape:
    """One recording under way; not shared between threads, but each call may come from another one."""

    def __init__(self, plan: Plan, path: Path) -> None:
        """Open `path` for writing.

        Raises:
            OSError: the file cannot be made.
        """
        self.plan = plan
        self.done = 0
        self._kit = Kit(plan.seed)
        self._notes = Composer(plan).notes()
        self._next: Note | None = next(self._notes, None)
        self._sounding: list[tuple[Note, Kept]] = []
        steps = max(1, round(0.36 * RATE / plan.eighth))
        self._echo = _Loop(round(plan.eighth * steps))
        self._room = [_Loop(length) for length in (1_103, 1_327, 1_559, 1_873)]
        self._file = wave.open(str(path), "wb")  # noqa: SIM115 - open while the recording runs
        self._file.setparams((1, 2, RATE, plan.total, "NONE", "not compressed"))

    def roll(self, blocks: int) -> int:
        """Record up to `blocks` more blocks and return the samples recorded so far.

        Raises:
            OSError: the disk refused.
        """
        for _ in range(blocks):
            if self.done >= self.plan.total:
                break
            block = self._mix()[: self.plan.total - self.done]
            self._file.writeframesraw(np.rint(block * 32_767).astype("<i2").tobytes())
            self.done += len(block)
        return self.done

    def close(self) -> None:
        """Finish the file."""
        self._file.close()

    def _mix(self) -> Sound:
        begin, end = self.done, self.done + BLOCK
        while self._next is not None and self._next.start < end:
            note = self._next
            self._sounding.append((note, self._kit.play(note.voice, note.pitch, note.samples)))
            self._next = next(self._notes, None)
        mix, echo, room = np.zeros(BLOCK), np.zeros(BLOCK), np.zeros(BLOCK)
        still = []
        for note, sound in self._sounding:
            since = max(0, begin - note.start)
            part = sound[since : end - note.start]
            level, to_echo, to_room = _CHANNELS[note.voice]
            at = max(0, note.start - begin)
            heard = part * (note.gain * level)
            mix[at : at + len(part)] += heard
            if to_echo:
                echo[at : at + len(part)] += heard * to_echo
            room[at : at + len(part)] += heard * to_room
            if note.start + len(sound) > end:
                still.append((note, sound))
        self._sounding = still
        repeats = self._echo.read()
        self._echo.write(echo + 0.45 * repeats)
        mix += repeats + self._reverberate(room + 0.3 * repeats)
        return _CEILING * np.tanh(_DRIVE * mix) * self._fader(begin)

    def _reverberate(self, room: Sound) -> Sound:
        """Run four delay lines that feed each other; each turn takes a little level and treble away."""
        a, b, c, d = (line.read_soft() for line in self._room)
        total = 0.5 * (a + b + c + d)
        for line, own in zip(self._room, (a, b, c, d), strict=True):
            line.write(room + 0.8 * (total - own))
        return 0.5 * total

    def _fader(self, begin: int) -> Sound | float:
        left = self.plan.total - begin
        if left - BLOCK >= self.plan.fade:
            return 1.0
        ramp = np.clip((left - 1 - np.arange(BLOCK)) / max(1, self.plan.fade), 0, 1)
        faded: Sound = ramp * ramp * (3 - 2 * ramp)
        return faded


class _Loop:
    """A loop of tape at least one block long: what is written comes back `samples` later."""

    def __init__(self, samples: int) -> None:
        self._tape = np.zeros(max(BLOCK, samples))
        self._head = 0
        self._last = 0.0

    def read(self) -> Sound:
        return self._tape[self._where()]

    def read_soft(self) -> Sound:
        heard = self._tape[self._where()]
        soft = 0.7 * heard
        soft[1:] += 0.3 * heard[:-1]
        soft[0] += 0.3 * self._last
        self._last = float(heard[-1])
        return soft

    def write(self, block: Sound) -> None:
        self._tape[self._where()] = block
        self._head = (self._head + BLOCK) % len(self._tape)

    def _where(self) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        return (self._head + np.arange(BLOCK)) % len(self._tape)
