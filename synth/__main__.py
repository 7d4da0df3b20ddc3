"""The command line: `python -m synth --port 0 --host 127.0.0.1 --home DIR`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from pathlib import Path

STOPS = (signal.SIGINT, signal.SIGTERM)


def main(argv: list[str] | None = None) -> int:
    """Run the service until SIGINT or SIGTERM; return the exit code."""
    # A signal that comes before somebody listens for it waits: it must not end in a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPS)
    options = _options(argv)
    logging.basicConfig(format="synth: %(message)s", level=logging.INFO if options.verbose else logging.WARNING)
    if options.home is not None:
        return _serve(options, options.home)
    with tempfile.TemporaryDirectory(prefix="synth-") as home:
        return _serve(options, Path(home))


def _options(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m synth", description="Performs progressive rock, over HTTP.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8900, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--home", type=Path, help="where renders are kept (default: a temporary directory, removed at exit)"
    )
    parser.add_argument("--verbose", action="store_true", help="log every request to stderr")
    return parser.parse_args(argv)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        message = f"expected a port from 0 to 65535, got {text!r}"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _serve(options: argparse.Namespace, home: Path) -> int:
    try:
        asyncio.run(_run(options, home))
    except Exception as error:
        # One clear line, whatever kept it from starting.
        if options.verbose:
            logging.getLogger("synth").exception("stopped")
        print(f"synth: cannot serve on {options.host}:{options.port}: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(options: argparse.Namespace, home: Path) -> None:
    # Imported this late because it is slow, and a mistake on the command line is answered first.
    from aiohttp import web

    from synth.app import make_app

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPS:
        loop.add_signal_handler(number, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPS)
    access = logging.getLogger("synth.access") if options.verbose else None
    runner = web.AppRunner(make_app(home), access_log=access, shutdown_timeout=0.2)
    await runner.setup()
    try:
        site = web.TCPSite(runner, options.host, options.port)
        await site.start()
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"synth: listening on http://{host}:{runner.addresses[0][1]}", flush=True)
        await stop.wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    sys.exit(main())
