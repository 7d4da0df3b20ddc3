"""`make rock`: start every process of the demo, say where it is, and stop them together."""

from __future__ import annotations

import errno
import fcntl
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from . import redis
from .processes import ROOT, Processes, Trouble

VAR_DIR = Path(os.environ.get("VAR_DIR", ROOT / "var"))
ANY = "0.0.0.0"  # noqa: S104 (compared with, not listened on)
START_MOST = 30.0


def main() -> int:
    """Run until Ctrl-C, or until one of the processes ends by itself."""
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _interrupt)
    host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "8000")
    processes = Processes()
    lock: IO[str] | None = None
    try:
        _check_free(host, port)
        lock = _lock()
        # It is a demo: whoever wants to see it wants to see what goes wrong in it.
        os.environ["DEBUG"] = "1"
        os.environ["ALLOWED_HOSTS"] = f"{_names_of(host)} {os.environ.get('ALLOWED_HOSTS', '')}"
        apart = _use_redis(processes)
        say("Starting the synth")
        synth = processes.start("synth", *_python("synth", "--port", "0", "--home", str(VAR_DIR / "synth")), read=True)
        say("Migrating the database")
        if processes.run("migrate", *_python("manage", "migrate", "--verbosity", "0")):
            raise Trouble("The database could not be migrated, see above.")
        os.environ["SYNTH_URL"] = _address_of(synth)
        say(f"The synth is at {os.environ['SYNTH_URL']}")
        say(f"Starting the web server, {'a worker and the scheduler' if apart else 'with the engine in it'}")
        processes.start("web", *_python("manage", "runserver", "--noreload", "--skip-checks", f"{host}:{port}"))
        if apart:
            processes.start("worker", *_python("manage", "runworker", "prog-rocker"))
            processes.start("delay", *_python("manage", "rundelay"))
        address = f"http://{'127.0.0.1' if host == ANY else host}:{port}/"
        _wait_for(address, processes)
        say(f"Rock out: {address}   (Ctrl-C stops it)")
        while not _asked_to_stop():
            processes.check()
            time.sleep(0.2)
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        say("Stopping")
        return 0
    except Trouble as trouble:
        print(f"rock: {trouble}", file=sys.stderr, flush=True)
        return 1
    finally:
        processes.stop(last=("synth", "redis"))
        if lock:
            lock.close()


def _interrupt(*args: object) -> None:
    """Begin to stop, once: whoever asks twice must not interrupt the stopping."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt


def _asked_to_stop() -> bool:
    """Tell whether somebody has, though what was raised is lost, as in a finalizer."""
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def say(line: str) -> None:
    """Tell what is being done."""
    print(f"rock: {line}", flush=True)


def _check_free(host: str, port: str) -> None:
    try:
        number = int(port)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, number))
    except (ValueError, OverflowError):
        raise Trouble(f"Expected PORT as a number from 1 to 65535, got {port!r}.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Trouble(f"Port {port} of {host} is taken. Try: make rock PORT={number + 1}") from None
        raise Trouble(f"Cannot listen on {host}, port {port}: {error.strerror or error}.") from None


def _lock() -> IO[str]:
    """Take this checkout's folder for this process, for as long as it lives."""
    VAR_DIR.mkdir(parents=True, exist_ok=True)
    lock = (VAR_DIR / "rock.lock").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise Trouble(f"It runs on {VAR_DIR} already. Stop that first, or try: VAR_DIR=/tmp/rock make rock") from None
    return lock


def _names_of(host: str) -> str:
    """Return the names by which others may call a server that listens on `host`."""
    name = socket.gethostname()
    return " ".join(
        ["localhost", "127.0.0.1", *([name, f"{name}.local", *_addresses(name)] if host == ANY else [host])]
    )


def _addresses(name: str) -> list[str]:
    try:
        return socket.gethostbyname_ex(name)[2]
    except OSError:
        return []


def _use_redis(processes: Processes) -> bool:
    """Leave the URL of a Redis that answers in REDIS_URL, if one is wanted, and return whether it is."""
    if url := os.environ.get("REDIS_URL"):
        redis.find(url)
        return True
    if os.environ.get("REDIS") != "1":
        return False
    say("Starting Redis")
    os.environ["REDIS_URL"] = redis.start(processes, VAR_DIR / "redis")
    say(f"Redis is at {os.environ['REDIS_URL']}")
    return True


def _python(module: str, *args: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *args)


def _address_of(synth: subprocess.Popen[bytes]) -> str:
    """Return the address that the synth prints once it listens."""
    assert synth.stdout
    with selectors.DefaultSelector() as selector:
        selector.register(synth.stdout, selectors.EVENT_READ)
        line = synth.stdout.readline().decode() if selector.select(START_MOST) else ""
    _, found, address = line.strip().partition("listening on ")
    if not found:
        raise Trouble("The synth did not start, see above.")
    return address


def _wait_for(url: str, processes: Processes) -> None:
    until = time.monotonic() + START_MOST
    while time.monotonic() < until:
        processes.check()
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except urllib.error.HTTPError as error:
            raise Trouble(f"{url} answered {error.code}, see above.") from None
        except OSError:
            time.sleep(0.05)
    raise Trouble(f"{url} did not answer within {START_MOST:.0f} s.")


if __name__ == "__main__":
    sys.exit(main())
