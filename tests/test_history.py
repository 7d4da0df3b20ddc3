"""What past jobs tell of the next: how long they usually take, if they agree."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from time import monotonic

import pytest
from django.db import OperationalError
from django.utils import timezone

from progrock import history
from progrock.models import Job
from progrock.protocol import State

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The services that the database was asked about."""
    asked: list[str] = []
    ask = history._durations

    async def counted(service: str) -> list[float]:
        asked.append(service)
        return await ask(service)

    monkeypatch.setattr(history, "_durations", counted)
    return asked


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the process' clock on by so many seconds."""
    ahead = 0.0

    def move(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    monkeypatch.setattr(history, "monotonic", lambda: monotonic() + ahead)
    return move


async def past(*seconds: float, service: str = "s", state: State = State.SUCCEEDED) -> None:
    """Make jobs that took so long, the last of them ended last."""
    now = timezone.now()
    for number, length in enumerate(seconds):
        finished = now + timedelta(seconds=number - len(seconds))
        started = finished - timedelta(seconds=length)
        error = "remote" if state is State.FAILED else ""
        await Job.objects.acreate(
            service=service,
            owner="me",
            state=state,
            error=error,
            created=started,
            changed=finished,
            started=started,
            finished=finished,
        )


async def test_it_is_the_median_of_those_that_succeeded() -> None:
    await past(10, 11, 12, 13, 14)
    await past(100, 100, 100, 100, 100, state=State.FAILED)
    await past(1, 1, 1, 1, 1, state=State.CANCELLED)
    await past(50, 50, 50, 50, 50, service="other")
    assert await history.ausual("s") == 12_000
    assert await history.ausual("other") == 50_000


async def test_a_handful_is_needed() -> None:
    await past(10, 10, 10, 10)
    assert await history.ausual("s") == 0
    await past(10)
    history.forget()
    assert await history.ausual("s") == 10_000


async def test_the_last_ones_count() -> None:
    await past(*[100] * 10, *[10] * history.LAST)
    assert await history.ausual("s") == 10_000


async def test_jobs_that_differ_too_much_say_nothing_of_the_next() -> None:
    await past(5, 10, 20, 40, 80)
    assert await history.ausual("s") == 0


async def test_one_that_was_odd_does_not_matter() -> None:
    await past(10, 11, 12, 13, 14, 3_600)
    assert await history.ausual("s") == 12_500


@pytest.mark.parametrize(
    ("durations", "usual"),
    [
        ([], 0),
        ([0.0] * 5, 0),
        ([750.0, 750.0, 1000.0, 1250.0, 1250.0], 1000),
        ([749.0, 749.0, 1000.0, 1250.0, 1250.0], 0),
    ],
)
def test_how_much_they_may_differ(durations: list[float], usual: int) -> None:
    assert history.usual_of(durations) == usual


async def test_clocks_that_disagree_do_no_harm() -> None:
    await past(-10, -10, -10, -10, -10)
    assert await history.ausual("s") == 0


async def test_the_answer_is_kept_for_a_minute(questions: list[str], later: Callable[[float], None]) -> None:
    await past(10, 10, 10, 10, 10)
    assert await history.ausual("s") == 10_000
    await past(20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20)
    later(history.KEPT - 30)
    assert await history.ausual("s") == 10_000
    assert questions == ["s"]
    later(31)
    assert await history.ausual("s") == 20_000
    assert questions == ["s", "s"]


async def test_many_who_ask_at_once_ask_the_database_once(questions: list[str], later: Callable[[float], None]) -> None:
    await past(10, 10, 10, 10, 10)
    assert await asyncio.gather(*[history.ausual("s") for _ in range(20)]) == [10_000] * 20
    later(history.KEPT)
    assert await asyncio.gather(*[history.ausual("s") for _ in range(20)]) == [10_000] * 20
    assert questions == ["s", "s"]


async def test_while_one_asks_again_the_others_go_on_with_what_is_known(
    monkeypatch: pytest.MonkeyPatch, later: Callable[[float], None]
) -> None:
    await past(10, 10, 10, 10, 10)
    await history.ausual("s")
    later(history.KEPT)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slow(service: str) -> list[float]:
        asked.set()
        await answer.wait()
        return [20_000.0] * 5

    monkeypatch.setattr(history, "_durations", slow)
    first = asyncio.ensure_future(history.ausual("s"))
    await asked.wait()
    assert await history.ausual("s") == 10_000
    answer.set()
    assert await first == 20_000
    assert await history.ausual("s") == 20_000


async def test_one_who_asks_and_is_stopped_leaves_it_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Event()

    async def never(service: str) -> list[float]:
        asked.set()
        await asyncio.Event().wait()
        return []

    with monkeypatch.context() as patched:
        patched.setattr(history, "_durations", never)
        first = asyncio.ensure_future(history.ausual("s"))
        await asked.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    await past(10, 10, 10, 10, 10)
    assert await history.ausual("s") == 10_000


async def test_a_database_that_is_away_says_nothing_and_one_line_tells_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, later: Callable[[float], None]
) -> None:
    async def away(service: str) -> list[float]:
        raise OperationalError("away")

    await past(10, 10, 10, 10, 10)
    assert await history.ausual("s") == 10_000
    later(history.KEPT)
    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "progrock.history"):
        patched.setattr(history, "_durations", away)
        assert await history.ausual("new") == 0
        assert await history.ausual("s") == 10_000
        later(history.KEPT)
        assert await history.ausual("new") == 0
        assert [record.getMessage() for record in caplog.records] == [
            "Times left are estimated without past jobs: OperationalError('away')"
        ]
    await past(20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20, 20)
    later(history.KEPT)
    assert await history.ausual("s") == 20_000


async def test_a_database_that_hangs_holds_nobody_up_for_long(
    monkeypatch: pytest.MonkeyPatch, questions: list[str]
) -> None:
    async def never(service: str) -> list[float]:
        questions.append(service)
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(history, "WAIT", 0.05)
    monkeypatch.setattr(history, "_durations", never)
    async with asyncio.timeout(60):
        assert await asyncio.gather(*[history.ausual("s") for _ in range(3)]) == [0, 0, 0]
        assert await history.ausual("s") == 0
    assert questions == ["s"]


async def test_the_query_has_an_index() -> None:
    assert "progrock_job_past" in await history._times("s").aexplain()
