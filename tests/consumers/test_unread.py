"""What a client may not have read, by what it says and by what it does not."""

from __future__ import annotations

from progrock.consumers.unread import ASK, HOLD, HORIZON, MOST, SLOW, Unread


def test_a_client_that_says_what_it_reads_is_believed_so_far() -> None:
    unread = Unread(0)
    unread.sent(ASK, 0)
    first = unread.ask()
    assert first is not None
    unread.sent(ASK, 1)
    assert unread.bytes == 2 * ASK
    unread.ack(first)
    assert (unread.says, unread.bytes) == (True, ASK)


def test_it_is_asked_no_oftener_than_it_needs() -> None:
    unread = Unread(0)
    asked = 0
    for _ in range(100):
        unread.sent(ASK // 10 + 1, 0)
        asked += unread.ask() is not None
    assert asked == 10


def test_a_number_that_nobody_asked_for_says_nothing() -> None:
    unread = Unread(0)
    unread.sent(ASK, 0)
    number = unread.ask()
    assert number is not None
    for guess in (0, 1, ASK, number + 1, 2**53 - 1):
        unread.ack(guess)
    assert (unread.says, unread.bytes) == (False, ASK)
    unread.ack(number)
    # Said twice, it is said once.
    unread.sent(5, 0)
    unread.ack(number)
    assert unread.bytes == 5


def test_acks_out_of_order_never_take_back_what_was_read() -> None:
    unread = Unread(0)
    numbers = []
    for _ in range(3):
        unread.sent(ASK, 0)
        numbers.append(unread.ask())
    unread.ack(numbers[2] or 0)
    unread.ack(numbers[0] or 0)
    assert unread.bytes == 0


def test_who_says_what_it_reads_is_held_until_it_has() -> None:
    unread = Unread(0)
    unread.sent(ASK, 0)
    unread.ack(unread.ask() or 0)
    unread.sent(HOLD + 1, 0)
    held = [unread.held]  # nobody has asked it yet
    number = unread.ask()
    held.append(unread.held)
    unread.ack(number or 0)
    held.append(unread.held)
    assert held == [False, True, False]


def test_who_does_not_say_is_slowed_and_forgiven_after_a_minute_or_two() -> None:
    unread = Unread(0)
    assert unread.sent(SLOW + 1, 0) == SLOW + 1
    slow = [unread.slow]
    for n in (1, 2):
        unread.sent(1, n * HORIZON + n)
        slow.append(unread.slow)
    assert slow == [True, True, False]
    assert (unread.held, unread.bytes) == (False, 1)


def test_who_talks_and_does_not_say_what_it_reads_is_not_forgiven() -> None:
    unread = Unread(0)
    for n in range(100):
        unread.heard()
        unread.sent(1_000, n * HORIZON)
    assert unread.bytes == 100_000


def test_what_is_asked_is_kept_within_bounds() -> None:
    unread = Unread(0)
    for _ in range(1_000):
        unread.sent(ASK, 0)
        unread.ask()
    assert len(unread._asks) <= MOST // ASK
