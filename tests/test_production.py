"""The runnable project without DEBUG: safe by default, and deploy checks that find nothing."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from channels.testing import ApplicationCommunicator
from django.core.exceptions import ImproperlyConfigured
from django.test import Client, override_settings

from config.proxies import TrustedProxies
from progrock.conf import Conf
from tests.test_docs import SETTINGS

ROOT = Path(__file__).parents[1]
PRODUCTION = {
    "SECRET_KEY": "of-fifty-characters-or-more-0123456789-abcdefghijklmnopqrstuvwxyz",
    "ALLOWED_HOSTS": "rock.example",
    "CSRF_TRUSTED_ORIGINS": "https://rock.example https://www.rock.example",
    "REDIS_URL": "rediss://:password@redis.example:6379/0",
    "DATABASE_URL": "postgres://rock:password@db.example/rock?sslmode=verify-full",
    "TRUSTED_PROXIES": "10.0.0.0/8 fd00::/8 unix",
}
OURS = [
    "DEBUG",
    "HTTPS",
    "HSTS_SECONDS",
    "HSTS_SUBDOMAINS",
    "HSTS_PRELOAD",
    "SECRET_KEY_FILE",
    "SYNTH_INTERVAL",
    "SYNTH_URL",
    "METRICS_TOKEN",
    "DJANGO_SETTINGS_MODULE",
]


@pytest.fixture
def production(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """An environment as that of a site on the net."""
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    for name, value in (PRODUCTION | {"VAR_DIR": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


def read() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "config/settings.py"))


def test_the_deploy_checks_find_nothing(production: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "DEBUG"],
        cwd=ROOT,
        env=production,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "identified no issues" in done.stdout, done.stderr
    assert done.returncode == 0


def test_what_is_not_set_is_safe(production: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUSTED_PROXIES")
    monkeypatch.delenv("ALLOWED_HOSTS")
    found = read()
    assert found["DEBUG"] is False
    assert found["SECURE_SSL_REDIRECT"] is found["SESSION_COOKIE_SECURE"] is found["CSRF_COOKIE_SECURE"] is True
    assert found["SECURE_HSTS_SECONDS"] == 3600
    assert (found["ALLOWED_HOSTS"], found["TRUSTED_PROXIES"], found["SECURE_PROXY_SSL_HEADER"]) == ([], [], None)


@pytest.mark.parametrize("why", ["DEBUG=1", "HTTPS=0"])
def test_plain_http_is_asked_for(production: dict[str, str], monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    monkeypatch.setenv(*why.split("="))
    found = read()
    assert found["SECURE_SSL_REDIRECT"] is found["SESSION_COOKIE_SECURE"] is found["CSRF_COOKIE_SECURE"] is False
    assert found["SECURE_HSTS_SECONDS"] == 0


def test_limits_are_set_in_the_environment(production: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    names = re.findall(
        r"`([A-Z_]+)`", next(row for row in SETTINGS.splitlines() if row.startswith("| `MAX_UNFINISHED`,"))
    )
    for at, name in enumerate(names):
        monkeypatch.setenv(name, str(2_000 + at))
    found = read()["PROGROCK"]
    assert {name: found[name] for name in names} == {name: 2_000 + at for at, name in enumerate(names)}
    limits = {name.upper() for name in Conf.__struct_fields__ if name.startswith(("max_", "journal_", "keep_"))}
    assert set(names) == limits


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HTTPS", "yes", "Expected HTTPS as 1 or 0 in the environment, got 'yes'."),
        ("HSTS_SECONDS", "1h", "Expected HSTS_SECONDS as a whole number in the environment, got '1h'."),
        ("MAX_SOCKETS", "-1", "Expected MAX_SOCKETS as a whole number in the environment, got '-1'."),
        ("TRUSTED_PROXIES", "nginx", "TRUSTED_PROXIES: expected addresses, networks or 'unix': 'nginx' does not"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "TRUSTED_PROXIES: expected addresses, networks or 'unix': 10.0.0.1/8 has"),
    ],
)
def test_a_mistake_is_named(
    production: dict[str, str], monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured) as refused:
        read()
    assert str(refused.value).startswith(says)


def test_probes_are_answered_over_plain_http_and_people_are_led_away(production: dict[str, str]) -> None:
    found = read()
    safe = {name: found[name] for name in ("SECURE_SSL_REDIRECT", "SECURE_REDIRECT_EXEMPT", "SECURE_PROXY_SSL_HEADER")}
    with override_settings(ALLOWED_HOSTS=["rock.example"], **safe):
        client = Client(headers={"Host": "rock.example"})
        assert client.get("/healthz").status_code == 200
        assert client.get("/metrics").status_code == 401
        for path in ("/", "/healthz/x", "/prog/jobs/"):
            answer = client.get(path)
            assert (answer.status_code, answer["Location"]) == (301, f"https://rock.example{path}")
        assert client.get("/healthz/x", headers={"X-Forwarded-Proto": "https"}).status_code == 404


async def seen(
    client: str | None, *forwarded: str, proto: str = "", trusted: str = PRODUCTION["TRUSTED_PROXIES"]
) -> Any:
    """Return the client that the application sees, and whether a scheme got through."""
    found: dict[str, Any] = {}

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        found.update(scope)

    headers = [(b"X-Forwarded-For", each.encode()) for each in forwarded]
    headers += [(b"x-forwarded-proto", proto.encode())] * bool(proto) + [(b"host", b"rock.example")]
    scope = {"type": "http", "headers": headers, "client": [client, 5] if client else None}
    await ApplicationCommunicator(TrustedProxies(app, trusted.split()), scope).wait()
    names = [name.lower() for name, _ in found["headers"]]
    assert b"host" in names
    return (found["client"] or [""])[0], b"x-forwarded-proto" in names


@pytest.mark.parametrize(
    ("client", "forwarded", "sees"),
    [
        # From who is not trusted nothing is believed, and nothing gets through.
        ("203.0.113.9", ["198.51.100.7"], ("203.0.113.9", False)),
        ("192.168.0.1", ["198.51.100.7"], ("192.168.0.1", False)),
        ("not an address", ["198.51.100.7"], ("not an address", False)),
        # The last who is none of ours, whatever the client has written before.
        ("10.0.0.2", ["198.51.100.7"], ("198.51.100.7", True)),
        ("10.0.0.2", ["1.1.1.1, 198.51.100.7"], ("198.51.100.7", True)),
        ("10.0.0.2", ["1.1.1.1", "198.51.100.7, 10.9.9.9"], ("198.51.100.7", True)),
        ("::ffff:10.0.0.2", ["198.51.100.7:4711"], ("198.51.100.7", True)),
        ("fd00::1", ["[2001:db8::7]:80"], ("2001:db8::7", True)),
        ("10.0.0.2", ["1.1.1.1, what, 10.0.0.3"], ("10.0.0.3", True)),
        ("10.0.0.2", [], ("10.0.0.2", True)),
        ("10.0.0.2", [", ".join(["10.0.0.4"] * 10_000)], ("10.0.0.4", True)),
        (None, ["198.51.100.7"], ("198.51.100.7", True)),
    ],
)
async def test_a_proxy_is_believed_if_it_is_trusted(
    client: str | None, forwarded: list[str], sees: tuple[str, bool]
) -> None:
    assert await seen(client, *forwarded, proto="https") == sees


async def test_without_proxies_nobody_is_believed() -> None:
    assert await seen("10.0.0.2", "198.51.100.7", proto="https", trusted="") == ("10.0.0.2", False)
    assert await seen(None, "198.51.100.7", trusted="") == ("", False)
