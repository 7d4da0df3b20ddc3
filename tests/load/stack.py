"""The containers of a site: which run, how one is killed, ended in order and replaced, and what they use."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.load.measure import Measure

COMMAND_MOST = 120.0
HEALTHY_MOST = 180.0
STOP_MOST = 30
"""Seconds that a container has between SIGTERM and SIGKILL."""
# With the password that docker-compose.yml has made, if it has made one.
_INFO = 'f=/etc/progrock/redis-password; test ! -r $f || export REDISCLI_AUTH="$(cat $f)"; exec redis-cli info'
_INSIDE = Path(__file__).parent / "inside.py"


class StackTrouble(Exception):
    """A command of Docker's failed, or a container is not as it must be."""


@dataclass
class Container:
    """One container.

    :param name: Docker's.
    :param role: Compose's service.
    :param pid: of its first process, on the host; 0 if it does not run.
    :param healthy: whether it runs, and what looks after its health says so, if anything does.
    :param restarts: how often Docker has started it again.
    """

    name: str
    role: str
    pid: int
    healthy: bool
    restarts: int


@dataclass
class Use:
    """What the processes of a role have used.

    :param cpu: seconds, of all its processes, also of those that have ended since they were first seen.
    :param memory: bytes, at the moment.
    """

    cpu: float = 0.0
    memory: int = 0


@dataclass
class Stack:
    """The site that runs.

    :param measure: how much of everything.
    """

    measure: Measure
    kills: Counter[str] = field(default_factory=Counter)
    """How often a container was killed by us."""
    _cpu: dict[tuple[int, float], tuple[str, float]] = field(default_factory=dict)

    async def compose(self, *arguments: str) -> str:
        """Run a command of Compose's for this project."""
        measure = self.measure
        files = [word for file in measure.files for word in ("-f", str(file))]
        name = ["-p", measure.project] if measure.project else []
        return await _run("docker", "compose", "--project-directory", str(measure.compose), *name, *files, *arguments)

    async def containers(self, *roles: str) -> list[Container]:
        """Return the containers of some roles, or of all, that are there."""
        ids = (await self.compose("ps", "-aq", *roles)).split()
        if not ids:
            return []
        found = []
        for each in json.loads(await _run("docker", "inspect", *ids)):
            state = each["State"]
            health = state.get("Health", {}).get("Status", "healthy")
            role = each["Config"]["Labels"]["com.docker.compose.service"]
            healthy = state["Running"] and health == "healthy"
            found.append(Container(each["Id"], role, state["Pid"], healthy, each["RestartCount"]))
        return found

    async def scale(self) -> None:
        """Have as many workers and schedulers as are wanted, and wait until they are well."""
        await self.fill("worker")
        await self.fill("delay")
        await self.well("web")

    def wanted(self, role: str) -> int:
        """Return how many containers a role has."""
        return {"worker": self.measure.workers, "delay": self.measure.schedulers}.get(role, 1)

    async def fill(self, role: str) -> None:
        """Start what is missing of a role, and wait until it is well."""
        count = self.wanted(role)
        scale = ["--scale", f"{role}={count}"]
        await self.compose("up", "-d", "--no-deps", "--no-build", "--no-recreate", *scale, role)
        await self.well(role)

    async def well(self, role: str) -> None:
        """Wait until all containers of a role are there, and well.

        :raises StackTrouble: if that takes too long.
        """
        end = time.monotonic() + HEALTHY_MOST
        while True:
            healthy = [each for each in await self.containers(role) if each.healthy]
            if len(healthy) >= self.wanted(role):
                return
            if time.monotonic() > end:
                raise StackTrouble(f"expected {self.wanted(role)} healthy containers of {role}, got {len(healthy)}")
            await asyncio.sleep(1)

    def kill(self, container: Container) -> bool:
        """Kill the first process of a container, as a crash would: Docker starts it again. Tell whether it ran."""
        if container.pid < 2:
            return False
        try:
            os.kill(container.pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.kills[container.name] += 1
        return True

    async def stop(self, container: Container) -> tuple[int, float]:
        """End a container in order, and remove it. Return its exit code, and how many seconds that took."""
        began = time.monotonic()
        await _run("docker", "stop", "-t", str(STOP_MOST), container.name)
        seconds = time.monotonic() - began
        code = int(await _run("docker", "inspect", "-f", "{{.State.ExitCode}}", container.name))
        await _run("docker", "rm", container.name)
        return code, seconds

    async def known(self, prefix: str) -> dict[str, Any]:
        """Return what the site's stores have of the jobs whose keys begin so; see `inside.py`."""
        (web, *_) = [each for each in await self.containers("web") if each.pid]
        script = _INSIDE.read_bytes()
        known: dict[str, Any] = json.loads(
            await _run("docker", "exec", "-i", web.name, "python", "-", prefix, feed=script)
        )
        return known

    async def redis(self) -> dict[str, int]:
        """Return keys, bytes and connections of Redis."""
        (redis, *_) = await self.containers("redis")
        said = await _run("docker", "exec", redis.name, "sh", "-c", _INFO)
        words = dict(line.split(":", 1) for line in said.splitlines() if ":" in line)
        keys = words.get("db0", "keys=0").partition("keys=")[2].partition(",")[0]
        return {
            "keys": int(keys),
            "memory": int(words["used_memory"]),
            "connections": int(words["connected_clients"]),
            "commands": int(words["total_commands_processed"]),
        }

    def use(self, containers: list[Container]) -> dict[str, Use]:
        """Return what each role has used so far, as far as it was seen."""
        memory: Counter[str] = Counter()
        for container in containers:
            if container.pid < 2:
                continue
            with suppress(psutil.Error):
                first = psutil.Process(container.pid)
                for process in [first, *first.children(recursive=True)]:
                    with suppress(psutil.Error):
                        times = process.cpu_times()
                        key = (process.pid, process.create_time())
                        self._cpu[key] = (container.role, times.user + times.system)
                        memory[container.role] += process.memory_info().rss
        used = {container.role: Use(memory=memory[container.role]) for container in containers}
        for role, seconds in self._cpu.values():
            used.setdefault(role, Use()).cpu += seconds
        return used


async def _run(*command: str, feed: bytes | None = None) -> str:
    """Return what a command prints.

    :raises StackTrouble: if it fails, or takes too long.
    """
    pipe = asyncio.subprocess.PIPE
    stdin = asyncio.subprocess.DEVNULL if feed is None else pipe
    process = await asyncio.create_subprocess_exec(*command, stdin=stdin, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(COMMAND_MOST):
            out, err = await process.communicate(feed)
    except TimeoutError:
        process.kill()
        raise StackTrouble(f"{' '.join(command)}: not within {COMMAND_MOST:g} s") from None
    if process.returncode:
        raise StackTrouble(f"{' '.join(command)}: {err.decode(errors='replace').strip()[-500:]}")
    return out.decode()
