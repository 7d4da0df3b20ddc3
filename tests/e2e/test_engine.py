"""The engine in real processes: restarts, kills, locks, reloads, other servers, other processes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import websockets
from websockets.typing import Origin

from tests.conftest import until
from tests.e2e.conftest import Client, connect
from tests.e2e.server import ROOT, ServerProcess, session_of
from tests.processes import free_port
from tests.synth.process import SynthProcess

LONG = {"mode": "clock", "length": 4}


async def visitor(server: ServerProcess, session: str) -> Client:
    client = await connect(server, additional_headers={"Cookie": session})
    await client.hear()
    return client


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_unfinished_jobs_go_on_after_a_restart(synth: SynthProcess, folder: Path, how: str) -> None:
    starts = synth.call("GET", "/v1/stats").json["starts"]
    with ServerProcess(synth.url, folder) as server:
        session = session_of(server)
        client = await visitor(server, session)
        jobs = {(await client.ask({"action": "start", "params": LONG, "key": f"k{n}"}))["job"] for n in range(4)}
        await client.hear_until(lambda frame: frame["progress"] > 5)
        server.kill() if how == "kill" else server.stop()
        await client.connection.close()
        server.start()
        client = await visitor(server, session)
        listed = (await client.ask({"action": "list"}))["jobs"]
        assert {job["job"] for job in listed} == jobs
        ended = {job["job"]: job["state"] for job in listed if job["complete"]}

        def all_ended(frame: dict[str, Any]) -> bool:
            if frame.get("complete"):
                ended[frame["job"]] = frame["state"]
            return set(ended) == jobs

        if set(ended) != jobs:
            await client.hear_until(all_ended)
        assert set(ended.values()) == {"succeeded"}
        await client.connection.close()
    assert synth.call("GET", "/v1/stats").json["starts"] == starts + 4


async def test_jobs_end_though_nobody_comes_back(synth: SynthProcess, folder: Path) -> None:
    """After a restart the engine starts with the server, not with the first visitor."""
    with ServerProcess(synth.url, folder) as server:
        client = await visitor(server, session_of(server))
        await client.ask({"action": "start", "params": {"mode": "clock", "length": 1.5}})
        server.kill()
        server.spawn()

        def ended() -> bool:
            code = "from progrock.models import Job; print(Job.objects.get().state)"
            return server.manage("shell", "-v", "0", "-c", code).stdout.strip() == "succeeded"

        await until(ended)
        await client.connection.close()


def test_a_second_engine_on_the_same_database_is_refused(synth: SynthProcess, folder: Path) -> None:
    with ServerProcess(synth.url, folder) as server:
        second = ServerProcess(synth.url, folder)
        process = second.spawn()
        assert process.wait(20) != 0
        (line,) = [line for line in second.log.splitlines() if line.startswith("CommandError")]
        assert f"Process {server.pid} runs ProgRock on this database already. Stop it first" in line
        second.kill()
        second.close()
        with urllib.request.urlopen(server.url):
            pass
        server.stop()
        server.start()  # the lock ended with the process


def test_an_engine_that_cannot_start_stops_the_server_and_says_why(synth: SynthProcess, folder: Path) -> None:
    with ServerProcess(synth.url, folder) as server:
        server.stop()
        lock = folder / "progrock.sqlite3.engine"
        lock.unlink()
        lock.mkdir()  # not even root can open a folder for writing
        assert server.spawn().wait(20) != 0
        assert "CommandError: [Errno 21] Is a directory" in server.log


async def test_the_autoreloader_has_one_engine(synth: SynthProcess, folder: Path) -> None:
    with ServerProcess(synth.url, folder, command=("manage.py", "runserver", "{port}")) as server:
        assert server.log.count("The engine runs") == 1
        client = await visitor(server, session_of(server))
        await client.ask({"action": "start", "params": LONG})
        await client.hear_until(lambda frame: frame["progress"] > 5)
        before = synth.call("GET", "/v1/stats").json

        def seen() -> bool:
            # What it sees for the first time has not changed: it may not have looked before.
            os.utime(ROOT / "config" / "urls.py")
            return "changed, reloading" in server.log

        await until(seen)
        await until(lambda: server.log.count("The engine runs") == 2)
        server.wait()
        after = synth.call("GET", "/v1/stats").json
        assert after["starts"] == before["starts"]
        await client.connection.close()


async def test_uvicorn_starts_and_stops_it_by_lifespan(synth: SynthProcess, folder: Path) -> None:
    command = ("-m", "uvicorn", "config.asgi:application", "--port", "{port}", "--log-level", "warning")
    with ServerProcess(synth.url, folder, command=command) as server:
        assert "started with the server" in server.log
        client = await visitor(server, session_of(server))
        await client.ask({"action": "start", "params": {"mode": "clock", "length": 0.5}})
        assert (await client.hear_until(lambda frame: frame["complete"]))[-1]["state"] == "succeeded"
        await client.connection.close()
        assert server.stop() in (0, -signal.SIGINT)


async def test_plain_daphne_starts_it_with_the_first_visitor_and_says_so(synth: SynthProcess, folder: Path) -> None:
    command = ("-m", "daphne", "-p", "{port}", "config.asgi:application")
    with ServerProcess(synth.url, folder, command=command) as server:
        client = await visitor(server, session_of(server))
        assert "with the first visitor" in server.log
        await client.ask({"action": "start", "params": {"mode": "clock", "length": 0.5}})
        assert (await client.hear_until(lambda frame: frame["complete"]))[-1]["state"] == "succeeded"
        await client.connection.close()


def test_without_debug_the_page_has_its_files_and_its_key_is_in_one(synth: SynthProcess, folder: Path) -> None:
    command = ("-m", "daphne", "-p", "{port}", "config.asgi:application")
    key = folder / "key"
    server = ServerProcess(synth.url, folder, command=command)
    server.environment |= {"DEBUG": "", "SECRET_KEY": "", "SECRET_KEY_FILE": str(key), "ALLOWED_HOSTS": "127.0.0.1"}
    server.environment["HTTPS"] = "0"
    key.touch()
    with pytest.raises(subprocess.CalledProcessError) as refused:
        server.manage("check")
    assert refused.value.stderr.endswith(f"SECRET_KEY_FILE names to say something, got '{key}', empty.\n")
    key.write_text("a key\n")
    with server:
        with urllib.request.urlopen(server.url) as page:
            assert b"/static/rock/rock.js" in page.read()
        script = f"{server.url}/static/rock/rock.js"
        with urllib.request.urlopen(script) as answer:
            assert answer.headers["Content-Type"] == "text/javascript"
            assert answer.read() == (ROOT / "frontend/static/rock/rock.js").read_bytes()
            known = {"If-None-Match": answer.headers["ETag"]}
        with pytest.raises(urllib.error.HTTPError, match="304"):
            urllib.request.urlopen(urllib.request.Request(script, headers=known))
        for name, code in (("rock", "404"), ("rock/no.js", "404"), ("../templates/rock/index.html", "400")):
            with pytest.raises(urllib.error.HTTPError, match=code):
                urllib.request.urlopen(f"{server.url}/static/{name}")


async def test_other_processes_reach_the_engine_through_the_rows(synth: SynthProcess, folder: Path) -> None:
    with ServerProcess(synth.url, folder) as server:
        code = "from progrock import jobs; print(jobs.start(params={params}, owner='shell').job)"
        job = server.manage(
            "shell", "-v", "0", "-c", code.format(params={"mode": "clock", "length": 600})
        ).stdout.strip()
        state = f"from progrock import jobs; print(jobs.get('{job}', owner='shell').state)"

        def state_is(wanted: str) -> bool:
            return server.manage("shell", "-v", "0", "-c", state).stdout.strip() == wanted

        await until(lambda: state_is("running"))
        cancel = f"from progrock import jobs; print(jobs.cancel('{job}', owner='shell').state)"
        assert server.manage("shell", "-v", "0", "-c", cancel).stdout.strip() == "cancelling"
        await until(lambda: state_is("cancelled"))


async def test_a_job_outlives_its_worker_and_its_scheduler(synth: SynthProcess, apart: ServerProcess) -> None:
    starts = synth.call("GET", "/v1/stats").json["starts"]
    client = await visitor(apart, session_of(apart))
    for process in apart.beside:
        await client.ask({"action": "start", "params": LONG, "key": str(process.pid)})
        frames = await client.hear_until(lambda frame: frame["progress"] > 5)
        process.kill()
        process.spawn()
        # A step that was taken down with its worker is held for 15 s.
        frames += await client.hear_until(lambda frame: frame["complete"])
        assert frames[-1]["state"] == "succeeded"
        assert sum(frame["complete"] for frame in frames) == 1
    await client.connection.close()
    assert synth.call("GET", "/v1/stats").json["starts"] == starts + 2


AT_FORK = """
import os, signal, sys
from config import rock
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGINT))
sys.exit(rock.main())
"""
IN_A_FINALIZER = """
import contextlib, signal, sys
from config import rock
def lose(*_):
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
rock._wait_for = lose
sys.exit(rock.main())
"""


class TestMakeRock:
    """`python -m config.rock`, which is all that `make rock` does once things are installed."""

    @pytest.fixture(autouse=True)
    def none_left(self) -> Iterator[None]:
        self.started: list[subprocess.Popen[str]] = []
        yield
        for process in self.started:
            process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()

    def run(self, folder: Path, port: int | str, **more: str) -> subprocess.Popen[str]:
        return self.begin(("-m", "config.rock"), folder, port, more)

    def begin(
        self, command: tuple[str, ...], folder: Path, port: int | str, more: dict[str, str]
    ) -> subprocess.Popen[str]:
        environment = {**os.environ, "REDIS": "", "REDIS_URL": "", "VAR_DIR": str(folder), "PORT": str(port), **more}
        environment.pop("DJANGO_SETTINGS_MODULE", None)
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.started.append(process)
        return process

    def up(self, folder: Path, port: int, **more: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
        process = self.run(folder, port, **more)
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Rock out:" in line:
                break
        assert f"http://127.0.0.1:{port}/" in lines[-1], lines
        children = psutil.Process(process.pid).children(recursive=True)
        assert len(children) == (5 if "REDIS" in more else 2)
        return process, children

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_runs_and_stops_within_three_seconds_and_leaves_nothing(self, folder: Path, number: int) -> None:
        for _ in range(3):  # a busy machine may hold up one
            port = free_port()
            process, children = self.up(folder, port)
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
                assert b"rock-out" in response.read()
            began = time.monotonic()
            process.send_signal(number)
            rest, _ = process.communicate(timeout=60)
            seconds = time.monotonic() - began
            assert process.returncode == 0
            assert "Traceback" not in rest
            assert not any(child.is_running() for child in children)
            if seconds < 3:
                break
        assert seconds < 3

    def test_nothing_is_left_even_if_it_is_killed(self, folder: Path) -> None:
        process, children = self.up(folder, free_port())
        process.kill()
        process.communicate()
        assert psutil.wait_procs(children, timeout=5)[1] == []

    @pytest.mark.parametrize(
        ("name", "word", "more"),
        [("synth", "synth", {}), ("delay", "rundelay", {"REDIS": "1"}), ("redis", "redis-server", {"REDIS": "1"})],
    )
    def test_if_one_process_ends_all_do_and_it_says_which(
        self, folder: Path, name: str, word: str, more: dict[str, str]
    ) -> None:
        process, children = self.up(folder, free_port(), **more)
        next(child for child in children if word in " ".join(child.cmdline())).kill()
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        assert f"rock: The {name} process ended by itself" in rest
        assert not any(child.is_running() for child in children)

    async def test_with_redis_a_job_goes_to_its_end_in_five_processes(self, folder: Path) -> None:
        port = free_port()
        process, children = self.up(folder, port, REDIS="1")
        url = f"127.0.0.1:{port}"
        client = Client(await websockets.connect(f"ws://{url}/prog/", origin=Origin(f"http://{url}")))
        await client.ask({"action": "start", "params": {"mode": "clock", "length": 1}})
        assert (await client.hear_until(lambda frame: frame["complete"]))[-1]["state"] == "succeeded"
        await client.connection.close()
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert time.monotonic() - began < 8  # whoever does not end by itself within two is killed, one after the other
        assert process.returncode == 0
        assert "Traceback" not in rest
        assert "engine" not in rest
        assert not any(child.is_running() for child in children)

    @pytest.mark.parametrize(
        ("more", "says"),
        [
            ({"REDIS": "1", "PATH": ""}, "There is no redis-server. Try: sudo make redis, or "),
            ({"REDIS_URL": "redis://:secret@127.0.0.1:1"}, "The Redis of REDIS_URL cannot be used: "),
            ({"REDIS_URL": "127.0.0.1:6379"}, "Expected REDIS_URL as redis://host:port/db"),
        ],
    )
    def test_a_redis_that_cannot_be_used_is_one_clear_line(self, folder: Path, more: dict[str, str], says: str) -> None:
        said, _ = self.run(folder, free_port(), **more).communicate(timeout=60)
        lines = [line for line in said.splitlines() if line != "rock: Starting Redis"]
        assert len(lines) == 1
        assert lines[0].startswith(f"rock: {says}")
        assert "secret" not in said

    def test_a_second_one_on_the_same_folder_is_one_clear_line(self, folder: Path) -> None:
        process, _ = self.up(folder, free_port())
        second = self.run(folder, free_port())
        said, _ = second.communicate(timeout=60)
        assert second.returncode == 1
        (line,) = said.splitlines()
        assert line.startswith(f"rock: It runs on {folder} already.")
        process.terminate()
        process.communicate()

    def test_it_listens_for_other_machines_when_told_to(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOST", "0.0.0.0")
        monkeypatch.setenv("DEBUG", "0")
        port = free_port()
        process, _ = self.up(folder, port)
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": socket.gethostname()})
        with urllib.request.urlopen(request) as response:
            assert response.status == 200
        process.terminate()
        process.communicate()

    @pytest.mark.parametrize(
        ("more", "first", "after"),
        [({}, "the synth", after) for after in (0.05, 0.2, 0.5, 0.9)]
        + [({"REDIS": "1"}, "Redis", after) for after in (0.01, 0.1, 1.2)],
    )
    def test_ctrl_c_during_the_start_is_quiet_too(
        self, folder: Path, more: dict[str, str], first: str, after: float
    ) -> None:
        process = self.run(folder, free_port(), **more)
        assert process.stdout
        assert process.stdout.readline() == f"rock: Starting {first}\n"
        time.sleep(after)  # anywhere in the start will do
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Traceback" not in rest

    @pytest.mark.parametrize("where", [AT_FORK, IN_A_FINALIZER], ids=["fork", "finalizer"])
    def test_ctrl_c_where_nothing_can_be_raised_stops_it_nevertheless(self, folder: Path, where: str) -> None:
        process = self.begin(("-c", where), folder, free_port(), {})
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert said.endswith("rock: Stopping\n")
        assert "Traceback" not in said

    @pytest.mark.parametrize("port", ["taken", "eighty", "99999"])
    def test_a_port_that_cannot_be_used_is_one_clear_line(self, server: ServerProcess, folder: Path, port: str) -> None:
        process = self.run(folder, server.port if port == "taken" else port)
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 1
        (line,) = said.splitlines()
        assert line.startswith("rock: Port" if port == "taken" else "rock: Expected PORT as a number")


async def test_nothing_waits_for_a_client_at_shutdown(synth: SynthProcess, folder: Path) -> None:
    for _ in range(3):  # a busy machine may hold up one
        with ServerProcess(synth.url, folder) as server:
            client = await visitor(server, session_of(server))
            await client.ask({"action": "start", "params": LONG})
            began = time.monotonic()
            await asyncio.to_thread(server.stop)
            seconds = time.monotonic() - began
            assert "Traceback" not in server.log
            await client.connection.close()
        if seconds < 3:
            break
    assert seconds < 3
