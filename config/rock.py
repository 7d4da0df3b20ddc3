"""`make rock`: start every process of the demo, say where it is, and stop them together."""

from __future__ import annotations

import contextlib
import ctypes
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

ROOT = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("VAR_DIR", ROOT / "var"))
START_MOST = 30.0
STOP_MOST = 2.0


class Trouble(Exception):
    """Why it does not run, in one line."""


def main() -> int:
    """Run until Ctrl-C, or until one of the processes ends by itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    host, port = os.environ.get("HOST", "127.0.0.1"), os.environ.get("PORT", "8000")
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        _check_free(host, port)
        os.environ.setdefault("DEBUG", "1")
        VAR_DIR.mkdir(parents=True, exist_ok=True)
        say("Starting the synth")
        synth = _spawn("synth", "--port", "0", "--home", str(VAR_DIR / "synth"), read=True)
        processes["synth"] = synth
        say("Migrating the database")
        _run("manage", "migrate", "--verbosity", "0")
        os.environ["SYNTH_URL"] = _address_of(synth)
        say("Starting the web server, with the engine in it")
        processes["web"] = _spawn("manage", "runserver", "--noreload", "--skip-checks", f"{host}:{port}")
        _wait_for(f"http://{host}:{port}/", processes)
        say(f"Rock out: http://{host}:{port}/   (Ctrl-C stops it)")
        while True:
            _check_alive(processes)
            time.sleep(0.2)
    except KeyboardInterrupt:
        say("Stopping")
        return 0
    except Trouble as trouble:
        print(f"rock: {trouble}", file=sys.stderr, flush=True)
        return 1
    finally:
        _stop(processes)


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
        raise Trouble(f"Port {port} of {host} is taken ({error.strerror}). Try: make rock PORT={number + 1}") from None


def _die_with_parent() -> None:
    # PR_SET_PDEATHSIG: nothing is left behind, even if this process is killed.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _spawn(module: str, *args: str, read: bool = False) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *args],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if read else subprocess.DEVNULL,
        # Ctrl-C reaches this process alone, which then stops the others in order.
        start_new_session=True,
        preexec_fn=_die_with_parent if sys.platform == "linux" else None,
    )


def _run(module: str, *args: str) -> None:
    if subprocess.run([sys.executable, "-m", module, *args], cwd=ROOT, check=False).returncode:
        raise Trouble(f"'{module}.py {' '.join(args)}' failed, see above.")


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


def _wait_for(url: str, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    until = time.monotonic() + START_MOST
    while time.monotonic() < until:
        _check_alive(processes)
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except urllib.error.HTTPError as error:
            raise Trouble(f"{url} answered {error.code}, see above.") from None
        except OSError:
            time.sleep(0.05)
    raise Trouble(f"{url} did not answer within {START_MOST:.0f} s.")


def _check_alive(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            raise Trouble(f"The {name} process ended by itself (exit code {process.returncode}), see above.")


def _stop(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for process in reversed(processes.values()):
        process.send_signal(signal.SIGINT)
    until = time.monotonic() + STOP_MOST
    for process in processes.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, until - time.monotonic()))
            continue
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
