"""Gives the tests of synth a real process to talk to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.synth.process import SynthProcess

Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SynthProcess]:
    """One process for all tests that do not end it."""
    with SynthProcess(home=tmp_path_factory.mktemp("synth")) as process:
        yield process


@pytest.fixture
def synth(running: SynthProcess) -> Iterator[SynthProcess]:
    """The common process, with no trouble left over."""
    running.trouble()
    yield running
    running.trouble()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[SynthProcess]:
    """A process of the test's own, which it may end."""
    with SynthProcess(home=tmp_path / "home") as process:
        yield process


@pytest.fixture
def until() -> Until:
    """Ask again until the answer is true, and give it; fail after 10 s."""

    def ask(question: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 10
        while not (answer := question()):
            assert time.monotonic() < deadline, "it never came true"
            time.sleep(0.01)
        return answer

    return ask
