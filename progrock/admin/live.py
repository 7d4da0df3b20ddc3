"""How the jobs stand that a page of the admin shows, whoever's they are: at first, and each time that it asks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence

from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from msgspec.structs import replace

from .. import jobs, protocol, registry
from ..delay import StoreAway, door
from ..exceptions import Invalid
from ..http.asked import after as cursor
from ..models import Job
from ..protocol import Line, Snapshot
from ..words import STATES

MOST = 100
"""How many jobs a page shows, and may ask for at once."""
LINES_MOST = 200
"""How many lines of a journal are shown."""


def snapshots_of(rows: Sequence[Job]) -> list[Snapshot]:
    """Return how jobs stand, without their results, which a bar does not show.

    :param rows: best without them too: they may be long.
    """
    return [replace(each, result=None) for each in jobs.stand(rows)]


def bar(snapshot: Snapshot) -> SafeString:
    """Return how a job stands as HTML. If it is not over, with the frame that its script goes on from."""
    frame = "" if snapshot.complete else protocol.answer_frame("snapshot", snapshot, _now(), None)
    known = snapshot.percent is not None or snapshot.complete
    value = format_html(' value="{}"', snapshot.progress) if known else ""
    said = snapshot.error.message if snapshot.error else snapshot.message
    return format_html(
        '<div class="rock" data-state="{}"{}><div class="rock-line"><progress max="100" aria-label="{}"{}></progress>'
        '<span class="rock-percent">{}</span></div>'
        '<span class="rock-status">{}</span> <span class="rock-left"></span> <bdi class="rock-message">{}</bdi></div>',
        snapshot.state,
        format_html(' data-rock="{}"', frame) if frame else "",
        snapshot.title or snapshot.service,
        value,
        f"{snapshot.progress}%" if known else "",
        gettext(STATES[snapshot.state]),
        said,
    )


def journal_of(job: Job, after: int = 0) -> Sequence[Line] | None:
    """Return the last lines of a job's journal, None if it cannot be read now.

    :param after: the `seq` of the last line that is known.
    """
    try:
        return _read(str(job.pk), after)[-LINES_MOST:]
    except StoreAway:
        return None


def frame(rows: Sequence[Job], after: int | None) -> str:
    """Return the JSON that answers a page.

    :param rows: what it asked for and may see.
    :param after: the `seq` of the last line that it has of the only job's journal; None if it shows none.
    """
    told = {"jobs": snapshots_of(rows), "now": _now()}
    if after is not None and rows:
        told["journal"] = journal_of(rows[0], after) or ()
    return protocol.to_json(told)


def asked(request: HttpRequest) -> tuple[list[uuid.UUID], int | None]:
    """Return the jobs that a page asks for, and its place in the journal of the only one.

    :raises Invalid: saying what was expected and what came.
    """
    named, after = request.GET.getlist("job"), cursor(request)
    if not 0 < len(named) <= MOST:
        raise Invalid(f"job: expected 1 to {MOST} of them, got {len(named)}.")
    try:
        keys = [uuid.UUID(each) for each in named]
    except ValueError:
        raise Invalid("job: expected ids of jobs, got something else.") from None
    if after is not None and len(keys) > 1:
        raise Invalid(f"after: expected it with one job, got {len(keys)} of them.")
    return keys, after


async def _aread(job: str, after: int) -> Sequence[Line]:
    return (await registry.journal().read(job, after)).lines


_read = door(_aread, registry.aclose)


def _now() -> int:
    return int(time.time() * 1000)
