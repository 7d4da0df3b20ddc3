"""Makes the sound of single notes: FM bass and lead, drawbar organ, plucked string, and a drum kit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from synth.music import RATE

Sound = npt.NDArray[np.float64]
Kept = npt.NDArray[np.float32]

_KEPT = 48
"""Notes remembered per kit; a riff repeats itself, and making a note costs far more than mixing it."""


class Kit:
    """The instruments of one piece: `seed` settles the noise in drums and strings."""

    def __init__(self, seed: int) -> None:
        self._noise = np.random.Generator(np.random.PCG64(seed)).random(RATE * 2) * 2 - 1
        self._made: dict[tuple[str, int, int], Kept] = {}
        self._makers: dict[str, Callable[[int, int], Sound]] = {
            "bass": self._bass,
            "organ": self._organ,
            "pluck": self._pluck,
            "lead": self._lead,
            "kick": self._kick,
            "snare": self._snare,
            "tom": self._tom,
            "hat": lambda _pitch, _held: self._cymbal(0.12, 0.022),
            "open": lambda _pitch, _held: self._cymbal(0.4, 0.11),
            "crash": lambda _pitch, _held: self._cymbal(1.9, 0.5),
        }

    def play(self, voice: str, pitch: int, held: int) -> Kept:
        """Give the sound of a MIDI note at full gain, `held` for that many samples; do not write to it."""
        name = (voice, pitch, held)
        sound = self._made.get(name)
        if sound is None:
            while len(self._made) >= _KEPT:
                del self._made[next(iter(self._made))]
            sound = self._made[name] = self._makers[voice](pitch, held).astype(np.float32)
        return sound

    def _bass(self, pitch: int, held: int) -> Sound:
        t = _time(held + _samples(0.05))
        turn = 2 * np.pi * _hertz(pitch) * t
        bite = 0.7 + 2.6 * np.exp(-t / 0.14)
        wave = np.sin(turn + bite * np.sin(turn)) + 0.35 * np.sin(turn)
        return _gate(wave * (0.35 + 0.65 * np.exp(-t / 0.5)), held, 0.004, 0.05)

    def _organ(self, pitch: int, held: int) -> Sound:
        t = _time(held + _samples(0.08))
        turn = 2 * np.pi * _hertz(pitch) * t + 0.12 * np.sin(2 * np.pi * 6.1 * t)
        wave = np.zeros_like(t)
        for harmonic, drawn in ((0.5, 0.3), (1, 1.0), (2, 0.6), (3, 0.4), (4, 0.22), (6, 0.12), (8, 0.08)):
            if harmonic * _hertz(pitch) < RATE * 0.42:
                wave += drawn * np.sin(harmonic * turn)
        click = 0.3 * np.exp(-t / 0.004) * self._noise[: len(t)] if len(t) <= len(self._noise) else 0.0
        return _gate((wave / 2 + click) * (1 + 0.16 * np.sin(2 * np.pi * 6.1 * t)), held, 0.006, 0.08)

    def _pluck(self, pitch: int, held: int) -> Sound:
        period = RATE / _hertz(pitch)
        whole = max(2, int(period))
        total = held + _samples(0.25)
        # A string is its last period, slightly smoothed, again and again. The blend tunes it, to within some
        # cents: either end of its range would not lose any treble, and a string that does not is a buzzer.
        blend = min(0.86, max(0.14, period - whole))
        rows = total // whole + 1
        string = np.empty((rows, whole))
        string[0] = self._noise[:whole] - self._noise[:whole].mean()
        lost = 0.5 ** (whole / (RATE * 0.28))
        for row in range(1, rows):
            before = string[row - 1]
            behind = np.roll(before, 1)
            behind[0] = string[row - 2][-1] if row > 1 else before[-1]
            string[row] = lost * ((1 - blend) * before + blend * behind)
        # A string cannot stay bent to one side: without this, its noise would leave a thump behind.
        string -= string.mean(axis=1, keepdims=True)
        return _gate(string.ravel()[:total].copy(), held, 0.001, 0.25)

    def _lead(self, pitch: int, held: int) -> Sound:
        t = _time(held + _samples(0.12))
        vibrato = 0.035 * np.minimum(t / 0.4, 1.0) * _hertz(pitch) / 36
        turn = 2 * np.pi * _hertz(pitch) * t + vibrato * np.sin(2 * np.pi * 5.4 * t)
        bright = 0.9 + 1.5 * np.exp(-t / 0.22) * (1 - np.exp(-t / 0.01))
        wave = np.sin(turn + bright * np.sin(turn)) + 0.6 * np.sin(1.004 * turn + bright * np.sin(1.004 * turn))
        return _gate(wave * (0.6 + 0.4 * np.exp(-t / 0.6)), held, 0.012, 0.12)

    def _kick(self, _pitch: int, _held: int) -> Sound:
        t = _time(_samples(0.4))
        wave = np.sin(2 * np.pi * (47 * t + 4.2 * (1 - np.exp(-t / 0.028))))
        return wave * np.exp(-t / 0.12) + 0.25 * self._noise[: len(t)] * np.exp(-t / 0.003)

    def _snare(self, _pitch: int, _held: int) -> Sound:
        t = _time(_samples(0.35))
        skin = np.sin(2 * np.pi * 187 * t) + 0.5 * np.sin(2 * np.pi * 331 * t)
        wires = np.diff(self._noise[: len(t) + 1])
        return 0.6 * skin * np.exp(-t / 0.05) + 0.55 * wires * np.exp(-t / 0.09)

    def _tom(self, pitch: int, _held: int) -> Sound:
        t = _time(_samples(0.4))
        wave = np.sin(2 * np.pi * (_hertz(pitch) * t + 1.6 * (1 - np.exp(-t / 0.04))))
        return wave * np.exp(-t / 0.14) + 0.1 * self._noise[: len(t)] * np.exp(-t / 0.01)

    def _cymbal(self, seconds: float, decay: float) -> Sound:
        t = _time(_samples(seconds))
        return np.diff(self._noise[: len(t) + 2], 2) * 0.4 * np.exp(-t / decay)


def _hertz(pitch: int) -> float:
    return float(440 * 2 ** ((pitch - 69) / 12))


def _samples(seconds: float) -> int:
    return int(seconds * RATE)


def _time(samples: int) -> Sound:
    return np.arange(samples, dtype=np.float64) / RATE


def _gate(wave: Sound, held: int, attack: float, release: float) -> Sound:
    """Shape a wave's edges (seconds of attack and release), so that no note begins or ends with a click."""
    rise = min(_samples(attack) + 1, len(wave))
    wave[:rise] *= np.linspace(0, 1, rise)
    fall = min(_samples(release) + 1, len(wave))
    wave[len(wave) - fall :] *= np.linspace(1, 0, fall) ** 2
    return wave
