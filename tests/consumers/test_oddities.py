"""What is odd about a service's answers is in the log, once."""

from __future__ import annotations

import math

import pytest

from progrock.consumers.oddities import Oddities
from progrock.protocol import State
from progrock.step import Miss, Reading


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [f"{line.levelname} {line.getMessage()}" for line in caplog.records]
    caplog.clear()
    return found


def test_credentials_that_are_not_accepted_are_an_alarm_until_they_are(caplog: pytest.LogCaptureFixture) -> None:
    oddities, miss = Oddities(), Miss("auth", "The service does not accept our credentials (it answered 401).")
    for service in ("press", "press", "other", "press"):
        oddities.see(service, None, miss)
    said = lines(caplog)
    assert [line[:20] for line in said] == ["ERROR 'press': The s", "ERROR 'other': The s"]
    assert "401" in said[0]
    oddities.see("press", None, Reading(State.RUNNING))
    oddities.see("press", None, miss)
    assert len(lines(caplog)) == 1


@pytest.mark.parametrize("percent", [-5, 150, "abc", True, math.nan, math.inf, 10**5_000, [1], "x" * 10_000], ids=type)
def test_a_percentage_that_is_none_is_said_once(caplog: pytest.LogCaptureFixture, percent: object) -> None:
    oddities = Oddities()
    for _ in range(3):
        oddities.see("press", 30.0, Reading(State.RUNNING, percent))
    (line,) = lines(caplog)
    assert line.startswith("WARNING 'press': expected a percentage from 0 to 100, got ")
    assert len(line) < 200


def test_a_job_that_goes_back_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    oddities = Oddities()
    for percent in (30, 30.004, 31, 12, 11):
        oddities.see("press", 30.0, Reading(State.RUNNING, percent))
    assert lines(caplog) == ["WARNING 'press': a job went back from 30 to 12 percent; 30 stays shown."]


def test_what_is_in_order_is_not_worth_a_line(caplog: pytest.LogCaptureFixture) -> None:
    oddities = Oddities()
    for look in (
        Reading(State.RUNNING),
        Reading(State.RUNNING, 0),
        Reading(State.SUCCEEDED, 100),
        Miss("vanished", "Gone."),
    ):
        oddities.see("press", None, look)
    assert lines(caplog) == []
