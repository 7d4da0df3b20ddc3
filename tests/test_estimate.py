"""The time left: what people are told of runs like those that happen, and what they are never told."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from progrock.estimate import MOST, Pace, left, observe

ROOT = Path(__file__).parent.parent
NOW = 1_795_000_000_000_000
SECOND = 1_000_000

Course = Callable[[float], float]
"""A job's percentage by the seconds since its start."""


class Told(NamedTuple):
    """What was told at one look, all in seconds."""

    at: float
    left: float | None


def tell(course: Course, until: float, every: float = 1.0, usual: float = 0, pace: Pace | None = None) -> list[Told]:
    """Look at a job as a worker does."""
    pace = pace or Pace()
    told = []
    for look in range(math.ceil(until / every)):
        at = look * every
        now = NOW + int(at * SECOND)
        pace = observe(pace, round(course(at), 2), now, NOW, int(usual * 1000))
        answer = left(pace, now)
        told.append(Told(at, None if answer is None else answer / 1000))
    return told


def line(*points: tuple[float, float]) -> Course:
    """Return the course that goes straight from point to point, each a time and a percentage."""

    def course(at: float) -> float:
        for (start, low), (end, high) in pairwise(points):
            if at <= end:
                return low + (high - low) * (at - start) / (end - start)
        return points[-1][1]

    return course


def steps(size: float, course: Course) -> Course:
    """Return a course that is told in steps of so many points."""
    return lambda at: math.floor(course(at) / size + 1e-9) * size


def bursts(length: float, pause: float) -> Course:
    """Return a course that moves for a second, and rests for the others of each pause."""

    def course(at: float) -> float:
        done = math.floor(at / pause)
        return min(100.0, (done + min(1.0, at - done * pause)) * 100 * pause / length)

    return course


def uneven(length: int, seed: int) -> Course:
    """Return a course whose every second does more or less by chance."""
    rng = random.Random(seed)
    work = [rng.expovariate(1) for _ in range(length)]
    done = [0.0]
    for each in work:
        done.append(done[-1] + 100 * each / sum(work))
    return lambda at: min(100.0, done[min(length, int(at))])


def steady(length: float) -> Course:
    return line((0, 0), (length, 100))


def error(told: list[Told], length: float, after: float = 0) -> float:
    """Return the largest error of what was told, as a share of the job's length."""
    errors = [abs(answer - (length - at)) / length for at, answer in told if answer is not None and at >= after]
    assert errors, "nothing was told"
    return max(errors)


def answered(told: list[Told], after: float = 0, before: float = math.inf) -> list[bool]:
    return [answer is not None for at, answer in told if after <= at < before]


RUNS: dict[str, tuple[Course, int, int]] = {
    # course, length and time between looks in seconds
    "steady": (steady(120), 120, 1),
    "steady, an hour": (steady(3600), 3600, 1),
    "steady, a look every 10 s": (steady(600), 600, 10),
    "steady, in whole percents": (steps(1, steady(600)), 600, 1),
    "steady, in steps of 25 %": (steps(25, steady(240)), 240, 1),
    "steady, in bursts": (bursts(400, 20), 381, 1),
    "queued for a third": (line((0, 0), (60, 0), (180, 100)), 180, 1),
    "begins again at 60 %": (lambda at: at if at < 60 else at - 60, 160, 1),
    "uneven by chance": (uneven(300, 1), 300, 1),
    "rests at 50 %, half of the time": (line((0, 0), (60, 50), (180, 50), (240, 100)), 240, 1),
    "three times slower from 50 % on": (line((0, 0), (60, 50), (240, 100)), 240, 1),
    "slower and slower": (lambda at: 100 * (1 - (1 - at / 300) ** 2), 300, 1),
    "in uneven steps of 10 %": (steps(10, line((0, 0), (60, 35), (150, 60), (200, 100))), 200, 1),
    "six times faster from 10 % on": (line((0, 0), (60, 10), (180, 100)), 180, 1),
}


def at_the_pace_so_far(course: Course, length: int, every: int) -> list[Told]:
    """Return what is told by who knows only how far the job is, and since when it runs."""
    told = []
    for at in range(every, length, every):
        percent = course(at)
        told.append(Told(at, at * (100 - percent) / percent if percent >= 2 else None))
    return told


@pytest.mark.parametrize("run", RUNS)
def test_what_is_told_of_a_run_is_worth_what_the_docs_say(run: str) -> None:
    course, length, every = RUNS[run]
    told = tell(course, length, every)
    learned = tell(course, length, every, usual=length)
    assert learned[0].left == length
    begin = next(look.at for look in told if look.left is not None)
    half = length / 2
    simple = at_the_pace_so_far(course, length, every)
    errors = [error(told, length), error(told, length, half), error(learned, length, half), error(simple, length, half)]
    row = [run, f"{begin:.0f} s of {length}", *[f"{round(100 * each)} %" for each in errors]]
    assert f"| {' | '.join(row)} |" in (ROOT / "docs/explanation/time-left.md").read_text().splitlines()


