"""JMESPath expressions: checked and compiled once, then asked of many values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

# It keeps nothing between two questions, and making one costs more than most expressions.
_visit = TreeInterpreter().visit
# What asking raises, besides its own errors, of values that it did not think of.
_SENSELESS = (TypeError, ValueError, AttributeError, ArithmeticError, LookupError, RecursionError)


class Senseless(Exception):
    """An expression has no answer for this value, though its form is right."""


class Expression:
    """A JMESPath expression.

    :param text: as https://jmespath.org/specification.html has it.
    :param names: the names that there are at the top of the values; None if that is not known.
    :raises ValueError: saying what was expected where, and what came.
    """

    __slots__ = ("_tree",)

    def __init__(self, text: str, names: frozenset[str] | None = None) -> None:
        shown = repr(text)[:200]
        try:
            self._tree: dict[str, Any] = jmespath.compile(text).parsed
        except (JMESPathError, RecursionError) as error:
            raise ValueError(f"expected a JMESPath expression, got {shown}{_reason(error)}") from None
        for name, count in _functions(self._tree):
            _check_function(shown, name, count)
        unknown = None if names is None else next((name for name in _top(self._tree) if name not in names), None)
        if names is not None and unknown is not None:
            known = ", ".join(sorted(names))
            raise ValueError(f"expected an expression over {known}, got {shown}, which asks for {unknown!r}")

    def __call__(self, value: object) -> Any:
        """Return what the expression is for a value of JSON; None where there is nothing.

        :raises Senseless: if it has no answer, as a sum of words has none.
        """
        try:
            return _visit(self._tree, value)
        except _SENSELESS as error:
            raise Senseless(str(error)) from None


def _reason(error: Exception) -> str:
    """Return what is wrong with an expression, and where; columns count from 1."""
    at = getattr(error, "lex_position", None)
    if not isinstance(at, int):
        return ", which is empty" if isinstance(error, JMESPathError) else ", which is nested too deeply"
    says = str(getattr(error, "message", "") or getattr(error, "msg", "")).partition(":")[0]
    return f", which cannot be read at column {at + 1} ({says})"


def _functions(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Return the functions that are called, each with the number of its arguments."""
    if node["type"] == "function_expression":
        yield node["value"], len(node["children"])
    for child in node["children"]:
        if isinstance(child, dict):  # the children of a slice are numbers
            yield from _functions(child)


def _check_function(shown: str, name: str, count: int) -> None:
    known = Functions.FUNCTION_TABLE.get(name)
    if known is None:
        raise ValueError(f"expected a function of JMESPath, got {name}() in {shown}")
    takes = known["signature"]
    more = bool(takes and takes[-1].get("variadic"))
    if count < len(takes) or (count > len(takes) and not more):
        most = f"{len(takes)} or more" if more else str(len(takes))
        raise ValueError(f"expected {name}() with {most} arguments, got {count} in {shown}")


def _top(node: dict[str, Any]) -> Iterator[str]:
    """Return the names that are asked of the value itself, and not of what is found in it."""
    kind, children = node["type"], node["children"]
    if kind == "field":
        yield node["value"]
    elif kind in ("subexpression", "index_expression", "pipe", "flatten") or kind.endswith("projection"):
        yield from _top(children[0])
    elif kind not in ("literal", "expref", "slice"):
        for child in children:
            yield from _top(child)
