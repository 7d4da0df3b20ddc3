"""How lines become rows: by which template, and in which order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, get_args

from django.core import signing
from django.template.loader import get_template

from ..exceptions import Invalid
from ..http.page import moment
from ..protocol import Line

logger = logging.getLogger(__name__)

Mode = Literal["append", "newest", "replace"]
MODES: tuple[Mode, ...] = get_args(Mode)
SWAPS: dict[Mode, str] = {"append": "beforeend", "newest": "afterbegin", "replace": "innerHTML"}
"""How htmx calls where the next row goes."""
TEMPLATE = "progrock/line.html"
_SIGNED_MOST = 1_000

Context = Callable[[str, Line], dict[str, Any]]


def context(job: str, line: Line) -> dict[str, Any]:
    """Return what the template of a row is given: the line, when it was said, and an id that is the same each time."""
    return {"job": job, "line": line, "id": f"{job}-{line.n}", "at": moment(line.at)}


class Row(NamedTuple):
    """What has become of a line.

    :param n: the line's number.
    :param html: as the template has rendered it.
    """

    n: int
    html: str


class Rows(NamedTuple):
    """How the lines of a job are shown.

    :param template: the name of the template of one row.
    :param mode: `append`; `newest`, which comes first; or `replace`, where only the newest is shown.
    """

    template: str = TEMPLATE
    mode: Mode = "append"

    def checked(self) -> Rows:
        """Return itself.

        :raises ValueError: if there is no such mode.
        """
        if self.mode not in MODES:
            raise ValueError(f"mode: expected one of {', '.join(MODES)}, got {self.mode!r}")
        return self

    def found(self) -> None:
        """See that the template is there.

        :raises TemplateDoesNotExist: if it is not.
        """
        get_template(self.template)

    def each(self, job: str, lines: Sequence[Line], given: Context = context) -> list[Row]:
        """Return lines as rows, oldest first. A line that the template cannot show is said in the log, and left out.

        :param job: the job's id.
        :param given: makes what the template is given.
        :raises TemplateDoesNotExist: if there is no such template.
        """
        template = get_template(self.template)
        rows = []
        for line in lines[-1:] if self.mode == "replace" else lines:
            try:
                rows.append(Row(line.n, template.render(given(job, line))))
            except Exception:
                what = "Line %d of job %s is not shown by %s."
                logger.exception(what, line.n, job, self.template, extra={"job": job})
        return rows

    def together(self, rows: Sequence[Row]) -> str:
        """Return rows as they stand in the page."""
        return "".join(row.html for row in (reversed(rows) if self.mode == "newest" else rows))


def signed(job: str, rows: Rows) -> str:
    """Return what a page says of how a job is shown, so that nobody else can say it."""
    return signing.dumps([*rows.checked()], salt=_salt(job))


def of_signed(job: str, text: str) -> Rows:
    """Return how a job is shown.

    :raises Invalid: if a page of ours did not say so, of this job.
    """
    try:
        template, mode = signing.loads(text[: _SIGNED_MOST + 1], salt=_salt(job))
    except (signing.BadSignature, ValueError):
        raise Invalid(f"show: expected what a page of this site has put there, got {text!a:.80}.") from None
    return Rows(template, mode)


def _salt(job: str) -> str:
    return f"progrock.fragments:{job}"
