"""A site on a Redis, for commands that are processes beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping

import pytest

from tests.e2e.server import ROOT, Command
from tests.processes import die_with_parent
from tests.redis import RedisServer
from tests.synth.process import SynthProcess


class Site:
    """A worker and a scheduler, and what their environment is."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.beside = [
            Command(["manage.py", *each], environment) for each in (["runworker", "prog-rocker"], ["rundelay"])
        ]

    def begin(self, *words: str, stdout: int = subprocess.PIPE, **more: str) -> subprocess.Popen[str]:
        """Begin one of the commands, with more in its environment."""
        return subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env={**self.environment, **more},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with RedisServer() as redis, SynthProcess() as synth:
        environment = {
            **os.environ,
            "DEBUG": "1",
            "VAR_DIR": str(tmp_path_factory.mktemp("site")),
            "REDIS_URL": redis.url,
            "SYNTH_URL": synth.url,
            "DJANGO_SETTINGS_MODULE": "tests.management.settings",
        }
        made = Site(environment)
        subprocess.run([sys.executable, "manage.py", "migrate", "-v", "0"], cwd=ROOT, env=environment, check=True)
        for each in made.beside:
            each.spawn()
        try:
            yield made
        finally:
            for each in made.beside:
                each.kill()
                sys.stderr.write(each.log)
                each.close()