def test_while_nothing_comes_the_time_left_counts_down() -> None:
    pace = Pace()
    for at in range(0, 61, 20):
        pace = observe(pace, at, NOW + at * SECOND, NOW, 0)
    assert [left(pace, NOW + at * SECOND) for at in (60, 65, 70, 80)] == [40_000, 35_000, 30_000, 20_000]
    looked = [observe(pace, 60, NOW + at * SECOND, NOW, 0) for at in (65, 70, 80)]
    assert [left(each, NOW + at * SECOND) for each, at in zip(looked, (65, 70, 80), strict=True)] == [
        35_000,
        30_000,
        20_000,
    ]


def test_nothing_is_told_before_enough_was_seen() -> None:
    assert [look.left for look in tell(steady(100), 5)] == [None, None, None, 97, 96]
    # A hundred minutes: two points would take two of them, and one is enough.
    told = tell(steady(6_000), 70)
    assert answered(told).index(True) == 61


def test_a_job_in_two_steps_is_never_told_a_time() -> None:
    assert not any(answered(tell(steps(50, steady(100)), 100)))


def test_a_job_that_rests_is_promised_nothing_until_it_moves() -> None:
    told = tell(line((0, 0), (60, 50), (180, 50), (240, 100)), 240)
    assert all(answered(told, 10, 65))
    assert not any(answered(told, 75, 181))
    assert all(answered(told, 183))
    assert error(told, 240, after=183) < 0.15


def test_a_rest_as_long_as_others_is_none_to_speak_of() -> None:
    told = tell(bursts(400, 20), 381)
    assert all(answered(told, after=21))


def test_while_it_rests_longer_than_usual_the_end_moves_on() -> None:
    told = tell(line((0, 0), (60, 50), (180, 50)), 65)
    at_rest = [answer for at, answer in told if at >= 62]
    assert len(at_rest) == 3
    for answer in at_rest:
        assert answer == pytest.approx(58, abs=1)


def test_nobody_looking_is_no_rest() -> None:
    pace = Pace()
    for at in (*range(31), 90):
        pace = observe(pace, at, NOW + at * SECOND, NOW, 0)
    assert left(pace, NOW + 90 * SECOND) == pytest.approx(10_000, abs=500)


def test_a_job_that_slows_down_is_not_told_of_its_quick_start_for_ever() -> None:
    told = tell(line((0, 0), (30, 60), (430, 100)), 430)
    naive = 180 * (100 - 75) / 75
    (answer,) = [answer for at, answer in told if at == 180]
    assert naive < 61
    assert answer is not None
    assert answer > 150  # it takes 250


def test_without_a_percentage_past_runs_tell_until_they_are_over() -> None:
    told = tell(lambda at: math.nan, 40, usual=30)
    assert [answer for _, answer in told[:30]] == [30 - at for at in range(30)]
    assert not any(answered(told, after=30))


def test_without_percentage_and_past_runs_nothing_is_told() -> None:
    pace = Pace()
    for at in range(100):
        pace = observe(pace, None, NOW + at * SECOND, NOW, 0)
        assert left(pace, NOW + at * SECOND) is None


@pytest.mark.parametrize("usual", [50, 200])
def test_past_runs_count_for_less_the_further_a_job_is(usual: float) -> None:
    told = tell(steady(100), 100, usual=usual)
    at = {look.at: abs((look.left if look.left is not None else math.inf) - (100 - look.at)) for look in told}
    assert at[5] > 20
    assert at[25] < at[5]
    assert at[60] < 15
    assert at[90] < 3


def test_a_job_that_begins_again_is_told_nothing_until_enough_was_seen() -> None:
    told = tell(lambda at: at if at < 60 else at - 60, 160)
    assert all(answered(told, 10, 60))
    assert not any(answered(told, 60, 63))
    assert all(answered(told, 65))


def test_a_job_that_is_overdue_gets_its_time_back_within_seconds() -> None:
    pace = Pace()
    for at in (*range(91), *range(200, 215)):
        pace = observe(pace, min(at, 91), NOW + at * SECOND, NOW, 0)
    answer = left(pace, pace.looked)
    assert answer is not None
    assert answer > 30_000


def test_a_quick_first_second_says_nothing() -> None:
    told = tell(line((0, 0), (1, 20), (161, 100)), 5, every=0.2)
    assert not any(answered(told, before=2))
    assert all(answered(told, after=2.4))


def test_a_long_rest_is_forgotten_by_and_by() -> None:
    told = tell(line((0, 0), (30, 0), (31, 5), (61, 5), (62, 10), (112, 60), (150, 60)), 150)
    assert all(answered(told, 70, 114))
    assert not any(answered(told, 125))


def test_a_job_that_was_queued_for_long_is_not_waited_for_as_long() -> None:
    told = tell(line((0, 0), (600, 0), (610, 10), (800, 10)), 800)
    assert all(answered(told, 605, 612))
    assert not any(answered(told, 621))


