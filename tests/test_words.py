"""The words: every one is translated, the compiled catalogues are current, and the browser's are Django's."""

from __future__ import annotations

import re
from pathlib import Path

import polib
import pytest

from progrock.words import STATES, WORDS
from tests.catalogues import FILES, ROOT, compiled, found

SCRIPTS = "".join(path.read_text() for path in sorted((ROOT / "frontend/static/progrock").glob("*.js")))


def test_the_words_of_the_elements_are_those_that_django_translates() -> None:
    said = re.findall(r"\bsay\(\s*'((?:[^'\\]|\\.)*)'", SCRIPTS)
    assert len(set(said)) > 30
    assert set(said) == set(WORDS)
    assert len(WORDS) == len(set(WORDS))
    assert set(STATES.values()) <= set(WORDS)


def test_there_is_a_language_that_is_written_from_right_to_left() -> None:
    assert {path.parts[-3] for path in FILES} >= {"de", "es", "ar"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parts[-3])
def test_every_word_is_translated(path: Path) -> None:
    catalogue = polib.pofile(str(path))
    assert catalogue.fuzzy_entries() == []
    translated = {entry.msgid: entry.msgstr for entry in catalogue if entry.msgstr and not entry.obsolete}
    assert translated.keys() == found().keys(), "run: make words"
    for words, theirs in translated.items():
        assert fields(words) == fields(theirs), words


def fields(words: str) -> list[str]:
    return sorted(re.findall(r"{\w+}|%\(\w+\)\w", words))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parts[-3])
def test_what_django_reads_is_current(path: Path) -> None:
    assert path.with_suffix(".mo").read_bytes() == compiled(polib.pofile(str(path))), "run: make words"


def test_words_are_found_in_code_and_templates() -> None:
    words = found()
    assert words["Journal"][-1] == "progrock/words.py"
    assert any(name.endswith(".py") for names in words.values() for name in names)
