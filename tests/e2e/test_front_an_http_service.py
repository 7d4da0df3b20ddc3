"""How to front an HTTP service, done as it is written: a new project, three files, a remote, and a book is printed."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from tests.conftest import until
from tests.documents import ROOT, code
from tests.e2e.server import Command
from tests.processes import free_port

PAGE = "howto/front-an-http-service.md"


async def test_ten_minutes_from_nothing_to_a_printed_book(tmp_path: Path) -> None:
    press_port, port = free_port(), free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)

    def run(*command: str) -> None:
        ran = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr

    run("-m", "django", "startproject", "shop", ".")
    with (tmp_path / "shop/settings.py").open("a") as settings:
        settings.write(code(PAGE, "settings").replace("8901", str(press_port)))
        # What the wheel has inside the app is beside it here.
        settings.write(f"STATICFILES_DIRS = [{str(ROOT / 'frontend/static')!r}]\n")
    for name in ("asgi", "urls"):
        (tmp_path / f"shop/{name}.py").write_text(code(PAGE, name))
    (tmp_path / "press.py").write_text(code(PAGE, "press").replace("8901", str(press_port)))
    run("manage.py", "check", "--fail-level", "WARNING")
    run("manage.py", "migrate", "--verbosity", "0")
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))

    def get(path: str) -> str:
        with browser.open(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
            return str(reply.read().decode())

    def answers() -> bool:
        try:
            return bool(get("/shelf/"))
        except OSError:
            return False

    def shelf() -> list[Any]:
        books: list[Any] = json.loads(get("/shelf/"))["books"]
        return books

    press = Command([str(tmp_path / "press.py")], environment)
    server = Command([str(tmp_path / "manage.py"), "runserver", "--noreload", str(port)], environment)
    try:
        press.spawn()
        server.spawn()
        await until(answers)
        page = get("/order/")
        assert "<prog-rock job=" in page
        (script,) = re.findall(r'src="([^"]+\.js)"', page)
        assert "customElements.define" in get(script)
        await until(lambda: shelf()[0][2] > 0)
        await until(lambda: shelf()[0][1] == "succeeded")
        assert shelf() == [["Close to the Edge", "succeeded", 100, {"pages": 10}]]
    except BaseException:
        sys.stderr.write(server.log + press.log)
        raise
    finally:
        for each in (server, press):
            each.kill()
            each.close()