def test_a_last_step_that_takes_twice_as_long_as_it_should_is_not_waited_for() -> None:
    told = tell(
        line((0, 0), *[(60 * step + less, 25 * (step - (less < 0))) for step in (1, 2, 3) for less in (-1, 0)]), 400
    )
    assert [answer for at, answer in told if at in (181, 239, 241, 300)] == [59, 1, 0, 0]
    assert not any(answered(told, 307))


def test_a_look_at_it_later_makes_no_promise_that_has_lapsed() -> None:
    pace = Pace()
    for at in range(51):
        pace = observe(pace, at, NOW + at * SECOND, NOW, 0)
    assert [left(pace, NOW + at * SECOND) for at in (50, 55, 65)] == [50_000, 45_000, None]


def test_movements_too_small_to_see_spoil_nothing() -> None:
    pace = Pace()
    for at in range(100):
        pace = observe(pace, at * 5e-324, NOW + at * SECOND, NOW, 0)
    for at in range(100, 131):
        pace = observe(pace, at - 100, NOW + at * SECOND, NOW, 0)
    assert left(pace, pace.looked) == pytest.approx(70_000, abs=100)


def test_clocks_that_step_back_do_no_harm() -> None:
    pace = observe(Pace(), None, NOW, NOW + 60 * SECOND, 30_000)
    assert left(pace, NOW) == 30_000
    assert observe(pace, None, NOW - SECOND, NOW + 60 * SECOND, 30_000) == pace


def test_a_percentage_that_trembles_does_no_harm() -> None:
    told = tell(lambda at: at + (-1.5 if at % 3 == 2 else 0), 100)
    assert all(answered(told, 10))
    assert error(told, 100) < 0.05


def test_what_would_take_longer_than_a_year_is_a_guess() -> None:
    pace = Pace()
    for day in range(5):
        pace = observe(pace, day * 0.02, NOW + day * 86_400 * SECOND, NOW, 0)
    assert left(pace, pace.looked) is None
    assert all(-(2**63) <= getattr(pace, name) < 2**63 for name in ("end", "until", "gap", "since"))


def test_it_is_small_and_comes_back_from_its_entry_as_it_was() -> None:
    assert left(Pace(), NOW) is None
    pace = Pace()
    for at in range(60):
        pace = observe(pace, at + 0.42, NOW + at * SECOND, NOW, 90_000)
    packed = msgspec.msgpack.encode(pace)
    assert len(packed) < 90
    assert msgspec.msgpack.decode(packed, type=Pace) == pace


PERCENTS = st.none() | st.floats(0, 100) | st.integers(0, 100) | st.floats() | st.integers() | st.just(10**400)
PASSED = st.integers(0, 3 * SECOND) | st.integers(-SECOND, 10**10)
USUALS = st.just(0) | st.integers(1, 10**6) | st.integers(-(10**40), 10**40)
LOOKS = st.lists(st.tuples(PASSED, PERCENTS), max_size=40)


@given(LOOKS, USUALS, st.integers(0, 2 * NOW))
def test_whatever_comes_the_time_left_is_none_or_an_amount_that_moves_by_a_bounded_part(
    looks: list[tuple[int, float | None]], usual: int, started: int
) -> None:
    follow(looks, usual, started)


@given(st.lists(st.tuples(st.integers(1, 20 * SECOND), st.floats(0, 9)), max_size=60), st.integers(0, 10**6))
def test_however_a_job_moves_the_time_left_moves_by_a_bounded_part(moves: list[tuple[int, float]], usual: int) -> None:
    percent = 0.0
    looks: list[tuple[int, float | None]] = []
    for passed, points in moves:
        percent = min(100.0, percent + points)
        looks.append((passed, percent))
    follow(looks, usual, NOW)


def follow(looks: list[tuple[int, float | None]], usual: int, started: int) -> None:
    """Hold what is told at each look against what was told at the one before."""
    pace, now, before = Pace(), NOW, None
    for passed, percent in looks:
        pace = observe(pace, percent, now + passed, started, usual)
        passed, now = max(0, passed), max(now, now + passed)
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(pace), type=Pace) == pace
        answer = left(pace, now)
        if answer is not None:
            assert 0 <= answer <= MOST * 2 // 1000
            assert left(pace, now - SECOND) == answer
            assert left(pace, now + 700_000) in (None, max(0, answer - 700))
        if answer is not None and before is not None:
            bound = (2_000 + before / 4) * min(1, passed / SECOND)
            assert abs(answer - max(0, before - passed / 1000)) <= bound + 2
        before = answer


@given(st.integers(30, 10_000), st.integers(100, 1_500), st.sampled_from([0.0, 0.7, 1.5]))
def test_a_steady_job_is_told_the_truth(length: int, every: int, usual: float) -> None:
    told = tell(steady(length), length, max(every / 1000, length / 400), usual * length)
    if usual == 0:
        assert error(told, length) < 0.05
    late = [look for look in told if look.at > 0.9 * length]
    assert error(late, length) < 0.05
