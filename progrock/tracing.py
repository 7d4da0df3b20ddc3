"""Spans from a click to the call of a service, where OpenTelemetry is installed and set up; elsewhere, nothing."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from .exceptions import Refused

try:
    from opentelemetry import context, trace
except ImportError:
    _installed = False
else:
    _installed = True

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

A = TypeVar("A")

_LINKS_MOST = 128
"""How many links a span has: as many as OpenTelemetry's SDK keeps."""
_TRACEPARENT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})", re.ASCII)
_CHANNEL = "prog-rocker"
_NONE: Mapping[str, Any] = {}

_steps: ContextVar[Mapping[str, Span]] = ContextVar("progrock_steps", default=_NONE)
"""The spans of the batch of steps that is under way, by job."""
_looks: ContextVar[Mapping[str, Span]] = ContextVar("progrock_looks", default=_NONE)
"""Those of the jobs that are asked for together, by the service's names for them."""


def _tracer() -> Tracer | None:
    """Return who makes spans, None if nobody takes them."""
    if not _installed:
        return None
    provider = trace.get_tracer_provider()
    # The API alone, which other packages bring along, has one that makes nothing.
    return None if isinstance(provider, trace.ProxyTracerProvider) else _tracer_of(provider)


@lru_cache(maxsize=4)
def _tracer_of(provider: Any) -> Tracer:
    tracer: Tracer = provider.get_tracer("progrock")
    return tracer


def ids() -> tuple[str, str] | None:
    """Return the ids of the trace and of the span that are current, None if there are none."""
    if not _installed:
        return None
    now = trace.get_current_span().get_span_context()
    return (f"{now.trace_id:032x}", f"{now.span_id:016x}") if now.is_valid else None


def traceparent() -> str:
    """Return the current span as W3C's header of that name has it; empty if there is none."""
    return _text(trace.get_current_span()) if _installed else ""


def _text(span: Span) -> str:
    at = span.get_span_context()
    return f"00-{at.trace_id:032x}-{at.span_id:016x}-{at.trace_flags:02x}" if at.is_valid else ""


def _parent(text: str) -> Any:
    """Return the context of a span that was left to somebody else; one without a span, if it makes no sense."""
    found = _TRACEPARENT.fullmatch(text)
    if found is None:
        return context.Context()
    flags = trace.TraceFlags(int(found[3], 16) & trace.TraceFlags.SAMPLED)
    at = trace.SpanContext(int(found[1], 16), int(found[2], 16), is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(at), context.Context())


@contextmanager
def _inside(span: Span, *, ends: bool) -> Iterator[Span]:
    """Let a span be the current one. What is raised is named by its type: its text is for the log."""
    with trace.use_span(span, end_on_exit=ends, record_exception=False, set_status_on_exception=False):
        try:
            yield span
        except Refused as refusal:
            # Nothing went wrong here: it is the answer.
            span.set_attribute("error.type", refusal.code)
            raise
        except Exception as error:
            fail(span, type(error).__qualname__)
            raise


def fail(span: Span, kind: str) -> None:
    """Mark a span as one of what went wrong.

    :param kind: a word for it, of which there are few.
    """
    span.set_attribute("error.type", kind)
    span.set_status(trace.StatusCode.ERROR, kind)


@contextmanager
def serving(name: str, attributes: Mapping[str, str] = _NONE) -> Iterator[None]:
    """Have a span of what a client asks for; a part of that of the request, if the site has one.

    :param name: one of few.
    """
    tracer = _tracer()
    if tracer is None:
        yield
        return
    inner = trace.get_current_span().get_span_context().is_valid
    kind = trace.SpanKind.INTERNAL if inner else trace.SpanKind.SERVER
    with _inside(tracer.start_span(name, kind=kind, attributes=attributes), ends=True):
        yield


@contextmanager
def starting(service: str, job: str) -> Iterator[None]:
    """Have a span of a job's start, whose parts all its steps are."""
    tracer = _tracer()
    if tracer is None:
        yield
        return
    attributes = _messaging("start", "send", service, job)
    span = tracer.start_span(f"start {service}", kind=trace.SpanKind.PRODUCER, attributes=attributes)
    with _inside(span, ends=True):
        yield


