"""The Redis that tests run: what it keeps, what it loses, and that nothing is left of it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.processes import has_ended
from tests.redis import RedisCluster, RedisSentinel, RedisServer

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("aof", [True, False])
def test_an_append_only_file_outlives_the_process_and_memory_does_not(aof: bool, end: str) -> None:
    with RedisServer(aof=aof) as redis:
        url, pid = redis.url, redis.pid
        redis.cli("SET", "key", "value")
        redis.stop() if end == "stop" else redis.kill()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", redis.port))
        redis.start()
        assert redis.cli("GET", "key") == ("value" if aof else "")
        assert redis.url == url
        assert redis.pid != pid


def test_paused_it_keeps_its_connections_and_says_nothing() -> None:
    with RedisServer() as redis, socket.create_connection(("127.0.0.1", redis.port)) as connection:
        redis.pause()
        connection.sendall(b"PING\r\n")
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        redis.resume()
        connection.settimeout(10)
        assert connection.recv(100) == b"+PONG\r\n"


def test_it_takes_more_configuration() -> None:
    with RedisServer(config=["maxmemory 10mb", "maxmemory-policy allkeys-lru"]) as redis:
        assert redis.cli("CONFIG", "GET", "maxmemory-policy").split() == ["maxmemory-policy", "allkeys-lru"]
        with pytest.raises(AssertionError, match="unknown command 'NONSENSE'"):
            redis.cli("NONSENSE")


def test_a_cluster_spreads_keys_over_its_nodes() -> None:
    with RedisCluster() as cluster:
        slots = {key: int(cluster.nodes[0].cli("CLUSTER", "KEYSLOT", key)) for key in "abc"}
        for (low, high), node in zip(cluster.SLOTS, cluster.nodes, strict=True):
            (mine,) = [key for key, slot in slots.items() if low <= slot <= high]
            node.cli("SET", mine, "value")
            assert node.cli("GET", mine) == "value"
        assert cluster.url.count(",") == 2


def test_a_sentinel_knows_its_master() -> None:
    with RedisSentinel() as redis:
        host, port = redis.sentinel.cli("SENTINEL", "get-master-addr-by-name", redis.NAME).split()
        assert (host, int(port)) == ("127.0.0.1", redis.master.port)
        assert redis.url == f"redis+sentinel://{redis.sentinel.address}/mymaster/0"


def test_it_ends_with_the_process_that_started_it() -> None:
    code = "from tests.redis import *; r = RedisServer().__enter__(); print(r.pid, r.folder, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        pid, folder = process.stdout.readline().split()
        server = psutil.Process(int(pid))
        process.kill()
    shutil.rmtree(folder)  # what cannot be left to somebody who was killed
    end = time.monotonic() + 5
    while not has_ended(server):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_missing_redis_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(AssertionError, match="make redis"), RedisServer():
        pass
