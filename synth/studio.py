"""Runs the renders: starts each once, records in real time, cancels, remembers, throws away what is old."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from synth.music import RATE
from synth.renders import FINAL, Order, Render
from synth.shelf import Shelf
from synth.tape import BLOCK, Tape
from synth.wire import Refusal

log = logging.getLogger("synth")
T = TypeVar("T")

MACHINES = 24
"""Tracks recorded at once; the next one waits in `queued`."""
FILES_KEPT = 500
FILES_KEPT_FOR = 3600.0
RENDERS_KEPT = 100_000
"""Ended renders that are still known; the oldest are forgotten, keys and all."""
LIVE_MOST = 100_000
_HOP = 16
"""Blocks recorded in one visit to a thread at most, so that stopping never waits long."""


class Studio:
    """The renders of one home; every method is for the event loop's thread."""

    def __init__(self, home: Path) -> None:
        """Open the studio.

        Raises:
            HomeBusyError: another synth works in `home`.
        """
        home.mkdir(parents=True, exist_ok=True)
        self.home = home
        self.starts = 0
        self.replays = 0
        self._shelf = Shelf(home)
        self._renders: dict[str, Render] = {}
        self._by_key: dict[str, Render] = {}
        self._live: dict[str, Render] = {}
        self._ended: dict[str, Render] = {}
        self._files: dict[str, Render] = {}
        self._clocks: list[tuple[float, str]] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._machines = asyncio.Semaphore(MACHINES)
        # Two, and not one per track: more only compete with the loop, which has requests to answer.
        self._hands = ThreadPoolExecutor(2, "synth-tape")

    def open(self) -> None:
        """Take up what an earlier process left: needs the running loop."""
        for stray in self.home.glob("*.part"):
            stray.unlink(missing_ok=True)
        for name, record in self._shelf.all():
            self._begin(Render.from_record(name, record))
        self._tasks[""] = asyncio.create_task(self._keep_house())

    async def close(self) -> None:
        """Stop recording; what is unfinished begins again when the home is opened again."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._hands.shutdown()
        self._shelf.close()

    def start(self, order: Order, key: str | None) -> tuple[Render, bool]:
        """Start a render, or give the one that `key` already started; the flag says whether it is new.

        Raises:
            Refusal: 422 if `key` came with another body before, 503 if too many renders are live.
        """
        known = self._by_key.get(key) if key is not None else None
        if known is not None:
            if known.order != order:
                message = f"expected the body this Idempotency-Key first came with ({known.order}), got {order}"
                raise Refusal(422, "key-reused", message)
            self.replays += 1
            return self._look(known), False
        if len(self._live) >= LIVE_MOST:
            message = f"expected fewer than {LIVE_MOST} live renders, got one more"
            raise Refusal(503, "studio-full", message, {"Retry-After": "5"})
        render = Render.make(uuid.uuid4().hex, order, key)
        self._shelf.put(render.id, render.record())
        self._begin(render)
        self.starts += 1
        return render, True

    def get(self, name: str) -> Render | None:
        """Give a render as it is now, or None."""
        render = self._renders.get(name)
        return None if render is None else self._look(render)

    def by_key(self, key: str) -> Render | None:
        """Give the render that an Idempotency-Key started, or None."""
        render = self._by_key.get(key)
        return None if render is None else self._look(render)

    def cancel(self, render: Render) -> None:
        """Call a render off; one that has ended stays as it ended."""
        if render.state not in FINAL:
            self._end(render, "cancelled")

    def forget(self, names: list[str] | None) -> None:
        """Lose renders as if they had never been (None: all of them), recordings included."""
        lost = [name for name in (list(self._renders) if names is None else names) if name in self._renders]
        for name in lost:
            render = self._renders.pop(name)
            # Whoever is recording it stops at the next block.
            render.state = "cancelled"
            for index in (self._live, self._ended, self._files):
                index.pop(name, None)
            if render.key is not None:
                self._by_key.pop(render.key, None)
            self._wake(name)
            self.path(render).unlink(missing_ok=True)
        self._shelf.drop(lost)

    def forget_key(self, key: str | None) -> None:
        """Lose which render a key has started; the render goes on."""
        if key is not None:
            self._by_key.pop(key, None)

    def path(self, render: Render) -> Path:
        """Give where a render's finished file is."""
        return self.home / f"{render.id}.wav"

    def counts(self) -> dict[str, int]:
        """Count renders: known, live, queued, with a file, and starts and replays of this process."""
        self._settle_clocks()
        queued = sum(render.state == "queued" for render in self._live.values())
        return {
            "starts": self.starts,
            "replays": self.replays,
            "known": len(self._renders),
            "live": len(self._live),
            "queued": queued,
            "files": len(self._files),
        }

    def _begin(self, render: Render) -> None:
        self._renders[render.id] = render
        if render.key is not None:
            self._by_key[render.key] = render
        if render.state in FINAL:
            self._ended[render.id] = render
            if render.bytes and self.path(render).exists():
                self._files[render.id] = render
            else:
                render.bytes = 0
            return
        self._live[render.id] = render
        if render.order.mode == "clock":
            render.state, render.begun = "running", asyncio.get_running_loop().time()
            heapq.heappush(self._clocks, (render.begun + render.lasts, render.id))
        else:
            task = asyncio.create_task(self._perform(render))
            self._tasks[render.id] = task
            task.add_done_callback(lambda _: self._tasks.pop(render.id, None))

    def _look(self, render: Render) -> Render:
        if render.order.mode == "clock" and render.state == "running":
            render.clock(asyncio.get_running_loop().time())
            if render.done >= render.plan.total:
                self._end(render, "succeeded")
        return render

    def _end(self, render: Render, state: str, error: dict[str, str] | None = None) -> None:
        render.state, render.error, render.ended = state, error, time.time()
        if self._live.pop(render.id, None) is None:
            return
        self._ended[render.id] = render
        if render.bytes:
            self._files[render.id] = render
        self._shelf.put(render.id, render.record())
        self._wake(render.id)

    def _wake(self, name: str) -> None:
        """Let the task of a render that is over end now, so that its machine is free for the next."""
        task = self._tasks.get(name)
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _perform(self, render: Render) -> None:
        part = self.home / f"{render.id}.part"
        try:
            async with self._machines:
                render.state = "running"
                await self._record(render, part)
                size = part.stat().st_size
                part.rename(self.path(render))
            render.bytes = size
            self._end(render, "succeeded")
        except Exception as error:
            log.exception("render %s failed", render.id)
            if render.state not in FINAL:
                message = f"expected to record {render.plan.total} samples, got {type(error).__name__}: {error}"
                self._end(render, "failed", {"code": "tape-snapped", "message": message})
        finally:
            part.unlink(missing_ok=True)

    async def _record(self, render: Render, part: Path) -> None:
        loop = asyncio.get_running_loop()
        speed = RATE * render.order.pace
        tape = await self._in_thread(Tape, render.plan, part)
        try:
            begun = loop.time()
            while render.done < render.plan.total:
                due = min(render.plan.total, int((loop.time() - begun) * speed))
                blocks = -(-(due - render.done) // BLOCK) if due == render.plan.total else (due - render.done) // BLOCK
                if blocks > 0:
                    render.done = await self._in_thread(tape.roll, min(blocks, _HOP))
                else:
                    # Ten visits a second are enough to look smooth.
                    await asyncio.sleep(max(BLOCK / speed, 0.09) if due < render.plan.total else 0)
        finally:
            tape.close()

    async def _in_thread(self, call: Callable[..., T], *args: object) -> T:
        """Run `call` in a thread and, even when cancelled, wait for it: a file in use cannot be closed."""
        work = asyncio.get_running_loop().run_in_executor(self._hands, call, *args)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait([work])
            raise

    async def _keep_house(self) -> None:
        while True:
            try:
                self._settle_clocks()
                self._throw_away(time.time())
            except Exception:
                log.exception("could not clear up; trying again")
            await asyncio.sleep(0.5)

    def _settle_clocks(self) -> None:
        now = asyncio.get_running_loop().time()
        while self._clocks and self._clocks[0][0] <= now:
            render = self._renders.get(heapq.heappop(self._clocks)[1])
            if render is not None:
                self._look(render)

    def _throw_away(self, now: float) -> None:
        while self._files:
            oldest = next(iter(self._files.values()))
            if len(self._files) <= FILES_KEPT and now - oldest.ended < FILES_KEPT_FOR:
                break
            del self._files[oldest.id]
            oldest.bytes = 0
            self.path(oldest).unlink(missing_ok=True)
            self._shelf.put(oldest.id, oldest.record())
        if len(self._ended) > RENDERS_KEPT:
            self.forget(list(self._ended)[: len(self._ended) - RENDERS_KEPT])
