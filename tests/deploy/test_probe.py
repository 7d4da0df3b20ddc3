"""What a container is asked by, and what it says: config.probe."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from config.probe import main, name, probe
from tests.processes import free_port


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def healthz(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.host in ("rock.example", f"127.0.0.1:{request.url.port}") else 400)

    async def readyz(request: web.Request) -> web.Response:
        return web.Response(text="store: \x1b[31mdoes not answer", status=503)

    application = web.Application()
    application.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_it_says_what_is_wrong(port: int) -> None:
    assert await asyncio.to_thread(probe, f"{port}/healthz") == ""
    assert await asyncio.to_thread(probe, f"{port}/healthz", "rock.example") == ""
    assert (await asyncio.to_thread(probe, f"{port}/healthz", "other.example")).startswith("400: ")
    assert (await asyncio.to_thread(probe, f"{port}/readyz")).startswith("503: store: ")
    assert (await asyncio.to_thread(probe, f"{port}/nothing")).startswith("404: ")
    assert (await asyncio.to_thread(probe, f"{free_port()}/healthz")).startswith("no answer: ConnectionRefusedError")


async def test_its_exit_code_tells(
    port: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "rock.example")
    assert await asyncio.to_thread(main, [f"{port}/healthz"]) == 0
    assert await asyncio.to_thread(main, [f"{port}/readyz"]) == 1
    assert capsys.readouterr().err == "503: store: \\x1b[31mdoes not answer\n"


@pytest.mark.parametrize(
    "arguments", [[], ["0/healthz"], ["healthz"], ["x/healthz"], ["70000/healthz"], ["8000/", "more"]]
)
def test_what_makes_no_sense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert "expected PORT/PATH" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("allowed", "called"),
    [("", ""), ("*", ""), ("rock.example localhost", "rock.example"), (".rock.example", "rock.example")],
)
def test_it_calls_by_a_name_that_is_allowed(allowed: str, called: str) -> None:
    assert name(allowed) == called
