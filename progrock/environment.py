"""Values of the environment in settings: `${NAME}` stands for one, so that no secret has to stand in a file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_NAMES = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def fill(text: str, environ: Mapping[str, str] = os.environ) -> str:
    """Return the text with each `${NAME}` replaced by that variable.

    :raises ValueError: naming a variable that is missing or empty, or saying that a `${` is none.
    """
    if "${" in _NAMES.sub("", text):
        raise ValueError("expected ${NAME} for what is in the environment, got another form")

    def value(found: re.Match[str]) -> str:
        if not (known := environ.get(found[1])):
            raise ValueError(f"expected {found[0]} to be set in the environment, got nothing")
        return known

    return _NAMES.sub(value, text)


def named(text: str) -> list[str]:
    """Return the variables that a text names."""
    return _NAMES.findall(text)
