"""What is run where: each role of docker-compose.yml, and of the manifests, as its container is told."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "progrock"
WEB = ("daphne", "-v", "0", "-b", "0.0.0.0", "-p", "8000", "config.asgi:application")


def services() -> dict[str, dict[str, Any]]:
    """Return the services of docker-compose.yml."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    return found


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Return each object of the manifests, with the name of its file."""
    for path in sorted((ROOT / "deploy/kubernetes").glob("*.yaml")):
        for each in yaml.safe_load_all(path.read_text()):
            yield path.name, each


def command_of(service: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a service of ours runs: its command, or the image's."""
    said = service.get("command", WEB)
    return tuple(shlex.split(said)) if isinstance(said, str) else tuple(said)


def port_of(command: tuple[str, ...]) -> int | None:
    """Return the port on which a command can be asked how it is, None if it has none."""
    found = re.search(r"--metrics \S+:(\d+)|(?:-p|--port) (\d+)", " ".join(command))
    return int(found[1] or found[2]) if found else None
