"""What every adapter promises when its remote is away, slow, broken or hostile, as tests that its author runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from ..services import File, Service
from ..step import Miss
from .hostile import hostile, http, nobody
from .talk import Talk, own_loop, talking, wrong

_GZIP = http(b"\x1f\x8b\x08\x00" + bytes(100), "200 OK", "Content-Encoding: gzip")
_NONSENSE = {
    "nothing": b"",
    "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
    "a page": http(b"<!doctype html><h1>502 Bad Gateway</h1>"),
    "an empty body": http(b""),
    "a body that is cut": http(b'{"id": "x", "sta'),
    "a body that breaks off": http(b'{"id": "x"', length=1_000),
    "bytes that are no text": http(b'{"id": "\xff\xfe"}'),
    "a compressed body that nobody asked for": _GZIP,
    "JSON nested 100,000 deep": http(b"[" * 100_000 + b"]" * 100_000),
}
_FORMS = (
    *(b"null", b"5", b'"x"', b"true", b"[]", b"{}", b"[null]", b"[{}]", b'{"id": null}', b'{"id": 5}', b'{"id": ""}'),
    *(b'{"id": {"id": "x"}}', b'{"id": "x\\u0000"}', b'{"id": "' + b"x" * 5_000 + b'"}'),
)
_STATUSES = (400, 401, 403, 404, 409, 410, 418, 429, 500, 503)
_READ_MOST = 64 << 20
_BEAT = 0.005
_BEATS_LEAST = 10
_BEATS_MOST = 100_000


class TroubleContract:
    """Take this as the base of a test class, as :class:`~progrock.testing.AdapterContract`.

    No remote is needed: it is played by servers on loopback that are up to no good.
    """

    params: Mapping[str, Any] = {}
    """Parameters that a job can be started with."""
    secrets: tuple[str, ...] = ()
    """What the adapter was given that must be seen nowhere."""

    patience = 12.0
    """Seconds for an answer: a worker waits no longer."""
    handshake = False
    """Whether the remote speaks before it is told to start a job: where it says nothing, it has not heard of one."""

    def adapter_at(self, host: str, port: int) -> Service:
        """Return a new adapter of a remote at this address; give it time-outs of a second or less."""
        raise NotImplementedError("Expected a method `adapter_at` that returns a new adapter.")

    def test_a_remote_that_is_away(self) -> None:
        async def check() -> None:
            await self._all_miss("nobody listens", *nobody())

        self._run(check)

    def test_a_remote_that_does_not_answer(self) -> None:
        async def check() -> None:
            async with hostile(silent=True) as remote:
                start = (await self._all_miss("no answer", remote.host, remote.port))["start"]
                if isinstance(start, Miss) and not start.heard and not self.handshake:
                    wrong("a start that was sent and not answered to be one that may have been heard", start)
                async with talking(self.adapter_at(remote.host, remote.port), self.patience) as talk:
                    for what, call in self._calls(talk).items():
                        # Twice: this process may have been kept waiting by others.
                        if await _held_up(call()) and await _held_up(call()):
                            wrong("the event loop to go on while an adapter waits", f"held up by {what}")

        self._run(check)

    def test_a_remote_that_makes_no_sense(self) -> None:
        async def check() -> None:
            for name, says in _NONSENSE.items():
                async with hostile(says) as remote:
                    await self._all_miss(name, remote.host, remote.port, file=says.startswith(b"HTTP"))

        self._run(check)

    def test_an_answer_of_another_form_raises_nothing(self) -> None:
        async def check() -> None:
            for form in _FORMS:
                async with hostile(http(form)) as remote:
                    await self._ask(remote.host, remote.port)

        self._run(check)

    def test_an_answer_that_is_a_refusal(self) -> None:
        async def check() -> None:
            for status in _STATUSES:
                async with hostile(http(b'{"error": "no"}', f"{status} No")) as remote:
                    await self._all_miss(f"status {status}", remote.host, remote.port, unknown=status in (404, 410))

        self._run(check)

    def test_an_answer_without_end_is_cut(self) -> None:
        async def check() -> None:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            for name, says, endless in (
                ("a body without end", head + b'\r\n{"x": "', b"0" * (1 << 16)),
                ("headers without end", head, b"X-More: " + b"0" * 1_000 + b"\r\n"),
            ):
                async with hostile(says, endless=endless) as remote:
                    await self._all_miss(name, remote.host, remote.port, file=True)
                    if remote.sent > _READ_MOST:
                        wrong(f"{name} to be cut", f"{remote.sent >> 20} MiB that were taken")
            async with hostile(head + b"\r\n", endless=b" ", pause=0.02) as remote:
                await self._all_miss("a body that drips", remote.host, remote.port, file=True)

        self._run(check)

    def test_nobody_else_is_called(self) -> None:
        async def check() -> None:
            async with hostile(http(b"{}")) as other:
                for status in ("301 Moved", "302 Found", "303 See", "307 Again", "308 Moved"):
                    away = f"Location: http://{other.host}:{other.port}/latest/meta-data"
                    async with hostile(http(b"{}", status, away)) as remote:
                        await self._ask(remote.host, remote.port)
                if other.calls:
                    wrong("a redirect to another server not to be followed", f"{other.calls} calls")

        self._run(check)

    def _run(self, check: Callable[[], Coroutine[Any, Any, None]]) -> None:
        with own_loop() as loop:
            loop.run(check())

    def _calls(self, talk: Talk) -> dict[str, Callable[[], Awaitable[object]]]:
        """Return everything that can be asked, by name."""
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "start": lambda: talk.begin(talk.order(self.params)),
            "poll": lambda: talk.looks(["a", "b", "a"]),
            "cancel": lambda: talk.cancel("a"),
            "open": lambda: _opened(talk),
        }
        return {**calls, "find": lambda: talk.find("a")} if talk.service.finds else calls

    async def _ask(self, host: str, port: int) -> dict[str, object]:
        """Return what everything that can be asked is answered, by what was asked."""
        service = self.adapter_at(host, port)
        async with talking(service, self.patience) as talk:
            calls = self._calls(talk)
            answers = dict(zip(calls, await asyncio.gather(*(call() for call in calls.values())), strict=True))
        told = f"{service!r} {answers!r}"
        for secret in self.secrets:
            if secret in told:
                wrong("secrets to be told to nobody", told.replace(secret, "***"))
        return answers

    async def _all_miss(
        self, name: str, host: str, port: int, *, file: bool = False, unknown: bool = False
    ) -> dict[str, object]:
        """Ask, expect nothing but misses, and return them.

        :param name: what there is instead of an answer.
        :param file: whether a file may come of it.
        :param unknown: whether that a job was never started may come of it.
        """
        answers = await self._ask(host, port)
        for what, answer in answers.items():
            looks = answer if isinstance(answer, list) else [answer]
            allowed = (file and what == "open") or (unknown and what == "find" and answer is None)
            if not allowed and not all(isinstance(look, Miss) for look in looks):
                wrong(f"a miss of {what} when there is {name}", answer)
        return answers


async def _opened(talk: Talk) -> object:
    """Return what comes of opening a file, which is let go of again."""
    opened = await talk.open("a")
    if isinstance(opened, File):
        await talk.within(opened.body.aclose())
    return opened


async def _held_up(call: Awaitable[object]) -> bool:
    """Return whether the event loop came round less than ten times a second while a call was made."""
    loop, beats = asyncio.get_running_loop(), 0

    async def beat() -> None:
        nonlocal beats
        for _ in range(_BEATS_MOST):
            await asyncio.sleep(_BEAT)
            beats += 1

    beating, began = asyncio.create_task(beat()), loop.time()
    try:
        await call
    finally:
        beating.cancel()
    return beats < int((loop.time() - began) * _BEATS_LEAST)
