"""`docs/tutorial/track-your-own-loop.md`, followed to the letter: its project, its command, and what is seen of it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.e2e.server import ROOT, Command
from tests.processes import free_port
from tests.redis import RedisServer

TUTORIAL = (ROOT / "docs/tutorial/track-your-own-loop.md").read_text()
PASSWORD = "for the tests"


class Shop:
    """The project of the tutorial."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "shop.settings",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            "PYTHONPATH": f"{folder}:{ROOT}",
        }
        self.run("-m", "django", "startproject", "shop", ".")
        self.run("manage.py", "startapp", "stock")
        for name, text in re.findall(r"^```(?:python|html) (\S+)\n(.*?)^```", TUTORIAL, re.DOTALL | re.MULTILINE):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == "shop/settings.py":
                # Redis is somewhere else here, and so are the elements, which a wheel has in it.
                own = text.replace("redis://127.0.0.1:6379/0", redis.url)
                text = path.read_text() + own + f"STATICFILES_DIRS = [{str(ROOT / 'frontend/static')!r}]\n"
            path.write_text(text)
        for package in ("stock/management", "stock/management/commands"):
            (folder / package / "__init__.py").touch()

    def run(self, *command: str) -> None:
        """Run a command of the tutorial."""
        subprocess.run([sys.executable, *command], cwd=self.folder, env=self.environment, check=True, timeout=60)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, str]]:
    with RedisServer() as redis:
        shop, port = Shop(tmp_path_factory.mktemp("shop"), redis), free_port()
        shop.run("manage.py", "migrate", "-v", "0")
        shop.run("manage.py", "createsuperuser", "--noinput", "--username", "me", "--email", "")
        manage = str(shop.folder / "manage.py")
        commands = [["runserver", "--noreload", str(port)], ["rundelay"], ["runworker", "prog-rocker"]]
        running = [Command([manage, *each], shop.environment) for each in commands]
        for each in running:
            each.spawn()
        yield shop, f"http://127.0.0.1:{port}"
        for each in running:
            each.kill()
            each.close()


@pytest.fixture
def me(site: tuple[Shop, str]) -> Iterator[requests.Session]:
    """The user of the tutorial, logged in on its page."""
    _, url = site
    with requests.Session() as session:
        until = time.monotonic() + 60
        while True:
            try:
                page = session.get(f"{url}/", timeout=30)
                break
            except (requests.ConnectionError, requests.Timeout):
                assert time.monotonic() < until, "expected a server that answers"
                time.sleep(0.05)
        (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        fields = {"username": "me", "password": PASSWORD, "csrfmiddlewaretoken": token, "next": "/"}
        page = session.post(page.url, fields, timeout=30)
        assert "<prog-rock-jobs" in page.text
        yield session


def newest(me: requests.Session, url: str, wanted: str) -> dict[str, Any]:
    """Return my newest job, once it is in a state."""
    until = time.monotonic() + 60
    while True:
        jobs = me.get(f"{url}/prog/jobs/", timeout=30).json()["jobs"]
        if jobs and jobs[0]["state"] == wanted and (wanted != "running" or jobs[0]["lines"]):
            found: dict[str, Any] = jobs[0]
            return found
        assert time.monotonic() < until, jobs
        time.sleep(0.2)


def test_the_import_is_seen_to_its_end(site: tuple[Shop, str], me: requests.Session) -> None:
    shop, url = site
    shop.run("manage.py", "import_rows", "me", "--rows", "50")
    job = newest(me, url, "succeeded")
    assert (job["title"], job["result"], job["lines"]) == ("Import", {"rows": 50}, 1)


def test_the_import_is_cancelled_from_the_page(site: tuple[Shop, str], me: requests.Session) -> None:
    shop, url = site
    command = [sys.executable, "manage.py", "import_rows", "me", "--rows", "100000"]
    with subprocess.Popen(command, cwd=shop.folder, env=shop.environment) as running:
        try:
            job = newest(me, url, "running")
            assert job["message"].startswith(tuple("123456789"))
            me.post(
                f"{url}/prog/jobs/{job['job']}/cancel",
                headers={"X-CSRFToken": str(me.cookies["csrftoken"])},
                timeout=30,
            ).raise_for_status()
            assert running.wait(60) == 0
        finally:
            running.kill()
    assert newest(me, url, "cancelled")["job"] == job["job"]
