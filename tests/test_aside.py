"""Blocking code in threads of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading

import pytest

from progrock.aside import Aside, Full
from tests.conftest import until


def leave() -> None:
    sys.exit(3)


def stop() -> None:
    raise StopIteration


async def test_what_it_returns_and_raises_comes_back() -> None:
    aside = Aside(1)
    assert await aside.run(lambda: threading.current_thread() is not threading.main_thread())
    with pytest.raises(ZeroDivisionError):
        await aside.run(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="SystemExit"):
        await aside.run(leave)
    with pytest.raises(RuntimeError):
        await aside.run(stop)
    assert await aside.run(lambda: 2) == 2


async def test_who_hangs_keeps_a_place_until_it_comes_back() -> None:
    aside, gate = Aside(1), threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await aside.run(lambda: gate.wait(20))
    with pytest.raises(Full):
        await aside.run(lambda: 1)
    gate.set()

    async def free() -> bool:
        try:
            return await aside.run(lambda: True)
        except Full:
            return False

    await until(free)


async def test_a_system_without_threads_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    aside = Aside(1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", none_left)
        with pytest.raises(Full):
            await aside.run(lambda: 1)
    assert await aside.run(lambda: 1) == 1


def test_a_process_ends_though_somebody_hangs() -> None:
    program = """
import asyncio, time
from progrock.aside import Aside

async def main():
    try:
        async with asyncio.timeout(0.05):
            await Aside(1).run(lambda: time.sleep(60))
    except TimeoutError:
        print("gave up")

asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert (done.stdout, done.stderr) == ("gave up\n", "")
