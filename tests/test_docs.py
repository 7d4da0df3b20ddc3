"""The documentation: its links lead somewhere, its settings work, its tables are the code's."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.core.exceptions import ImproperlyConfigured

from progrock.conf import Conf, Limit, ServiceConf, parse
from progrock.hooks import Hmac, HookForm, Shared, Standard
from progrock.step import Policy

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LISTED = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
PAGES = [ROOT / name for name in LISTED.split()]
SETTINGS = (ROOT / "docs/reference/settings.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_page_is_in_the_list_of_all() -> None:
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"README.md"}
    assert set(re.findall(r"\]\(([\w/-]+\.md)\)", (DOCS / "README.md").read_text())) == pages


def test_files_that_are_named_exist() -> None:
    text = (ROOT / "docs/explanation/one-start-message.md").read_text()
    named = re.findall(r"\*\*`([\w./-]+)`\*\*", text)
    assert len(named) > 10
    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("page", ["guarantees.md", "faults.md"])
def test_every_guarantee_names_a_test_that_exists(page: str) -> None:
    text = (ROOT / "docs/explanation" / page).read_text().rpartition("## Shown elsewhere")[2]
    rows = re.findall(r"^\| (?!guarantee |fault |---)(.+) \| (.+) \|$", text, re.MULTILINE)
    assert len(rows) > 20
    for guarantee, shown_by in rows:
        named = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", shown_by)
        assert named, f"{guarantee}: expected one test, got {shown_by}"
        path, name = named.groups()
        assert re.search(rf"^ *(async )?def {name}\(", (ROOT / path).read_text(), re.MULTILINE), shown_by


def test_the_example_settings_work() -> None:
    (example,) = re.findall(r"```python settings\n(.*?)```", SETTINGS, re.DOTALL)
    scope: dict[str, Any] = {}
    exec(example, scope)
    assert parse(scope["PROGROCK"]).services["synth"].policy.interval == 200


def test_an_unknown_key_is_refused_as_told() -> None:
    (told,) = re.findall(r"`PROGROCK: (SERVICES\[.*unknown key .*)`", SETTINGS)
    with pytest.raises(ImproperlyConfigured) as refused:
        parse({"SERVICES": {"synth": {"BACKEND": "config.synth.SynthService", "POLICY": {"intervall": 1}}}})
    assert str(refused.value) == f"PROGROCK: {told}"


def test_every_setting_is_listed_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", SETTINGS, re.MULTILINE))
    assert {name: rows[name].strip(" `") for name in Policy.__struct_fields__} == {
        name: str(value) for name, value in zip(Policy.__struct_fields__, Policy.__struct_defaults__, strict=True)
    }
    for struct in (Conf, ServiceConf):
        assert {name.upper() for name in struct.__struct_fields__} <= rows.keys()
    assert set(Limit.__struct_fields__) <= rows.keys()


def test_every_key_of_a_hook_is_listed_with_its_default() -> None:
    listed = {
        (form, key): said.strip(" `")
        for form, key, said in re.findall(r"^\| (\w+) \| `(\w+)` \| ([^|]+) \|", SETTINGS, re.MULTILINE)
    }
    known = {}
    for form in (Standard, Hmac, Shared):
        for field in msgspec.structs.fields(form):
            default = "required" if field.required else str(field.default) or "none"
            known[
                "all" if field.name in HookForm.__struct_fields__ else str(form.__struct_config__.tag), field.name
            ] = default
    assert listed == known


def test_every_check_is_listed() -> None:
    listed = re.findall(r"^\| `(progrock\.[EW]\d+)` \|", SETTINGS, re.MULTILINE)
    assert listed == sorted(set(re.findall(r'"(progrock\.[EW]\d+)"', (ROOT / "progrock/checks.py").read_text())))


def test_every_word_of_the_glossary_is_there_once() -> None:
    words = re.findall(r"^\| \*\*([\w -]+)\*\* \|", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    assert words == sorted(words)
    assert len(words) == len(set(words))


ELEMENTS = (ROOT / "docs/reference/elements.md").read_text()
SCRIPTS = {path.name: path.read_text() for path in sorted((ROOT / "frontend/static/progrock").glob("*.js"))}


def _documented(section: str, *words: str) -> set[str]:
    """Return what stands in backticks: in the tables or lines of a section that begin with one of the words."""
    text = ELEMENTS.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found: set[str] = set()
    for word in words:
        for table in re.findall(rf"^\| {word} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE):
            for row in table.splitlines():
                found |= set(re.findall(r"`([\w-]+)`", row.split("|")[1]))
        for line in re.findall(rf"^{word}s?: (.*?)(?:\n\n|\Z)", text, re.MULTILINE | re.DOTALL):
            found |= set(re.findall(r"`([\w-]+)`", line))
    return found


def test_every_part_of_the_elements_is_documented() -> None:
    made = r"element\(\s*'\w+',\s*['`](\w+)"
    for section, script in (("prog-rock", "prog-rock.js"), ("prog-rock-toasts", "toasts.js")):
        parts = set(re.findall(made, SCRIPTS[script]))
        assert len(parts) > 6
        listed = _documented(section, "part", "Part", "Parts")
        assert parts - {"retry"} <= listed
        assert listed - parts <= {"retry", "debug", "info", "warning", "error"}
    assert re.findall(made, SCRIPTS["jobs.js"]) == ["refused"]
    assert "`refused` says" in ELEMENTS


def test_every_attribute_of_the_elements_is_documented() -> None:
    for section, script in (
        ("prog-rock", "prog-rock.js"),
        ("prog-rock-jobs", "jobs.js"),
        ("prog-rock-toasts", "toasts.js"),
    ):
        used = r"(?:this|row)\.(?:get|set|has|toggle|remove)Attribute\('([\w-]+)'"
        taken = set(re.findall(used, SCRIPTS[script])) | {"src"} | ({"journal"} if script == "jobs.js" else set())
        assert taken - ({"job"} if script == "jobs.js" else set()) == _documented(section, "attribute")


def test_every_slot_and_event_is_documented() -> None:
    script = SCRIPTS["prog-rock.js"]
    assert set(re.findall(r"slot\('(\w+)'", script)) == _documented("prog-rock", "slot")
    events = {"progress", "loadend", *re.findall(r"(?:succeeded|failed|cancelled): '(\w+)'", script)}
    assert {each for each in events if f"'{each}'" in script} == _documented("prog-rock", "event")
    assert re.findall(r"slot\('(\w+)'", SCRIPTS["jobs.js"]) == ["empty"]


def test_every_custom_property_is_documented_with_its_default() -> None:
    used = dict(re.findall(r"var\((--prog-rock-[\w-]+), ((?:[^()]|\([^()]*\))*)\)", SCRIPTS["style.js"]))
    rows = dict(re.findall(r"^\| `(--prog-rock-[\w-]+)` \| ([^|]+) \|", ELEMENTS, re.MULTILINE))
    assert used.keys() == rows.keys()
    for name, default in rows.items():
        assert not default.startswith("`") or default.strip("` ") == used[name]


def test_every_template_tag_is_documented() -> None:
    tags = re.findall(
        r"^@register.simple_tag.*\ndef (\w+)", (ROOT / "progrock/templatetags/progrock.py").read_text(), re.MULTILINE
    )
    assert len(tags) == 5
    assert re.findall(r"^\| `{% (\w+)", ELEMENTS, re.MULTILINE) == [
        "progrock_head",
        "progrock_words",
        "progrock",
        "progrock_jobs",
        "progrock_toasts",
    ]
    assert set(tags) == set(re.findall(r"^\| `{% (\w+)", ELEMENTS, re.MULTILINE))
