"""A command that asks for jobs, from beginning to end: its loop, what Ctrl-C does to it, and its exit code."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable

from django.core.management.base import CommandError

from progrock import registry
from progrock.exceptions import Refused
from progrock.protocol import Snapshot, State

from . import process

SUCCEEDED = 0
ENDED = 1
REFUSED = 2
INTERRUPTED = 130
BROKEN_PIPE = 141
TERMINATED = 143
EMBEDDED = f"{process.EMBEDDED}. Without one, only the web server itself can be asked, over HTTP: POST jobs/, GET jobs/"


def run(main: Callable[[asyncio.Event], Awaitable[int]], *, asks: bool) -> None:
    """Run a command and exit with what it returns.

    :param main: is given what is set by the first Ctrl-C.
    :param asks: whether the first Ctrl-C asks, and only the second ends it; else the first does.
    :raises CommandError: if what it asks for is refused, or nobody can tell.
    :raises SystemExit: with its exit code, unless that is 0.
    """
    if registry.conf().embedded:
        raise CommandError(EMBEDDED, returncode=REFUSED)
    try:
        code = asyncio.run(_until_stopped(main, asks=asks))
    except Refused as refusal:
        raise CommandError(str(refusal), returncode=REFUSED) from refusal
    except BrokenPipeError:
        # Nobody reads any more. Nor may Python try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = BROKEN_PIPE
    if code:
        sys.exit(code)


def code_of(snapshots: Iterable[Snapshot], *, interrupted: bool = False) -> int:
    """Return the exit code for jobs that are over.

    :param interrupted: whether their end was asked for by Ctrl-C.
    """
    states = {each.state for each in snapshots}
    if states <= {State.SUCCEEDED}:
        return SUCCEEDED
    return INTERRUPTED if interrupted and State.FAILED not in states else ENDED


async def _until_stopped(main: Callable[[asyncio.Event], Awaitable[int]], *, asks: bool) -> int:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    code = TERMINATED

    async def work() -> int:
        try:
            return await main(asked)
        finally:
            await registry.aclose()

    working = asyncio.ensure_future(work())

    def interrupt() -> None:
        nonlocal code
        if asks and not asked.is_set():
            asked.set()
        else:
            code = INTERRUPTED
            working.cancel()

    # Whoever started this in the background may have had it ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        loop.add_signal_handler(signal.SIGINT, interrupt)
    loop.add_signal_handler(signal.SIGTERM, working.cancel)
    await asyncio.wait([working])
    return code if working.cancelled() else working.result()
