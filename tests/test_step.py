"""The rules of a look, as a person at the page would put them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from progrock.protocol import Snapshot, State
from progrock.step import (
    CODES,
    Look,
    Miss,
    Policy,
    Reading,
    Run,
    anew,
    begin,
    cancelled,
    decide,
    expired,
    fail,
    put_off,
    too_soon,
)

NOW = 1_795_000_000_000_000
SECOND = 1_000_000
POLICY = Policy(interval=200, patience=60_000, deadline=600_000)


def a_run(state: State = State.PENDING) -> Run:
    return Run(owner="me", snapshot=Snapshot("j", "synth", "T", state, created=NOW // 1000))


def begun(percent: float | None = None) -> Run:
    run = begin(a_run(), NOW)
    return replace(run, snapshot=replace(run.snapshot, percent=percent))


def look_at(run: Run, look: Look, after: int = SECOND) -> tuple[Run, int]:
    decision = decide(run, look, POLICY, NOW + after, 0.5)
    return decision.run, decision.delay


def test_the_first_step_shows_the_job_running_at_nothing() -> None:
    run = begin(a_run(), NOW)
    assert (run.snapshot.state, run.snapshot.progress, run.snapshot.percent) == (State.RUNNING, 0, None)
    assert run.started == NOW
    assert run.snapshot.seq == NOW


def test_clocks_of_a_store_that_was_ahead_are_set_back() -> None:
    ahead = replace(begun(), started=NOW + 3_600 * SECOND, answered=NOW + 3_600 * SECOND)
    assert (anew(ahead, NOW).started, anew(ahead, NOW).answered) == (NOW, NOW)


def test_a_cancel_is_not_forgotten_by_the_first_step() -> None:
    assert begin(a_run(State.CANCELLING), NOW).snapshot.state is State.CANCELLING


def test_a_reading_is_shown_and_looked_at_again_after_the_interval() -> None:
    run, delay = look_at(begun(), Reading(State.RUNNING, 42.417, "Tuning up", "A title"))
    shown = run.snapshot
    assert (shown.progress, shown.percent, shown.message, shown.title) == (42, 42.42, "Tuning up", "A title")
    assert shown.heard == shown.moved == shown.at == (NOW + SECOND) // 1000
    assert delay == 200


def test_a_service_that_asks_us_to_wait_is_obeyed() -> None:
    _, delay = look_at(begun(), Reading(State.RUNNING, 1, again=5_000))
    assert delay == 5_000


def test_a_service_that_calls_back_is_looked_at_rarely_from_its_second_answer_on() -> None:
    calls_back = replace(POLICY, net=30_000)
    first = decide(begun(), Reading(State.RUNNING, 1), calls_back, NOW, 0.5)
    second = decide(first.run, Reading(State.RUNNING, 2), calls_back, NOW + SECOND, 0.5)
    assert (first.delay, second.delay) == (200, 30_000)
    cancelling = replace(second.run, snapshot=replace(second.run.snapshot, state=State.CANCELLING))
    assert decide(cancelling, Reading(State.RUNNING, 2), calls_back, NOW + SECOND, 0.5).delay == 200
    last = decide(second.run, Reading(State.RUNNING, 2), calls_back, NOW + 590 * SECOND, 0.5)
    assert last.delay == 10_001  # the deadline is not overslept


def test_a_look_that_is_asked_for_waits_until_the_interval_has_passed() -> None:
    calls_back = replace(POLICY, net=30_000)
    run = replace(look_at(begun(), Reading(State.RUNNING, 1))[0], remote="r-1")
    then = NOW + SECOND
    soon = too_soon(run, calls_back, then + 50_000)
    assert soon is not None
    assert soon.delay == 150
    assert soon.run == replace(run, snapshot=replace(run.snapshot, due=run.snapshot.at + 200))
    assert too_soon(run, calls_back, then + 200_000) is None
    assert too_soon(run, POLICY, then) is None
    assert too_soon(replace(run, remote=""), calls_back, then) is None
    in_trouble = decide(run, Miss("unreachable", "Busy.", again=7_000), calls_back, then, 0.5).run
    still = too_soon(in_trouble, calls_back, then + 5 * SECOND)
    assert still is not None
    assert still.delay == 2_000
    assert too_soon(in_trouble, calls_back, then + 7 * SECOND) is None
    ahead = too_soon(run, calls_back, then - 3_600 * SECOND)
    assert ahead is not None
    assert ahead.delay == 200


@pytest.mark.parametrize(
    ("reported", "shown"),
    [
        (-5, 30),
        (150, 100),
        ("abc", 30),
        (None, 30),
        (True, 30),
        (math.nan, 30),
        (math.inf, 30),
        (10**400, 100),
        (20, 30),
    ],
)
def test_a_percentage_is_clamped_ignored_and_never_goes_down(reported: object, shown: float) -> None:
    run, _ = look_at(begun(30), Reading(State.RUNNING, reported))
    assert run.snapshot.percent == shown
    assert run.snapshot.progress == min(99, shown)


def test_only_success_is_a_hundred() -> None:
    run, _ = look_at(begun(), Reading(State.RUNNING, 100))
    assert (run.snapshot.progress, run.snapshot.complete) == (99, False)
    run, _ = look_at(run, Reading(State.SUCCEEDED, 3, file="audio/wav", result={"a": 1}))
    assert (run.snapshot.progress, run.snapshot.complete, run.snapshot.percent) == (100, True, 100.0)
    assert (run.snapshot.file, run.snapshot.result, run.snapshot.left) == ("audio/wav", {"a": 1}, None)


def test_what_failed_out_there_failed_with_its_reason() -> None:
    run, _ = look_at(begun(70), Reading(State.FAILED, message="The drummer left."))
    assert run.snapshot.error is not None
    assert (run.snapshot.state, run.snapshot.error.code, run.snapshot.message) == (
        State.FAILED,
        "remote",
        "The drummer left.",
    )
    assert run.snapshot.progress == 70


def test_a_job_that_moves_is_told_from_one_that_only_answers() -> None:
    run, _ = look_at(begun(), Reading(State.RUNNING, 10, "x"))
    still, _ = look_at(run, Reading(State.RUNNING, 10, "x"), 9 * SECOND)
    assert still.snapshot.heard is not None
    assert still.snapshot.moved is not None
    assert still.snapshot.heard - still.snapshot.moved == 8_000


def test_misses_are_counted_said_and_backed_off_with_jitter() -> None:
    run, delays = begun(10), []
    for n in range(8):
        run, delay = look_at(run, Miss("unreachable", "Nobody there."), SECOND * n)
        delays.append(delay)
    assert (run.snapshot.misses, run.snapshot.message, run.snapshot.state) == (8, "Nobody there.", State.RUNNING)
    assert delays == sorted(delays)
    assert delays[0] == 250
    assert max(delays) <= POLICY.retry_most
    once = [decide(begun(), Miss("unreachable", ""), POLICY, NOW, jitter).delay for jitter in (0.0, 0.2, 0.999)]
    assert once == [1, 100, 499]
    back, delay = look_at(run, Reading(State.RUNNING, 11), 9 * SECOND)
    assert (back.snapshot.misses, back.snapshot.message, delay) == (0, "", 200)


def test_a_miss_that_says_when_is_obeyed() -> None:
    _, delay = look_at(begun(), Miss("unreachable", "Busy.", again=7_000))
    assert delay == 7_000


def test_a_dead_service_fails_the_job_when_patience_ends() -> None:
    miss = Miss("unreachable", "Nobody there.")
    run, _ = look_at(begun(), miss, 60 * SECOND)
    assert not run.snapshot.complete
    run, _ = look_at(run, miss, 61 * SECOND)
    assert run.snapshot.error is not None
    assert run.snapshot.error.code == "unreachable"
    assert run.snapshot.message == "Gave up after 61 seconds without an answer. Nobody there."


@pytest.mark.parametrize(("code", "times"), [("nonsense", 5), ("vanished", 3), ("refused", 1)])
def test_misses_that_say_something_need_less_patience(code: str, times: int) -> None:
    run = begun()
    for n in range(times):
        assert not run.snapshot.complete
        run, _ = look_at(run, Miss(code, "No."), n)
    assert run.snapshot.error is not None
    assert run.snapshot.error.code == code


@pytest.mark.parametrize("code", ["nonsense", "vanished", "refused"])
def test_a_confirmation_is_not_asked_for_in_the_same_moment(code: str) -> None:
    run = replace(begun(), remote="r")
    assert decide(run, Miss(code, "No."), POLICY, NOW, 0.0).delay == POLICY.interval


def test_credentials_that_are_not_accepted_are_tried_slowly_and_for_as_long_as_silence_is() -> None:
    """Whoever has to put them right is not helped by haste, and the job is not to blame."""
    run, now, looks = begun(), 0, 0
    while not run.snapshot.complete:
        run, delay = look_at(run, Miss("auth", "The service does not accept our credentials."), now)
        assert run.snapshot.complete or 15_000 <= delay <= 30_000 or now + delay * 1000 > 60 * SECOND
        now, looks = now + delay * 1000, looks + 1
        assert looks < 10
    assert run.snapshot.error is not None
    assert run.snapshot.error.code == "auth"
    assert run.snapshot.message == "Gave up after 60 seconds. The service does not accept our credentials."


def test_being_unreachable_first_does_not_use_up_the_confirmations() -> None:
    run = begun()
    for n in range(6):
        run, _ = look_at(run, Miss("unreachable", "No."), n)
    run, _ = look_at(run, Miss("vanished", "Gone."), 7)
    assert not run.snapshot.complete


def test_a_job_that_never_ends_ends_at_its_deadline() -> None:
    run, _ = look_at(begun(), Reading(State.RUNNING, 99), 601 * SECOND)
    assert run.snapshot.error is not None
    assert (run.snapshot.error.code, run.snapshot.message) == ("deadline", "It was not finished within 10 minutes.")


def test_success_in_the_last_moment_is_success() -> None:
    run, _ = look_at(begun(), Reading(State.SUCCEEDED), 601 * SECOND)
    assert run.snapshot.state is State.SUCCEEDED


def cancelling() -> Run:
    run = begun(40)
    return replace(run, snapshot=replace(run.snapshot, state=State.CANCELLING))


def test_a_cancel_ends_when_the_service_says_so() -> None:
    run, delay = look_at(cancelling(), Reading(State.RUNNING, 41))
    assert (run.snapshot.state, delay) == (State.CANCELLING, 200)
    run, _ = look_at(run, Reading(State.CANCELLED))
    assert (run.snapshot.state, run.snapshot.message) == (State.CANCELLED, "Cancelled.")


def test_a_cancel_that_loses_to_completion_says_so() -> None:
    run, _ = look_at(cancelling(), Reading(State.SUCCEEDED))
    assert run.snapshot.state is State.SUCCEEDED
    assert run.snapshot.message == "It was finished before it could be cancelled."


def test_a_cancel_that_cannot_be_delivered_ends_and_tells_the_truth() -> None:
    run, _ = look_at(cancelling(), Miss("unreachable", "Nobody there."), 31 * SECOND)
    assert run.snapshot.state is State.CANCELLED
    assert "may go on with it" in run.snapshot.message


def test_a_cancel_that_is_answered_with_nonsense_ends_as_a_cancel() -> None:
    run = cancelling()
    for n in range(POLICY.nonsense):
        assert not run.snapshot.complete
        run, _ = look_at(run, Miss("nonsense", "That makes no sense."), n)
    assert (run.snapshot.state, run.snapshot.message) == (
        State.CANCELLED,
        "Cancelled, but the service may go on with it: That makes no sense.",
    )


def test_what_may_stop_by_itself_was_cancelled() -> None:
    policy = replace(POLICY, stopped="cancelled")
    run = decide(begun(), Reading(State.CANCELLED, message="Enough."), policy, NOW + SECOND, 0.5).run
    assert (run.snapshot.state, run.snapshot.message) == (State.CANCELLED, "Enough.")


def test_a_job_that_the_service_stopped_by_itself_failed() -> None:
    run, _ = look_at(begun(), Reading(State.CANCELLED))
    assert run.snapshot.error is not None
    assert run.snapshot.error.code == "stopped"


def steady(percent_a_second: float, seconds: int) -> Run:
    run = begun()
    for second in range(seconds + 1):
        run, _ = look_at(run, Reading(State.RUNNING, percent_a_second * second), SECOND * second)
    return run


def test_time_left_is_told_when_it_is_no_guess() -> None:
    assert look_at(begun(), Reading(State.RUNNING, 1), 10 * SECOND)[0].snapshot.left is None
    assert look_at(begun(), Reading(State.RUNNING), 10 * SECOND)[0].snapshot.left is None
    left = steady(1, 40).snapshot.left
    assert left is not None
    assert 55_000 < left < 65_000


def test_time_left_may_be_known_from_others() -> None:
    run = replace(begun(), usual=60_000)
    left = look_at(run, Reading(State.RUNNING), 10 * SECOND)[0].snapshot.left
    assert left is not None
    assert 45_000 < left < 55_000


def test_looks_are_rarer_the_longer_it_takes_and_frequent_again_near_the_end() -> None:
    policy = replace(POLICY, deadline=3_600_000)

    def delay(run: Run, seconds: int, percent: float | None = None) -> int:
        return decide(run, Reading(State.RUNNING, percent), policy, NOW + seconds * SECOND, 0.5).delay

    assert [delay(begun(), seconds) for seconds in (1, 10, 50, 100, 599)] == [200, 200, 1_000, 2_000, 10_000]
    assert delay(steady(0.5, 199), 200, 100) <= 1_000
    assert decide(begun(), Reading(State.RUNNING), POLICY, NOW + 50 * SECOND, 0.5).delay == 1_000


def test_people_are_told_that_nothing_moves() -> None:
    run, _ = look_at(begun(), Reading(State.RUNNING, 30, "Mixing"), SECOND)
    run, _ = look_at(run, Reading(State.RUNNING, 30, "Mixing"), 120 * SECOND)
    assert not run.snapshot.stalled
    run, _ = look_at(run, Reading(State.RUNNING, 30, "Mixing"), 122 * SECOND)
    shown = run.snapshot
    assert shown.stalled
    assert (shown.heard, shown.moved) == ((NOW + 122 * SECOND) // 1000, (NOW + SECOND) // 1000)
    assert not look_at(run, Reading(State.RUNNING, 31, "Mixing"), 123 * SECOND)[0].snapshot.stalled
    assert not look_at(run, Reading(State.RUNNING, 30, "Mastering"), 123 * SECOND)[0].snapshot.stalled
    assert not look_at(run, Miss("unreachable", "Nobody."), 123 * SECOND)[0].snapshot.stalled


def test_it_is_told_when_the_next_look_is_due() -> None:
    for look in (Reading(State.RUNNING, 1), Miss("unreachable", "Nobody.")):
        run, delay = look_at(begun(), look)
        assert run.snapshot.due == (NOW + SECOND) // 1000 + delay
    assert look_at(begun(), Reading(State.SUCCEEDED))[0].snapshot.due is None


def test_a_job_that_waits_too_long_for_its_first_step_expires() -> None:
    policy = replace(POLICY, expiry=60_000)
    assert expired(a_run(), policy, NOW + 60 * SECOND) is None
    run = expired(a_run(), policy, NOW + 61 * SECOND)
    assert run is not None
    assert run.snapshot.error is not None
    assert (run.snapshot.state, run.snapshot.error.code) == (State.FAILED, "expired")


def test_a_job_may_have_a_deadline_of_its_own() -> None:
    run = replace(begun(), deadline=5_000)
    assert look_at(run, Reading(State.RUNNING, 1), 5 * SECOND)[0].snapshot.state is State.RUNNING
    over, _ = look_at(run, Reading(State.RUNNING, 1), 6 * SECOND)
    assert over.snapshot.error is not None
    assert (over.snapshot.error.code, over.snapshot.message) == ("deadline", "It was not finished within 5 seconds.")
    assert look_at(run, Miss("unreachable", "Nobody."), 6 * SECOND)[0].snapshot.state is State.FAILED


def test_text_from_outside_is_one_short_line() -> None:
    run, _ = look_at(begun(), Reading(State.RUNNING, 1, "a\r\nb\x1b[31mc" + "x" * 9_999))
    assert run.snapshot.message.startswith("a  b [31mc")
    assert len(run.snapshot.message) <= 500


def test_ends_of_our_own() -> None:
    assert fail(begun(20), "config", "Gone.", NOW).snapshot.progress == 20
    assert cancelled(begun(20), "Stopped.", NOW).snapshot.complete


@pytest.mark.parametrize("wrong", [{"interval": 0}, {"patience": -1}, {"deadline": 2**53}])
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be at (least 1|most)"):
        Policy(**wrong)  # type: ignore[arg-type]


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)
looks = st.one_of(
    st.builds(Reading, st.sampled_from(State), anything, st.text(max_size=20), st.text(max_size=20)),
    st.builds(Miss, st.sampled_from(sorted(CODES)), st.text(max_size=20)),
)


@given(st.lists(st.tuples(looks, st.integers(0, 30 * SECOND)), max_size=40), st.booleans())
def test_whatever_a_service_says_the_snapshots_stay_in_order(steps: list[tuple[Look, int]], cancel: bool) -> None:
    run = cancelling() if cancel else begun()
    now = NOW
    for look, passed in steps:
        now += passed
        decision = decide(run, look, POLICY, now, 0.3)
        before, after = run.snapshot, decision.run.snapshot
        assert after.seq > before.seq
        assert after.progress >= before.progress
        assert (after.progress == 100) == (after.state is State.SUCCEEDED)
        assert after.complete == (after.state in (State.SUCCEEDED, State.FAILED, State.CANCELLED))
        assert (after.error is not None) == (after.state is State.FAILED)
        if after.complete:
            return
        assert after.state is before.state
        assert 1 <= decision.delay <= 3_600_000
        run = decision.run


def test_a_refusal_of_a_running_job_is_confirmed_first() -> None:
    """It may be about another job of the same batch."""
    run = replace(begun(), remote="r")
    for n in range(4):
        run, _ = look_at(run, Miss("refused", "No."), n)
        assert not run.snapshot.complete
    run, _ = look_at(run, Miss("refused", "No."), 5)
    assert run.snapshot.complete


def test_nobody_waits_beyond_the_end_of_patience() -> None:
    _, delay = look_at(begun(), Miss("unreachable", "Busy.", again=3_600_000))
    assert delay <= 60_000
    _, delay = look_at(cancelling(), Miss("unreachable", "Busy.", again=3_600_000))
    assert delay <= POLICY.cancel_patience


def test_an_answer_ends_the_strikes_and_the_silence() -> None:
    run = begun()
    for n in range(1, 10):
        run, _ = look_at(run, Miss("vanished", "Gone."), 40 * n * SECOND)
        assert not run.snapshot.complete
        run, _ = look_at(run, Reading(State.RUNNING, n), (40 * n + 1) * SECOND)
    run, _ = look_at(run, Miss("unreachable", "Nobody there."), 400 * SECOND)
    assert not run.snapshot.complete


def test_a_job_that_is_not_answered_ends_at_its_deadline_too() -> None:
    run, _ = look_at(begun(), Reading(State.RUNNING, 1), 590 * SECOND)
    run, delay = look_at(run, Miss("unreachable", "Busy.", again=3_600_000), 595 * SECOND)
    assert not run.snapshot.complete
    assert delay <= 5_001
    run, _ = look_at(run, Miss("unreachable", "Nobody there."), 601 * SECOND)
    assert run.snapshot.error is not None
    assert run.snapshot.error.code == "deadline"


def test_a_service_that_asks_for_long_is_obeyed_up_to_the_deadline() -> None:
    assert look_at(begun(), Reading(State.RUNNING, 1, again=120_000))[1] == 120_000
    assert look_at(begun(), Reading(State.RUNNING, 1, again=3_600_000))[1] == 599_001


def test_silence_that_was_ours_takes_no_patience_from_the_service() -> None:
    run, delay = look_at(begun(), Reading(State.RUNNING, 1, again=300_000))
    miss = Miss("unreachable", "Nobody there.")
    run, _ = look_at(run, miss, 302 * SECOND)
    assert (run.snapshot.state, delay) == (State.RUNNING, 300_000)
    assert not look_at(run, miss, 361 * SECOND)[0].snapshot.complete
    assert look_at(run, miss, 362 * SECOND)[0].snapshot.message.startswith("Gave up after 61 seconds")


def test_jobs_that_began_together_are_soon_looked_at_at_any_time() -> None:
    jitters = [n / 100 for n in range(101)]

    def delays(run: Run) -> list[int]:
        return [decide(run, Reading(State.RUNNING), POLICY, NOW, jitter, spread=True).delay for jitter in jitters]

    assert (min(delays(begun())), delays(begun())[50], max(delays(begun()))) == (100, 200, 300)
    looked_at, _ = look_at(begun(), Reading(State.RUNNING), 0)
    assert (min(delays(looked_at)), delays(looked_at)[50], max(delays(looked_at))) == (150, 200, 250)
    assert decide(begun(), Reading(State.RUNNING, again=5_000), POLICY, NOW, 0.0, spread=True).delay == 5_000
    assert {decide(begun(), Reading(State.RUNNING), POLICY, NOW, jitter).delay for jitter in jitters} == {200}


def test_a_job_that_nobody_watches_is_looked_at_seldom_if_the_policy_says_so() -> None:
    for unwatched, watched, delay in ((None, False, 200), (30_000, True, 200), (30_000, False, 30_000)):
        policy = replace(POLICY, unwatched=unwatched)
        assert decide(begun(), Reading(State.RUNNING), policy, NOW, 0.5, watched=watched).delay == delay
    late = decide(replace(begun(), deadline=9_000), Reading(State.RUNNING), policy, NOW, 0.5, watched=False)
    assert late.delay == 9_001


def test_a_look_that_is_put_off_is_no_miss() -> None:
    before, _ = look_at(begun(30), Reading(State.RUNNING, 31, "Working"))
    decision = put_off(before, POLICY, NOW + 2 * SECOND, 5_000)
    run = decision.run
    assert decision.delay == 5_000
    assert run.put_off
    assert (run.answered, run.snapshot.misses, run.snapshot.message) == (before.answered, 0, "Working")
    assert run.snapshot.due == (NOW + 7 * SECOND) // 1000
    assert run.snapshot.seq > before.snapshot.seq
    assert not look_at(run, Reading(State.RUNNING, 32), 7 * SECOND)[0].put_off
    assert not look_at(run, Miss("unreachable", "Nobody."), 7 * SECOND)[0].put_off


def test_a_callback_does_not_take_a_look_before_its_turn() -> None:
    policy = replace(POLICY, net=30_000)
    run, _ = look_at(replace(begun(), remote="r"), Reading(State.RUNNING))
    run = put_off(run, policy, NOW + 2 * SECOND, 60_000).run
    later = too_soon(run, policy, NOW + 12 * SECOND)
    assert later is not None
    assert (later.delay, later.run.snapshot.due) == (50_000, run.snapshot.due)
    assert too_soon(run, policy, NOW + 62 * SECOND) is None


def test_a_look_that_is_put_off_for_long_fails_no_job() -> None:
    run, _ = look_at(begun(), Reading(State.RUNNING))
    run = put_off(run, POLICY, NOW + 2 * SECOND, 300_000).run
    run, _ = look_at(run, Miss("unreachable", "Nobody."), 303 * SECOND)
    assert run.snapshot.state is State.RUNNING


def test_what_is_put_off_between_two_misses_is_no_silence_of_the_service() -> None:
    miss = Miss("unreachable", "Nobody.")
    run, _ = look_at(begun(), Reading(State.RUNNING))
    run, _ = look_at(run, miss, 2 * SECOND)
    run = put_off(run, POLICY, NOW + 3 * SECOND, 100_000).run
    run = put_off(run, POLICY, NOW + 43 * SECOND, 60_000).run  # nudged before its turn
    run, _ = look_at(run, miss, 104 * SECOND)
    assert run.snapshot.state is State.RUNNING
    assert not look_at(run, miss, 150 * SECOND)[0].snapshot.complete
    # Its own silence counts as before: 2 s before it was put off, and all since its turn.
    assert look_at(run, miss, 162 * SECOND)[0].snapshot.message.startswith("Gave up after 60 seconds")


def test_a_deadline_and_a_cancel_hold_though_looks_are_put_off() -> None:
    run = replace(begun(), deadline=5_000)
    assert put_off(run, POLICY, NOW + 3 * SECOND, 60_000).delay == 2_001
    over = put_off(run, POLICY, NOW + 6 * SECOND, 60_000).run.snapshot
    assert over.error is not None
    assert over.error.code == "deadline"
    assert put_off(cancelling(), POLICY, NOW + 20 * SECOND, 60_000).delay == 10_001
    stopped = put_off(cancelling(), POLICY, NOW + 31 * SECOND, 60_000).run.snapshot
    assert stopped.state is State.CANCELLED
    assert "may go on with it" in stopped.message


def test_no_time_left_is_promised_while_the_service_is_silent() -> None:
    run = steady(1, 40)
    assert run.snapshot.left is not None
    run, _ = look_at(run, Miss("unreachable", "Nobody there."), 41 * SECOND)
    assert run.snapshot.left is None


def test_what_has_ended_has_no_misses_and_success_no_rest() -> None:
    run, _ = look_at(begun(40), Miss("unreachable", "Nobody there."))
    assert fail(run, "config", "Gone.", NOW).snapshot.misses == 0
    run, _ = look_at(run, Reading(State.SUCCEEDED), 2 * SECOND)
    assert (run.snapshot.misses, run.snapshot.percent) == (0, 100.0)


def test_a_title_from_outside_fits_its_column() -> None:
    run, _ = look_at(begun(), Reading(State.RUNNING, 1, title="T" * 400))
    assert len(run.snapshot.title) == 200


def test_the_first_answer_is_a_move() -> None:
    run, _ = look_at(begun(), Reading(State.RUNNING))
    assert run.snapshot.moved is not None


def test_nobody_waits_beyond_the_deadline() -> None:
    run = replace(begun(), deadline=5_000)
    assert look_at(run, Reading(State.RUNNING, again=30_000), 3 * SECOND)[1] == 2_001
    assert look_at(run, Reading(State.RUNNING, again=30_000), 5 * SECOND)[1] == 1


def test_a_new_line_is_movement() -> None:
    run, _ = look_at(begun(), Reading(State.RUNNING, 10))
    still, _ = look_at(run, Reading(State.RUNNING, 10), 9 * SECOND)
    moved, _ = look_at(run, Reading(State.RUNNING, 10, lines=["a"]), 9 * SECOND)
    assert still.snapshot.moved == run.snapshot.moved
    assert moved.snapshot.moved == (NOW + 9 * SECOND) // 1000
    assert (moved.snapshot.lines, moved.snapshot.seq) == (1, NOW + 9 * SECOND + 1)
