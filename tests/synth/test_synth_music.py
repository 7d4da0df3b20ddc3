"""Checks the music: the same seed gives the same file, and the file is a sound piece of sound."""

from __future__ import annotations

import hashlib
import wave
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from synth.music import METERS, RATE, plan_for
from synth.score import Composer
from synth.tape import Tape
from synth.titles import LONGEST, title_for


def record(path: Path, seed: int, length: float, meter: str | None = None, blocks: int = 50) -> bytes:
    tape = Tape(plan_for(seed, length, meter), path)
    while tape.done < tape.plan.total:
        tape.roll(blocks)
    tape.close()
    return path.read_bytes()


def samples(path: Path) -> npt.NDArray[np.float64]:
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def test_titles_are_stable_plain_short_and_various() -> None:
    titles = [title_for(seed) for seed in range(3_000)]
    assert titles == [title_for(seed) for seed in range(3_000)]
    assert all(0 < len(title) <= LONGEST < 60 and title.isascii() and title.isprintable() for title in titles)
    assert not any("{" in title or " a I" in title or " a E" in title or title[0].islower() for title in titles)
    assert len(set(titles)) > 2_500


def test_seeds_choose_every_meter_and_many_tempos() -> None:
    plans = [plan_for(seed, 20) for seed in range(200)]
    assert {plan.meter for plan in plans} == set(METERS)
    assert len({plan.tempo for plan in plans}) > 15
    assert len({plan.mode for plan in plans}) == 6


def test_a_given_meter_and_tempo_win_and_the_seed_decides_the_rest() -> None:
    plan, own = plan_for(3, 20, "11/8", 63.5), plan_for(3, 20)
    assert (plan.meter, plan.tempo) == ("11/8", 63.5)
    assert (plan.title, plan.mode, plan.root) == (own.title, own.mode, own.root)


@pytest.mark.parametrize("meter", METERS)
def test_groups_fill_the_meter(meter: str) -> None:
    over, under = (int(part) for part in meter.split("/"))
    assert {sum(groups) for groups in METERS[meter]} == {over * 8 // under}


@pytest.mark.parametrize("length", [0.5, 3, 20, 61, 600])
def test_sections_cover_the_piece_without_a_gap(length: float) -> None:
    for seed in range(20):
        plan = plan_for(seed, length)
        at = 0
        for section in plan.sections:
            assert section.first_bar == at
            assert section.bars > 0
            at += section.bars
        assert at * plan.bar >= plan.total > (at - 1) * plan.bar
        assert plan.sections[-1].name == "reprise"


def test_a_20_second_piece_has_the_whole_form() -> None:
    for seed in range(50):
        assert [each.name for each in plan_for(seed, 20).sections] == ["intro", "riff", "break", "reprise"]


def test_every_riff_bar_begins_with_bass_and_kick_on_the_one() -> None:
    for seed in range(10):
        plan = plan_for(seed, 20)
        notes = list(Composer(plan).notes())
        riff = plan.sections[1]
        for bar in range(riff.first_bar, riff.first_bar + riff.bars):
            voices = {note.voice for note in notes if note.start == round(bar * plan.bar)}
            assert {"bass", "kick", "organ"} <= voices
        starts = [note.start for note in notes]
        assert starts == sorted(starts)
        grid = {round(eighth * plan.eighth / 2) for eighth in range(2 * plan.total)[:2_000]}
        assert set(starts) <= grid
        assert {"bass", "organ", "pluck", "lead", "kick", "snare", "hat"} <= {note.voice for note in notes}


def test_the_lead_waits_for_the_reprise() -> None:
    plan = plan_for(5, 20)
    leads = [note.start for note in Composer(plan).notes() if note.voice == "lead"]
    assert leads
    assert min(leads) >= round(plan.sections[3].first_bar * plan.bar)


def test_messages_change_with_the_piece_and_end_with_the_fade() -> None:
    plan = plan_for(4, 20)
    said = [plan.message_at(sample) for sample in range(0, plan.total, RATE // 4)]
    assert len(set(said)) >= 8
    assert said[-1] == "Fading out"
    assert all(0 < len(message) < 60 and "{" not in message for message in said)
    # It is a phrase to read, not a flicker.
    assert max(Counter(said).values()) >= 4


def test_the_same_seed_gives_the_same_bytes_at_any_pace(tmp_path: Path) -> None:
    first = record(tmp_path / "a.wav", 11, 2.3, blocks=1)
    assert hashlib.sha256(first).digest() == hashlib.sha256(record(tmp_path / "b.wav", 11, 2.3, blocks=16)).digest()
    assert first != record(tmp_path / "c.wav", 12, 2.3)
    assert first != record(tmp_path / "d.wav", 11, 2.3, meter="13/8" if plan_for(11, 2).meter != "13/8" else "5/4")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_levels_are_those_of_a_record(tmp_path: Path, seed: int) -> None:
    record(tmp_path / "a.wav", seed, 12)
    sound = samples(tmp_path / "a.wav")
    assert len(sound) == 12 * RATE
    peak = 20 * np.log10(np.abs(sound).max())
    assert -3.5 < peak <= -1
    assert -22 < 10 * np.log10((sound**2).mean()) < -12
    assert abs(sound.mean()) < 0.02
    assert np.abs(sound[-20:]).max() < 0.001
    # It fades: the last half second is far quieter than the piece.
    assert (sound[-RATE // 2 :] ** 2).mean() < 0.1 * (sound**2).mean()
    seconds = (sound[: 11 * RATE].reshape(11, RATE) ** 2).mean(axis=1)
    assert seconds.min() > 1e-4, "a second of silence"


def test_beats_are_heard_where_the_meter_puts_them(tmp_path: Path) -> None:
    plan = plan_for(3, 20, "7/8")
    record(tmp_path / "a.wav", 3, 20, "7/8")
    sound = samples(tmp_path / "a.wav")
    riff = plan.sections[1]
    window = RATE // 50

    def rise(at: float) -> float:
        spot = round(at)
        return float((sound[spot : spot + window] ** 2).mean() - (sound[spot - window : spot] ** 2).mean())

    ones = [rise(bar * plan.bar) for bar in range(riff.first_bar, riff.first_bar + riff.bars)]
    # A quarter of an eighth off the grid nothing begins.
    between = [rise((bar + 1 / 28) * plan.bar) for bar in range(riff.first_bar, riff.first_bar + riff.bars)]
    assert min(ones) > max(between)
    assert min(ones) > 0


def test_a_file_of_an_odd_length_has_exactly_its_samples(tmp_path: Path) -> None:
    record(tmp_path / "a.wav", 1, 0.5)
    assert len(samples(tmp_path / "a.wav")) == RATE // 2
    assert (tmp_path / "a.wav").stat().st_size == 44 + RATE


@pytest.mark.parametrize("length", [0.5, 20, 300])
def test_the_log_grows_a_section_at_a_time_and_never_says_anything_else(length: float) -> None:
    plan = plan_for(7, length)
    assert plan.log_at(0) == []
    logs = [plan.log_at(plan.total * part // 50) for part in range(51)]
    assert all(later[: len(earlier)] == earlier for earlier, later in pairwise(logs))
    assert len(logs[-1]) == len(plan.sections)
