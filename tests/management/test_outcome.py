"""What signals do to a command that asks for jobs."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from progrock.management import outcome
from tests.redis import RedisServer


@pytest.fixture(autouse=True)
def on_redis(settings: Any, redis: RedisServer) -> None:
    settings.PROGROCK = {**settings.PROGROCK, "STORE": redis.url}


def code_after(*signals: signal.Signals, asks: bool) -> tuple[object, bool]:
    """Return the exit code of a command that gets signals, and whether it was asked to end.

    :param signals: the second once the first has been heard.
    """
    asked = []

    async def main(interrupted: asyncio.Event) -> int:
        try:
            async with asyncio.timeout(60):
                for number in signals:
                    os.kill(os.getpid(), number)
                    await interrupted.wait()
                await asyncio.Event().wait()
        finally:
            asked.append(interrupted.is_set())
        return 0

    with pytest.raises(SystemExit) as end:
        outcome.run(main, asks=asks)
    return end.value.code, asked[0]


def test_the_first_ctrl_c_asks_and_the_second_ends_it() -> None:
    assert code_after(signal.SIGINT, signal.SIGINT, asks=True) == (130, True)


def test_the_first_ends_what_has_nothing_to_ask_for() -> None:
    assert code_after(signal.SIGINT, asks=False) == (130, False)


def test_being_stopped_asks_for_nothing() -> None:
    assert code_after(signal.SIGTERM, asks=True) == (143, False)


def test_who_was_started_to_ignore_ctrl_c_does() -> None:
    async def main(interrupted: asyncio.Event) -> int:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        async with asyncio.timeout(60):
            await asyncio.Event().wait()
        return 0

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as end:
            outcome.run(main, asks=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert end.value.code == 143
