"""docker-compose.yml and Dockerfile: what must be true of every container."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.deploy.commands import parse
from tests.deploy.roles import IMAGE, ROOT, WEB, command_of, port_of, services

SERVICES = services()
OURS = {name: each for name, each in SERVICES.items() if each["image"] == IMAGE}
ONCE = {"secrets", "migrate"}
HOWTO = (ROOT / "docs/howto/deploy-with-compose.md").read_text()


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.keys() & {"privileged", "cap_add", "pid", "ipc", "userns_mode", "devices"}
    assert service["init"] is True
    # Nothing grows: neither what it leaves in /tmp, nor what it says.
    assert all("size=" in each for each in service["tmpfs"])
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    # Nobody is root: our image says so itself.
    assert name in OURS or service["user"] not in ("root", "0")


@pytest.mark.parametrize("name", SERVICES.keys() - ONCE)
def test_what_goes_on_is_watched_and_started_again(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"]
    # A worker that is stopped gives back what it has within 5 s.
    assert int(service.get("stop_grace_period", "10s").removesuffix("s")) >= 10


@pytest.mark.parametrize("name", sorted(ONCE))
def test_what_is_run_once_is_not_started_again(name: str) -> None:
    assert SERVICES[name]["restart"] == "no"
    waiting = {each for each, service in SERVICES.items() if name in service.get("depends_on", {})}
    assert waiting
    assert {SERVICES[each]["depends_on"][name]["condition"] for each in waiting} == {"service_completed_successfully"}


@pytest.mark.parametrize("name", OURS)
def test_a_role_is_run_by_a_command_that_there_is(name: str) -> None:
    parse(command_of(OURS[name]))
    if name not in ONCE:
        (asked,) = re.findall(r"^python -m config\.probe (\d+)/(?:healthz|readyz)$", OURS[name]["healthcheck"]["test"])
        assert int(asked) == port_of(command_of(OURS[name]))


def test_no_secret_is_in_the_file() -> None:
    settings = SERVICES["web"]["environment"]
    for name in ("SECRET_KEY", "DATABASE_URL", "REDIS_URL", "METRICS_TOKEN"):
        assert settings[name] == f"${{{name}:-}}"
        assert settings[f"{name}_FILE"].startswith("/etc/progrock/")
    text = (ROOT / "docker-compose.yml").read_text()
    assert re.findall(r"://[^\s/]*:[^\s/]*@", text) == []
    assert re.findall(r"(?i)(?:password|token|key): (?!\$\{\w+:-\})\S+", text) == []


def test_more_of_one_have_no_port_or_name_in_common() -> None:
    for name in ("web", "worker", "delay"):
        assert not SERVICES[name].keys() & {"container_name", "hostname"}
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["web"]
    # On this host alone, and a range if more than one is wanted.
    assert SERVICES["web"]["ports"] == ["127.0.0.1:${PORT:-8000}:8000"]


def test_redis_and_the_database_are_out_of_reach() -> None:
    for name in ("redis", "postgres"):
        assert SERVICES[name]["networks"] == ["inside"]
    assert "inside" not in SERVICES["synth"]["networks"]


def test_every_role_is_told_with_its_command() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)`", HOWTO.partition("\n## ")[0], re.MULTILINE))
    assert told.keys() == SERVICES.keys()
    for name, command in told.items():
        assert name not in OURS or tuple(command.split()) == command_of(OURS[name])


def test_what_can_be_set_is_told() -> None:
    table = HOWTO.partition("## What to set")[2].partition("\n## ")[0]
    told = {name for row in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    assert told == set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))


@pytest.mark.parametrize("page", ["deploy-with-compose", "rotate-secrets"])
def test_what_is_to_be_typed_is_a_command_of_ours(page: str) -> None:
    text = (ROOT / f"docs/howto/{page}.md").read_text()
    typed = re.findall(r"docker compose (?:run|exec) (?:-\S+ )*(\w+) (python [^`\n]*)", text)
    assert len(typed) > 1
    for role, command in typed:
        assert role in SERVICES
        parse(tuple(command.split()))
    for names in re.findall(r"--no-deps ([\w ]+)$", text, re.MULTILINE):
        assert set(names.split()) <= SERVICES.keys()


def test_the_numbers_that_are_written_down_are_of_what_there_may_be_more_of() -> None:
    (said,) = re.findall(r"```yaml override\n(.*?)```", HOWTO, re.DOTALL)
    assert yaml.safe_load(said)["services"].keys() == {"web", "worker", "delay"}


def test_prometheus_is_told_where_they_answer() -> None:
    (said,) = re.findall(r"```yaml scrape-compose\n(.*?)```", HOWTO, re.DOTALL)
    (job,) = yaml.safe_load(said)["scrape_configs"]
    told = {name: each["port"] for each in job["dns_sd_configs"] for name in each["names"]}
    # By name, since an address is none of its ALLOWED_HOSTS.
    told |= {name: int(port) for name, _, port in (each.partition(":") for each in job["static_configs"][0]["targets"])}
    assert told == {name: port_of(command_of(SERVICES[name])) for name in ("web", "worker", "delay")}
    assert job["authorization"]["credentials_file"] == SERVICES["web"]["environment"]["METRICS_TOKEN_FILE"]


def test_the_image_is_of_nobody_and_runs_the_web_server() -> None:
    text = (ROOT / "Dockerfile").read_text()
    last = text.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", last, re.MULTILINE) == ["1000:1000"]
    assert tuple(json.loads(*re.findall(r"^CMD (.*)$", last, re.MULTILINE))) == WEB
    (asks,) = re.findall(r"^HEALTHCHECK .*CMD (.*)$", last, re.MULTILINE)
    assert json.loads(asks) == ["python", "-m", "config.probe", "8000/healthz"]
    assert "--require-hashes" in text


def test_the_image_has_what_runs_and_nothing_else() -> None:
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    assert kept[1] == "*"
    named = {line.removeprefix("!") for line in kept if line.startswith("!")}
    assert named == {"config", "frontend", "progrock", "requirements/run.txt", "synth", "manage.py"}
    assert all((ROOT / each).exists() for each in named)
