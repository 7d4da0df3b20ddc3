"""The containers' own commands and probes, without containers: they come up, and end in grace when asked to."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from contextlib import ExitStack
from pathlib import Path

from config.make_secrets import make
from tests.conftest import until
from tests.deploy.roles import command_of, port_of, services
from tests.e2e.server import ROOT, Command
from tests.processes import free_port
from tests.redis import RedisServer

GOING_ON = ("synth", "web", "worker", "delay")


def _handles(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a function for a signal: without one, process 1 of a container does not hear of it."""
    (caught,) = re.findall(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return bool(int(caught, 16) >> (number - 1) & 1)


async def _exit_code(command: list[str], environment: dict[str, str]) -> int:
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
    return await process.wait()


async def test_every_role_comes_up_and_ends_in_grace(tmp_path: Path, redis: RedisServer) -> None:
    made = tmp_path / "secrets"
    made.mkdir()
    make(made)
    known, ports = services(), {port_of(command_of(services()[name])): free_port() for name in GOING_ON}

    def here(text: str) -> str:
        for port, free in ports.items():
            text = re.sub(rf"\b{port}\b", str(free), text)
        return text.replace("0.0.0.0", "127.0.0.1").replace("/var/lib/progrock", str(tmp_path))

    environment = {name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH", "LANG")}
    environment |= {
        "ALLOWED_HOSTS": "rock.example",
        "REDIS_URL": redis.url,
        "SECRET_KEY_FILE": str(made / "secret-key"),
        "METRICS_TOKEN_FILE": str(made / "metrics-token"),
        "SYNTH_URL": here("http://127.0.0.1:8900"),
        "VAR_DIR": str(tmp_path),
    }
    daphne = Path(sys.executable).parent / "daphne"
    with ExitStack() as stack:
        running: dict[str, Command] = {}
        migrated = await _exit_code([sys.executable, *command_of(known["migrate"])[1:]], environment)
        assert migrated == 0
        for name in GOING_ON:
            program, *arguments = (here(each) for each in command_of(known[name]))
            running[name] = Command([str(daphne), *arguments] if program == "daphne" else arguments, environment)
            stack.callback(running[name].close)
            running[name].spawn()
            stack.callback(running[name].kill)
        for name, each in running.items():
            asked = [sys.executable, *shlex.split(here(known[name]["healthcheck"]["test"]))[1:]]

            async def well(each: Command = each, asked: list[str] = asked) -> bool:
                assert each.alive, each.log
                return await _exit_code(asked, environment) == 0

            await until(well)
        for name, each in running.items():
            assert _handles(each.pid, signal.SIGTERM), name
            grace = float(known[name].get("stop_grace_period", "10s").removesuffix("s"))
            assert await asyncio.to_thread(each.stop, signal.SIGTERM, grace) == 0, (name, each.log)
