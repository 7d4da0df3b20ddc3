"""The presets and the page about them: each is there, can be used as the page says, and is tried with what it says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from progrock.step import Miss
from tests.remotes.conftest import Declare
from tests.remotes.looks import look
from tests.remotes.process import ROOT, version
from tests.services.remote import Remote

FILES = {path.stem: path for path in (ROOT / "progrock/services/presets").iterdir()}
PAGE = (ROOT / "docs/reference/presets.md").read_text()
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| `([\w-]+)` " + r"\| ([^|]+) " * 6 + r"\|$", PAGE, re.MULTILINE)}
LOCKED = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "requirements/remotes.txt").read_text(), re.MULTILINE))
PROGRAMS = {"pygeoapi": "test_pygeoapi", "Scrapyd": "test_scrapyd", "Flower": "test_flower"}


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the page says to write, with every credential that it asks for in the environment."""
    (text,) = re.findall(r"```python preset\n(.*?)```", PAGE, re.DOTALL)
    for name in [*re.findall(r"\$\{(\w+)\}", text), "REPLICATE_API_TOKEN"]:
        monkeypatch.setenv(name, "secret")
    scope: dict[str, Any] = {}
    exec(text, scope)
    made: dict[str, Any] = scope["PRESETS"]
    return made


def test_every_preset_has_a_row_and_an_example(examples: dict[str, Any]) -> None:
    assert set(ROWS) == set(FILES) == set(examples)
    assert len(FILES) >= 6


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_example_makes_a_service(name: str, examples: dict[str, Any], declare: Declare) -> None:
    assert examples[name]["preset"] == name
    service = declare(**examples[name])
    assert service.batch == int(ROWS[name][5])
    assert "secret" not in repr(service) + repr(vars(service))


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_preset_cannot_be_used_without_what_is_yours(
    name: str, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REPLICATE_API_TOKEN", raising=False)
    with pytest.raises(ValueError, match=r'OPTIONS\["(base_url|headers|start)"\]'):
        declare(preset=name)


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_row_says_what_the_preset_can(name: str) -> None:
    preset = tomllib.loads(FILES[name].read_text())
    reading = preset["reading"]
    can = ["percent" in reading, "result" in reading or "result" in preset, "cancel" in preset]
    assert list(ROWS[name][2:5]) == ["yes" if each else "no" for each in can]


@pytest.mark.parametrize("name", sorted(FILES))
def test_it_is_tried_with_what_the_row_says(name: str) -> None:
    tried = ROWS[name][1]
    if tried == "its documents":
        assert f'preset="{name}"' in (ROOT / "tests/remotes/test_played.py").read_text()
        return
    program, number = tried.split()
    assert number == LOCKED[program.lower()] == version(program.lower())
    assert f'"preset": "{name}"' in (ROOT / f"tests/remotes/{PROGRAMS[program]}.py").read_text()


@pytest.mark.parametrize("body", [{}, [], "x", 7, True, {"status": {}}, {"error": "no"}, [[]], {"name": [], "done": 1}])
@pytest.mark.parametrize("name", sorted(set(FILES) - {"azure-async"}))  # there, 200 is all that is needed
async def test_garbage_is_no_news_of_a_job(
    name: str, body: object, examples: dict[str, Any], declare: Declare, played: Remote
) -> None:
    preset = tomllib.loads(FILES[name].read_text())
    call = (preset.get("status") or preset["batch"])["call"]
    played.say(call.replace("{+remote}", "r").replace("{remote}", "r"), body)
    found = await look(declare(**examples[name] | {"base_url": played.url}), "r")
    assert played.asked
    assert isinstance(found, Miss), found
    assert found.code == "nonsense"


@pytest.mark.parametrize("path", FILES.values(), ids=FILES)
def test_a_preset_is_data_that_names_its_document(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert path.suffix == ".toml"
    assert lines[0].startswith("# ")
    assert any('"' in line or "OGC 18-062r2" in line for line in lines[:3]), "expected the title of a document"
    assert max(map(len, lines)) <= 120
