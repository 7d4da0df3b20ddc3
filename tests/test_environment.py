"""Values of the environment in settings."""

from __future__ import annotations

import pytest

from progrock.environment import fill, named


def test_names_are_filled_in() -> None:
    assert fill("Bearer ${TOKEN}${X_1}", {"TOKEN": "t", "X_1": "${TOKEN}"}) == "Bearer t${TOKEN}"
    assert fill("$TOKEN {} plain", {}) == "$TOKEN {} plain"


@pytest.mark.parametrize("environ", [{}, {"TOKEN": ""}])
def test_one_that_is_missing_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"\$\{TOKEN\} to be set"):
        fill("Bearer ${TOKEN}", environ)


@pytest.mark.parametrize("text", ["${}", "${a b}", "${A", "${A}${1}"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected \$\{NAME\}"):
        fill(text, {"A": "1"})


def test_a_text_tells_what_it_names() -> None:
    assert named("Bearer ${TOKEN}-${X_1} $Y ${}") == ["TOKEN", "X_1"]
