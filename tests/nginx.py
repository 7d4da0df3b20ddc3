"""nginx in front of a server, configured as the how-to says, on a port of its own."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.documents import ROOT
from tests.processes import die_with_parent, free_port

_WHOLE = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{site}
}}
"""


class Nginx:
    """`with Nginx(port) as nginx: ... nginx.url`.

    :param port: of the server behind it.
    """

    def __init__(self, port: int) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (site,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs/howto/behind-nginx.md").read_text(), re.DOTALL)
        for said, ours in (
            ("listen 80;", f"listen 127.0.0.1:{self.port};"),
            ("server 127.0.0.1:8000;", f"server 127.0.0.1:{port};"),
        ):
            assert site.count(said) == 1
            site = site.replace(said, ours)
        self._site = site

    def __enter__(self) -> Self:
        program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        assert program, "the tests need nginx: make nginx"
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        (folder / "nginx.conf").write_text(_WHOLE.format(folder=folder, site=self._site))
        self._process = subprocess.Popen(
            [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")],
            preexec_fn=die_with_parent,
        )
        end = time.monotonic() + 20
        while not self._answers():
            log = folder / "error.log"
            assert self._process.poll() is None, log.exists() and log.read_text()
            assert time.monotonic() < end
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
