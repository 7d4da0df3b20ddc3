"""Jobs: started, listed, looked at, cancelled, tried again, and what came of them."""

from __future__ import annotations

import re
import time
from urllib.parse import urlencode

import msgspec
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from .. import standing, terms
from ..exceptions import Invalid
from ..protocol import Snapshot, State, answer_frame, jobs_frame
from ..sharing import SHARE
from . import asked, page, waiting
from .problem import NotSucceeded
from .route import route

PAGE = 50
PAGE_MOST = 100
RETRY_AFTER = "1"
"""Seconds after which there is something to see of a job."""
_CURSOR_MOST = 80


def now() -> int:
    """Return the server's time, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def etag(snapshot: Snapshot) -> str:
    """Return the validator of a job: its `seq`, and its state, since that a cancel was asked for is seen before."""
    return f'W/"{snapshot.seq}-{snapshot.state}"'


async def start(request: HttpRequest) -> HttpResponseBase:
    """Start a job."""
    wish = asked.start(request)
    caller = await asked.new_caller(request)
    started = await caller.find(wish.key) if wish.key else None
    if started is None:
        started = await caller.start(wish.service, wish.params, key=wish.key, deadline=wish.deadline)
    return _accepted(request, started)


def _accepted(request: HttpRequest, snapshot: Snapshot) -> HttpResponse:
    location = asked.url(request, "job", job=snapshot.job)
    if page.wants_page(request):
        return _see(location)
    stream = asked.url(request, "stream", job=snapshot.job)
    return _json(
        answer_frame("accepted", snapshot, now(), None),
        202,
        {
            "Location": location,
            "Retry-After": RETRY_AFTER,
            "Link": f'<{stream}>; rel="monitor"; type="text/event-stream"',
        },
    )


async def mine(request: HttpRequest) -> HttpResponseBase:
    """List the caller's jobs, newest first, or another owner's, or the children of one of them."""
    caller = await asked.caller(request)
    await asked.same(request, caller.owner)
    limit = asked.number(request, "limit", 1, PAGE_MOST) or PAGE
    before = request.GET.get("before", "")
    if "before" in request.GET and not 0 < len(before) <= _CURSOR_MOST:
        raise Invalid(f"before: expected the cursor of a page, got {before!a:.80}.")
    parent = request.GET.get("parent")
    owner = request.GET.get("owner")
    if owner is not None:
        terms.check_owner(owner)
    snapshots, cursor = await caller.page(limit=limit, before=before, parent=parent, owner=owner)
    kept = {"parent": standing.key_of(parent)} if parent else {}
    kept |= {name: request.GET[name] for name in ("owner", SHARE) if name in request.GET}
    more = "?" + urlencode({"limit": limit, "before": cursor, **kept})
    following = asked.url(request, "jobs") + more if cursor else None
    if page.wants_page(request):
        return await page.of_jobs(request, snapshots, following)
    # Who speaks JSON has no form to find the token in.
    page.token(request)
    frame = jobs_frame(snapshots, now(), None)[:-1] + f',"next":{msgspec.json.encode(following).decode()}}}'
    return _json(frame, 200, {"Link": f'<{following}>; rel="next"'} if following else {})


async def one(request: HttpRequest, job: str) -> HttpResponseBase:
    """Show how a job stands; if asked to, once there is something new."""
    caller = await asked.caller(request)
    after, known = asked.after(request), _validators(request)
    within, applied = asked.wait(request)
    onward = asked.flag(request, "redirect")
    if page.wants_page(request) and caller.shared == standing.key_of(job):
        return HttpResponseRedirect(asked.url(request, "shared", token=request.GET[SHARE]), status=303)
    if page.wants_page(request):
        return await page.of_job(request, await waiting.answer(caller, job, None, lambda _: True, 0))

    def new(snapshot: Snapshot) -> bool:
        if onward and after is None and not known:
            return False  # there is one thing to wait for
        return etag(snapshot) not in known if known else waiting.newer(snapshot, after)

    if after is None and not within:
        snapshot = await caller.get(job)
        frame = answer_frame("snapshot", snapshot, now(), None)
    else:
        answer = await waiting.answer(caller, job, after, new, within)
        snapshot = answer.snapshot
        frame = (
            answer_frame("snapshot", snapshot, now(), None)
            if after is None
            else answer_frame("snapshot", snapshot, now(), None, answer.resume, answer.lines)
        )
    headers = {"ETag": etag(snapshot)} | ({"Preference-Applied": applied} if applied else {})
    if onward and snapshot.state is State.SUCCEEDED:
        return HttpResponseRedirect(asked.url(request, "result", job=snapshot.job), status=303, headers=headers)
    if headers["ETag"] in known or "*" in known:
        return HttpResponse(status=304, headers=headers)
    if not snapshot.complete:
        headers["Retry-After"] = RETRY_AFTER
    return _json(frame, 200, headers)


def _validators(request: HttpRequest) -> set[str]:
    """Return the entity tags that the caller holds, compared weakly: as if all were weak."""
    header = request.headers.get("If-None-Match", "")
    if header.strip() == "*":
        return {"*"}
    return {f'W/"{tag}"' for tag in re.findall(r'"([\x21\x23-\x7e]{0,80})"', header[:4096])}


async def cancel(request: HttpRequest, job: str) -> HttpResponseBase:
    """Ask for a job's end."""
    snapshot = await (await asked.caller(request)).cancel(job)
    if page.wants_page(request):
        return _see(asked.url(request, "job", job=snapshot.job))
    status = 200 if snapshot.complete else 202
    return _json(answer_frame("snapshot", snapshot, now(), None), status, {"ETag": etag(snapshot)})


async def retry(request: HttpRequest, job: str) -> HttpResponseBase:
    """Try a job that is over once more, as a new one."""
    caller = await asked.caller(request)
    return _accepted(request, await caller.retry(job))


async def result(request: HttpRequest, job: str) -> HttpResponseBase:
    """Give what came of a job."""
    caller = await asked.caller(request)
    within, applied = asked.wait(request)
    headers = {"Preference-Applied": applied} if applied else {}
    if within:
        snapshot = (await waiting.answer(caller, job, None, lambda _: False, within)).snapshot
    else:
        snapshot = await caller.get(job)
    if not snapshot.complete:
        headers["Retry-After"] = RETRY_AFTER
        return _json(answer_frame("snapshot", snapshot, now(), None), 202, headers)
    if snapshot.state is not State.SUCCEEDED:
        why = f": {snapshot.error.message}" if snapshot.error else "."
        raise NotSucceeded(f"Expected a job that succeeded, got one that {_ENDED[snapshot.state]}{why}")
    if snapshot.file:
        return HttpResponseRedirect(asked.url(request, "file", job=snapshot.job), status=303, headers=headers)
    return _json(msgspec.json.encode(snapshot.result).decode(), 200, headers)


_ENDED = {State.FAILED: "failed", State.CANCELLED: "was cancelled"}


def _json(text: str, status: int, headers: dict[str, str]) -> HttpResponse:
    return HttpResponse(text, content_type="application/json", status=status, headers=headers)


def _see(location: str) -> HttpResponse:
    return HttpResponseRedirect(location, status=303)


all_jobs = route(GET=mine, POST=start)
one_job = route(GET=one)
cancel_job = route(POST=cancel)
retry_job = route(POST=retry)
result_of_job = route(GET=result)