class Steps:
    """The spans of a batch of steps, one for each job; false where nobody takes them."""

    def __init__(self) -> None:
        self._tracer = _tracer()
        self._spans: dict[str, Span] = {}
        if self._tracer is not None:
            # Those who work on the batch have a task of their own, or one of its children.
            _steps.set(self._spans)

    def __bool__(self) -> bool:
        return self._tracer is not None

    def begin(self, service: str, job: str, parent: str, attempt: int, late: int) -> str:
        """Begin a step.

        :param parent: the `traceparent` of the job's start; if there is none, this is where its trace begins.
        :param late: its lateness, in microseconds.
        :returns: the `traceparent` that the next step has.
        """
        if self._tracer is None:
            return parent
        attributes = {
            **_messaging("step", "process", service, job),
            "progrock.attempt": attempt,
            "progrock.lateness": late / 1_000_000,
        }
        span = self._spans[job] = self._tracer.start_span(
            f"step {service}", context=_parent(parent), kind=trace.SpanKind.CONSUMER, attributes=attributes
        )
        return parent if _TRACEPARENT.fullmatch(parent) else _text(span)

    def end(self, job: str, outcome: str) -> None:
        """End a step, if it was begun."""
        if span := self._spans.pop(job, None):
            span.set_attribute("progrock.outcome", outcome)
            span.end()

    def close(self) -> None:
        """End those that have come to nothing."""
        for span in self._spans.values():
            fail(span, "broken_off")
            span.end()
        self._spans.clear()


def enter(job: str) -> None:
    """Let what this asyncio task does from now on be a part of a job's step."""
    if span := _steps.get().get(job):
        context.attach(trace.set_span_in_context(span))


def ended(job: str, state: str, error: str) -> None:
    """Say of a job's step how the job has ended.

    :param error: the code of its failure; empty if it has not failed.
    """
    if span := _steps.get().get(job):
        span.set_attribute("progrock.state", state)
        if error:
            fail(span, error)


@contextmanager
def looking(service: str, remotes: Sequence[tuple[str, str]]) -> Iterator[None]:
    """Have a look at jobs be a part of their steps: of the one's, or, of many's, by links.

    :param remotes: pairs of the service's name for a job, and ours.
    """
    steps = _steps.get()
    spans = {remote: steps[job] for remote, job in remotes if job in steps and steps[job].is_recording()}
    tracer = _tracer()
    if tracer is None or not spans:
        yield
        return
    if len(remotes) == 1:
        with _inside(next(iter(spans.values())), ends=False):
            yield
        return
    links = [trace.Link(span.get_span_context()) for span in list(spans.values())[:_LINKS_MOST]]
    attributes: dict[str, Any] = {"progrock.service": service, "messaging.batch.message_count": len(remotes)}
    token = _looks.set(spans)
    try:
        look = tracer.start_span(f"look {service}", context=context.Context(), attributes=attributes, links=links)
        with _inside(look, ends=True):
            yield
    finally:
        _looks.reset(token)


def each(ask: Callable[[str], Awaitable[A]]) -> Callable[[str], Awaitable[A]]:
    """Return what asks for one job, by the service's name for it, as a part of that job's step.

    For adapters that ask for jobs one by one. Where nobody takes spans it is the same function.
    """
    spans = _looks.get()
    if not spans:
        return ask

    async def traced(remote: str) -> A:
        span = spans.get(remote)
        if span is None:
            return await ask(remote)
        with _inside(span, ends=False):
            return await ask(remote)

    return traced


class Called:
    """The span of a call to a service, while it is under way."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def replied(self, status: int) -> None:
        """Say with which status of HTTP it was answered."""
        self._span.set_attribute("http.response.status_code", status)
        if status >= 400:
            fail(self._span, str(status))

    def missed(self, code: str) -> None:
        """Say what was wrong with the answer, if its status was not."""
        if self._span.is_recording() and "error.type" not in (getattr(self._span, "attributes", None) or {}):
            fail(self._span, code)


@contextmanager
def calling(method: str, url: str, host: str, port: int) -> Iterator[Called | None]:
    """Have a span of a call over HTTP.

    :param url: without its query, where credentials may be.
    """
    tracer = _tracer()
    if tracer is None:
        yield None
        return
    attributes: dict[str, Any] = {
        "http.request.method": method,
        "url.full": url,
        "server.address": host,
        "server.port": port,
    }
    with _inside(tracer.start_span(method, kind=trace.SpanKind.CLIENT, attributes=attributes), ends=True) as span:
        yield Called(span)


def _messaging(name: str, kind: str, service: str, job: str) -> dict[str, Any]:
    """Return what OpenTelemetry's conventions have for messages, of a job."""
    return {
        "messaging.system": "progrock",
        "messaging.operation.name": name,
        "messaging.operation.type": kind,
        "messaging.destination.name": _CHANNEL,
        "messaging.message.id": job,
        "progrock.service": service,
    }
