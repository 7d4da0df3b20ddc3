"""Where a call goes: a method and a URI template (RFC 6570), which never leads out of the base URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from uritemplate import URITemplate

Values = Mapping[str, str | list[str]]

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_LITERAL = re.compile(r"/(?!/)[!-~]*")
_QUERY = URITemplate("{+query}")
_OPERATORS = "+./;?&"
# Nothing in it to look at twice: no dots that climb, no quoting, no second slash.
_PLAIN = re.compile(r"(?:/[\w~!$&'()*+,;=:@-][\w~!$&'()*+,;=:@.-]*)+/?(?:\?[\w~!$&'()*+,;=:@/?.%-]*)?", re.ASCII)


class Template:
    """A call's method and path.

    :param text: `METHOD /path`, with variables in braces; the path continues the base URL's.
    :param names: the variables that there are; one that ends in a dot stands for all that begin so.
    :raises ValueError: saying what was expected, and what came.
    """

    __slots__ = ("_goes_on", "_template", "method", "names")

    def __init__(self, text: str, names: frozenset[str]) -> None:
        method, space, path = text.partition(" ")
        if not space or not _METHOD.fullmatch(method) or method != method.upper():
            raise ValueError(f'expected "METHOD /path", got {text!r}')
        self.method = method
        try:
            self._template = URITemplate(path)
        except ValueError:
            raise ValueError(f"expected a URI template (RFC 6570), got {path!r}") from None
        literal = re.sub(r"\{[^{}]+\}", "", path)
        if not path.startswith(("/", "{")) or not (literal.isascii() and literal.isprintable()) or " " in literal:
            raise ValueError(f"expected a path that begins with a slash and is quoted, got {path!r}")
        if path.startswith("{") and not path.startswith("{/"):
            raise ValueError(f"expected a path that begins with a slash, got {path!r}")
        if set(literal) & set("{}#\\") or any(
            each.original[0] not in _OPERATORS and not (each.original[0].isalnum() or each.original[0] == "_")
            for each in self._template.variables
        ):
            raise ValueError(f"expected a URI template (RFC 6570) without a fragment, got {path!r}")
        self._goes_on = "{+remote}" in path
        self.names = frozenset(self._template.variable_names)
        for name in sorted(self.names):
            if name not in names and not any(each.endswith(".") and name.startswith(each) for each in names):
                known = ", ".join(f"{each}<name>" if each.endswith(".") else each for each in sorted(names))
                raise ValueError(f"expected variables of {known or 'none'}, got {{{name}}} in {path!r}")
        if inside(_expanded(self._template, dict.fromkeys(self.names, "x"))) is None:
            raise ValueError(f"expected a path below base_url, got {path!r}")

    def path(self, values: Values) -> str | None:
        """Return the path with these values in it, quoted; None if it would lead out of the base URL."""
        remote = values.get("remote", "")
        if not self._goes_on or "?" not in remote:
            return inside(_expanded(self._template, values))
        # A name that is a URL with a query: that stays at the end, whatever the template puts after the name.
        name, _, query = str(remote).partition("?")
        path = _expanded(self._template, {**values, "remote": name})
        return inside(f"{path}{'&' if '?' in path else '?'}{_QUERY.expand(query=query)}")


def inside(path: str) -> str | None:
    """Return a path, if it stays below the base URL whoever reads it; None if it does not."""
    if _PLAIN.fullmatch(path):
        return path
    if not _LITERAL.fullmatch(path) or "\\" in path or "#" in path:
        return None
    segments = re.split(r"[/\\]", unquote(path.partition("?")[0]))
    if any(segment.partition(";")[0] in (".", "..") or not segment.isprintable() for segment in segments):
        return None
    return path


def _expanded(template: URITemplate, values: Values) -> str:
    return template.expand({**values})
