"""Jobs that code of your own does, and reports: to the schedule, a service whose reading is the last report."""

from .queued import queued
from .rows import id_of
from .say import (
    abeat,
    acomplete,
    acreate,
    afail,
    alog,
    apart,
    areport,
    asay,
    astop,
    beat,
    complete,
    create,
    fail,
    log,
    part,
    report,
    stop,
)
from .service import Pushed
from .token import job_of_token, owner_of_token, token_for, token_to_create
from .tracked import Tracked, track

__all__ = [
    "Pushed",
    "Tracked",
    "abeat",
    "acomplete",
    "acreate",
    "afail",
    "alog",
    "apart",
    "areport",
    "asay",
    "astop",
    "beat",
    "complete",
    "create",
    "fail",
    "id_of",
    "job_of_token",
    "log",
    "owner_of_token",
    "part",
    "queued",
    "report",
    "stop",
    "token_for",
    "token_to_create",
    "track",
]
