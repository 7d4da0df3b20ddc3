"""Django's catalogues: what there is to translate; `python -m tests.catalogues` brings the files up to date."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import polib
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
APP = ROOT / "progrock"
FILES = sorted((APP / "locale").glob("*/LC_MESSAGES/django.po"))
_MARKS = {"gettext", "gettext_lazy", "gettext_noop"}


def found() -> dict[str, list[str]]:
    """Return all words that are marked in code and templates, and the files that have them."""
    words: dict[str, list[str]] = {}
    for path in sorted(APP.rglob("*")):
        if path.suffix == ".py":
            marked = _in_code(path.read_text())
        elif path.suffix in (".html", ".txt") and "templates" in path.parts:
            marked = _in_template(path.read_text())
        else:
            continue
        for each in marked:
            files = words.setdefault(each, [])
            name = str(path.relative_to(ROOT))
            if name not in files:
                files.append(name)
    return words


def _in_code(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MARKS:
            argument = node.args[0]
            if isinstance(argument, ast.Constant):
                yield str(argument.value)


def _in_template(source: str) -> Iterator[str]:
    # Django's own tool makes Python of a template's words, to have them found there.
    for literal in re.findall(r"""gettext\(u?('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\)""", templatize(source)):
        yield str(ast.literal_eval(literal))


def compiled(catalogue: polib.POFile) -> bytes:
    """Return what Django reads."""
    binary: bytes = catalogue.to_binary()
    return binary


def renew(path: Path) -> list[str]:
    """Bring a catalogue's words up to date, compile it, and return those that nobody has translated yet."""
    catalogue = polib.pofile(str(path), wrapwidth=100)
    words = found()
    translated = {entry.msgid: entry.msgstr for entry in catalogue}
    catalogue[:] = [
        polib.POEntry(
            msgid=each,
            msgstr=translated.get(each, ""),
            occurrences=[(file, "") for file in files],
            flags=["python-format"] if "%(" in each else [],
        )
        for each, files in sorted(words.items())
    ]
    catalogue.save()
    path.with_suffix(".mo").write_bytes(compiled(catalogue))
    return [entry.msgid for entry in catalogue.untranslated_entries()]


def main() -> None:
    for path in FILES:
        for words in renew(path):
            print(f"{path.relative_to(ROOT)}: {words}")  # noqa: T201


if __name__ == "__main__":
    main()
