"""The secrets of the containers: made once, whole, for few to read, and read by the settings."""

from __future__ import annotations

import stat
from contextlib import aclosing
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from config.database import postgresql
from config.environment import secret
from config.make_secrets import main, make
from progrock.delay import RedisStore
from tests.redis import RedisServer


def test_they_are_made_once(tmp_path: Path) -> None:
    made = make(tmp_path)
    first = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(made) == first.keys()
    assert len({text for text in first.values() if "://" not in text and " " not in text}) == 5
    assert all(len(text) >= 43 for text in first.values())
    assert make(tmp_path) == []
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == first


def test_whoever_was_killed_goes_on_with_the_same_passwords(tmp_path: Path) -> None:
    make(tmp_path)
    before = (tmp_path / "redis-url").read_text()
    for name in ("redis-url", "redis.conf", "database-url"):
        (tmp_path / name).unlink()
    (tmp_path / ".redis-url").write_text("hal")  # killed while it was written
    assert set(make(tmp_path)) == {"redis-url", "redis.conf", "database-url"}
    assert (tmp_path / "redis-url").read_text() == before
    assert {path.name for path in tmp_path.glob(".*")} == set()


@pytest.mark.parametrize(
    ("name", "renewed"),
    [
        ("secret-key", {"secret-key", "secret-key-before"}),
        ("metrics-token", {"metrics-token"}),
        ("postgres-password", {"postgres-password", "database-url"}),
        ("redis-password", {"redis-password", "redis.conf", "redis-url"}),
    ],
)
def test_one_is_made_anew_with_what_is_made_of_it(tmp_path: Path, name: str, renewed: set[str]) -> None:
    def read() -> dict[str, str]:
        return {path.name: path.read_text() for path in tmp_path.iterdir()}

    make(tmp_path)
    before = read()
    make(tmp_path, name)
    after = read()
    assert {each for each in after if after[each] != before[each]} == renewed
    assert after.keys() == before.keys()
    assert all(after[name] in after[each] for each in renewed - {"secret-key-before"})
    if name == "secret-key":
        assert after["secret-key-before"] == before["secret-key"]


def test_few_may_read_them(tmp_path: Path) -> None:
    make(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert {name for name, mode in modes.items() if mode == 0o440} == {
        "postgres-password",
        "redis-password",
        "redis.conf",
    }
    assert set(modes.values()) == {0o400, 0o440}


async def test_redis_and_the_database_are_opened_by_them(tmp_path: Path) -> None:
    make(tmp_path)
    password = (tmp_path / "postgres-password").read_text()
    found = postgresql(secret("DATABASE_URL", {"DATABASE_URL_FILE": str(tmp_path / "database-url")}))
    assert (found["USER"], found["PASSWORD"], found["HOST"], found["NAME"]) == (
        "progrock",
        password,
        "postgres",
        "progrock",
    )
    name, value = (tmp_path / "redis.conf").read_text().split()
    with RedisServer() as redis:
        redis.cli("CONFIG", "SET", name, value)
        url = secret("REDIS_URL", {"REDIS_URL_FILE": str(tmp_path / "redis-url")})
        assert url.endswith("@redis:6379/0")
        async with aclosing(RedisStore.from_url(url.replace("@redis:6379", f"@127.0.0.1:{redis.port}"))) as store:
            assert await store.depth() == 0


def test_what_is_said_comes_before_what_is_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(" from the file\n")
    assert secret("KEY", {"KEY": "said", "KEY_FILE": str(file)}) == "said"
    assert secret("KEY", {"KEY": "", "KEY_FILE": str(file)}) == "from the file"
    assert secret("KEY", {"KEY_FILE": ""}) == ""
    assert secret("KEY", {}) == ""


@pytest.mark.parametrize(
    ("content", "says"), [(None, "No such file"), (b"", "empty"), (b"\xff\xfe", "it is no text")], ids=str
)
def test_a_file_that_is_of_no_use_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ImproperlyConfigured, match=f"KEY_FILE.*key.*{says}"):
        secret("KEY", {"KEY_FILE": str(file)})


def test_the_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 0
    assert "secret-key" in capsys.readouterr().out
    assert main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "Made: nothing, all are there\n"
    assert main([str(tmp_path), "--anew", "metrics-token"]) == 0
    assert capsys.readouterr().out == "Made: metrics-token\n"
    assert main([str(tmp_path / "nowhere")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
    for arguments in ([], [str(tmp_path), "--anew", "redis-url"]):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    assert "choose from" in capsys.readouterr().err
