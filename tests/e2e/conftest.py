"""Real processes and a real browser."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import websockets
from playwright.async_api import Browser, BrowserContext, async_playwright, expect

from tests.e2e.server import ServerProcess
from tests.redis import RedisServer
from tests.synth.process import SynthProcess
from tests.until import PATIENCE

LONG = PATIENCE * 1000
"""Milliseconds that `expect` waits for what a service does. Everything else is there within its ten seconds: fewer than
the twelve after which a page that hears nothing asks by itself."""

on_the_loop_of_chromium = pytest_asyncio.fixture(loop_scope="session")
"""Makes a fixture of tests that have a browser, whose loop is one for all of them."""


@pytest.fixture(scope="session")
def synth() -> Iterator[SynthProcess]:
    with SynthProcess() as synth:
        yield synth


@pytest.fixture(scope="session")
def embedded(synth: SynthProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with the engine in it."""
    with ServerProcess(synth.url, tmp_path_factory.mktemp("embedded")) as server:
        yield server


@pytest.fixture(scope="session")
def apart(synth: SynthProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with worker, scheduler and Redis beside it."""
    with RedisServer() as redis, ServerProcess(synth.url, tmp_path_factory.mktemp("apart"), redis=redis.url) as server:
        yield server


both = pytest.mark.parametrize("server", ["embedded", "apart"], indirect=True)
"""Runs a test once on each of the two."""


@pytest.fixture
def server(request: pytest.FixtureRequest) -> ServerProcess:
    server: ServerProcess = request.getfixturevalue(getattr(request, "param", "embedded"))
    return server


@pytest.fixture
def untroubled(synth: SynthProcess) -> Iterator[SynthProcess]:
    """The synth, free of trouble before and after."""
    yield synth
    synth.call("DELETE", "/v1/trouble")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """One Chromium for all the tests: to start it costs more than most of them."""
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert path, "the browser tests need Chromium: make chromium"
    async with async_playwright() as playwright:
        expect.set_options(timeout=10_000)
        browser = await playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
        )
        yield browser
        await browser.close()


@on_the_loop_of_chromium
async def browser(chromium: Browser) -> AsyncIterator[Browser]:
    """That Chromium, without anything that is open."""
    yield chromium
    for context in chromium.contexts:
        await context.close()


@on_the_loop_of_chromium
async def context(browser: Browser) -> BrowserContext:
    """Somebody who wants no motion, which takes the most of a machine that has to draw it without a graphics card."""
    return await browser.new_context(reduced_motion="reduce")


class Client:
    """A websocket client that speaks the protocol, or what it likes."""

    def __init__(self, connection: websockets.ClientConnection) -> None:
        self.connection = connection
        self._several: list[dict[str, Any]] = []

    async def say(self, frame: object) -> None:
        text = frame if isinstance(frame, str | bytes) else json.dumps(frame)
        await self.connection.send(text)

    async def hear(self, within: float = PATIENCE) -> dict[str, Any]:
        """Return the next frame; of one with news of several jobs, one after the other."""
        if not self._several:
            frame = json.loads(await asyncio.wait_for(self.connection.recv(), within))
            self._several = [{"type": "update", **each} for each in frame.get("updates", [])] or [frame]
        return self._several.pop(0)

    async def hear_until(
        self, wanted: Callable[[dict[str, Any]], bool], within: float = PATIENCE
    ) -> list[dict[str, Any]]:
        """Return the frames up to the wanted one."""
        frames: list[dict[str, Any]] = []
        async with asyncio.timeout(within):
            while not frames or not wanted(frames[-1]):
                frames.append(await self.hear(within))
        return frames

    async def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        """Send a frame with a ref and return the answer that carries it."""
        await self.say({**frame, "ref": "ask"})
        return (await self.hear_until(lambda answer: answer.get("ref") == "ask"))[-1]

    async def closed(self, within: float = PATIENCE) -> int | None:
        """Read until the close and return its code."""
        async with asyncio.timeout(within):
            try:
                async for _ in self.connection:
                    pass
            except websockets.ConnectionClosed:
                pass
        return self.connection.close_code


async def connect(server: ServerProcess, **options: Any) -> Client:
    """Connect as a browser of the same site would, without a session."""
    options.setdefault("origin", server.url)
    options.setdefault("max_size", 2**24)
    return Client(await websockets.connect(server.socket_url, **options))


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[Client]:
    client = await connect(server)
    await client.hear()
    yield client
    await client.connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
