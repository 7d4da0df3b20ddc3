"""The circuit breaker, with its time in our hands."""

from __future__ import annotations

import pytest

from progrock.services.breaker import FAILURES, Breaker
from progrock.step import Miss, Policy

NOW = 1_795_000_000_000_000
MS, SECOND = 1_000, 1_000_000
POLICY = Policy(retry=1_000, retry_most=8_000)
DEAD = Miss("unreachable", "Nobody there.")


def opened() -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(DEAD, POLICY, NOW, 1.0)
    return breaker


def test_some_failures_in_a_row_open_it_and_others_do_not() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(FAILURES - 1):
            breaker.failed(DEAD, POLICY, NOW, 1.0)
        assert breaker.admit(1_000, NOW) == 1_000
        breaker.heard(NOW)
    assert not breaker.open
    assert opened().open
    assert opened().admit(1_000, NOW) == 0


def test_one_call_is_the_probe_and_the_next_waits_for_its_end() -> None:
    breaker = opened()
    assert breaker.admit(7, NOW + 999 * MS) == 0
    assert breaker.admit(7, NOW + SECOND) == 1
    assert breaker.admit(7, NOW + 2 * SECOND) == 0
    breaker.heard(NOW + 2 * SECOND)
    assert breaker.admit(7, NOW + 2 * SECOND) == 7


def test_probes_become_rarer_up_to_the_longest_back_off() -> None:
    breaker, now, waits = opened(), NOW, []
    for _ in range(6):
        waits.append((breaker.answer(now, 0.0).again or 0) - 1)
        now += waits[-1] * MS
        assert breaker.admit(1, now) == 1
        breaker.failed(DEAD, POLICY, now, 1.0)
    assert waits == [1_000, 2_000, 4_000, 8_000, 8_000, 8_000]


def test_the_back_off_is_spread() -> None:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(DEAD, POLICY, NOW, 0.0)
    assert breaker.admit(1, NOW + 499 * MS) == 0
    assert breaker.admit(1, NOW + 500 * MS) == 1


def test_failures_of_calls_that_were_under_way_make_it_no_longer() -> None:
    breaker = opened()
    for _ in range(100):
        breaker.failed(DEAD, POLICY, NOW + 500 * MS, 1.0)
    assert breaker.admit(1, NOW + SECOND) == 1


def test_an_answer_without_a_call_says_why_and_when() -> None:
    miss = opened().answer(NOW + 400 * MS, 0.5)
    assert (miss.code, miss.message, miss.again, miss.heard) == ("unreachable", "Nobody there.", 851, False)


def test_those_who_wait_come_back_in_a_while_that_grows_with_the_wait() -> None:
    for wait, spread in ((100, 500), (4_000, 2_000), (60_000, 10_000)):
        breaker = Breaker()
        breaker.failed(Miss("unreachable", "Busy.", again=wait), POLICY, NOW, 0.0)
        assert [breaker.answer(NOW, jitter).again for jitter in (0.0, 1.0)] == [wait + 1, wait + 1 + spread]
        assert breaker.admit(1, NOW + wait * MS) == 1
        assert breaker.answer(NOW + wait * MS, 1.0).again == 500


def test_a_service_that_says_when_is_held_until_then_by_one_word() -> None:
    breaker = Breaker()
    breaker.failed(Miss("unreachable", "Busy.", again=60_000), POLICY, NOW, 0.0)
    assert breaker.admit(9, NOW + 60 * SECOND - 1) == 0
    assert breaker.admit(9, NOW + 60 * SECOND) == 1
    breaker.failed(Miss("unreachable", "Busy.", again=3_000), POLICY, NOW + 60 * SECOND, 1.0)
    assert breaker.admit(9, NOW + 63 * SECOND - 1) == 0
    assert breaker.admit(9, NOW + 63 * SECOND) == 1


def test_answers_to_calls_that_were_under_way_do_not_end_what_was_asked_for() -> None:
    breaker = Breaker()
    breaker.failed(Miss("unreachable", "Busy.", again=60_000), POLICY, NOW, 0.0)
    breaker.heard(NOW + SECOND)
    assert breaker.admit(9, NOW + 59 * SECOND) == 0
    assert breaker.admit(9, NOW + 60 * SECOND) == 1
    breaker.heard(NOW + 61 * SECOND)
    assert breaker.admit(9, NOW + 61 * SECOND) == 9


@pytest.mark.parametrize("shorter", [DEAD, Miss("unreachable", "Busy.", again=1_000)])
def test_a_later_word_does_not_shorten_what_was_asked_for(shorter: Miss) -> None:
    breaker = Breaker()
    breaker.failed(Miss("unreachable", "Busy.", again=60_000), POLICY, NOW, 0.0)
    breaker.failed(shorter, POLICY, NOW + SECOND, 0.0)
    assert breaker.admit(1, NOW + 59 * SECOND) == 0


def test_a_probe_that_was_not_made_or_whose_end_is_not_told_makes_way_for_another() -> None:
    breaker = opened()
    assert breaker.admit(1, NOW + SECOND) == 1
    breaker.dropped()
    assert breaker.admit(1, NOW + SECOND) == 1
    assert breaker.admit(1, NOW + 20 * SECOND) == 0
    assert breaker.admit(1, NOW + 21 * SECOND) == 1


def test_a_store_with_another_clock_does_not_hold_it_for_ever() -> None:
    breaker = opened()
    assert breaker.admit(3, NOW - 3_600 * SECOND) == 1
    breaker.failed(DEAD, POLICY, NOW - 3_599 * SECOND, 1.0)
    assert breaker.admit(3, NOW - 3_590 * SECOND) == 1


def test_nobody_who_wants_no_call_takes_the_probe() -> None:
    breaker = opened()
    assert breaker.admit(0, NOW + SECOND) == 0
    assert breaker.admit(2, NOW + SECOND) == 1
