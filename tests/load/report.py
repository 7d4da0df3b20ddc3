"""Writes down what a load run has seen, as Markdown."""

from __future__ import annotations

import os
import platform
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil

from tests.load.director import Act, Span
from tests.load.ledger import Seen
from tests.load.measure import Measure
from tests.load.oracle import Known, Verdict
from tests.load.samples import Sample

PAGE = Path(__file__).parents[2] / "docs/explanation/load-run.md"
BEGIN, END = "<!-- written by make load -->", "<!-- end -->"
_PARTS = (0.5, 0.95, 0.99, 1.0)
_NAMES = {
    "ramp": "all come",
    "quiet": "quiet",
    "kills": "kills at random",
    "deploy": "a deployment",
    "drain": "the end",
}


@dataclass
class Run:
    """All that is told.

    :param begin: of the run, in seconds of the monotonic clock.
    """

    measure: Measure
    begin: float
    verdict: Verdict
    seen: Seen
    acts: Sequence[Act]
    spans: Sequence[Span]
    samples: Sequence[Sample]
    before: Known
    after: Known
    refused: int
    missed: int


def write(page: Path, run: Run) -> None:
    """Put what was seen between the page's two marks.

    :raises ValueError: if the page has no marks.
    """
    text = page.read_text() if page.exists() else f"# A load run\n\n{BEGIN}\n{END}\n"
    before, begun, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise ValueError(f"{page}: expected the marks {BEGIN} and {END}, got a page without them")
    page.write_text(f"{before}{BEGIN}\n\n{tell(run)}\n{END}{after}")


def tell(run: Run) -> str:
    """Return it as text."""
    parts = [_head(run), _nothing_lost(run), _lateness(run), _use(run), _acts(run)]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _head(run: Run) -> list[str]:
    memory = psutil.virtual_memory().total / 2**30
    machine = f"{os.cpu_count()} cores ({_processor()}), {memory:.0f} GiB, Linux {platform.release().split('-')[0]}"
    verdict = "**Nothing was lost.**" if not run.verdict.wrong else f"**{len(run.verdict.wrong)} things were wrong.**"
    return [
        f"{date.today()}: {run.measure}. One machine for all of it, the clients too: {machine}.",
        "",
        verdict,
        *(f"- {line}" for line in run.verdict.wrong),
    ]


def _nothing_lost(run: Run) -> list[str]:
    states = ", ".join(f"{count:,} {state}" for state, count in run.verdict.states.most_common())
    remote = {name: run.after.remote[name] - run.before.remote[name] for name in ("known",)}
    kills = [act for act in run.acts if act.what.startswith("SIGKILL")]
    return [
        "| | |",
        "|---|---|",
        f"| jobs accepted | {run.verdict.jobs:,} |",
        f"| rows | {states} |",
        f"| run by the remote service | {remote['known']:,} |",
        f"| most in flight | {max([each.in_flight for each in run.samples], default=0):,} |",
        f"| containers killed | {len(kills)} |",
        f"| containers replaced | {len(run.acts) - len(kills)} |",
        f"| connections that were cut off and came back | {run.seen.reconnects:,} |",
        f"| … within, at most | {max(run.seen.away[1::2], default=0):.1f} s |",
        f"| snapshots pushed | {run.seen.updates:,} |",
        f"| answers | {run.seen.answers:,} |",
        f"| lines of journals | {run.seen.lines:,} |",
        f"| starts that had to be asked for again | {run.refused:,} |",
        f"| keys in Redis before, after | {run.before.keys:,}, {run.after.keys:,} |",
    ]


def _lateness(run: Run) -> list[str]:
    lines = [
        "As clients saw it, in milliseconds: how long after it was due a look was taken up, how old a snapshot was",
        "when it came, and how long nothing new was heard of a job:",
        "",
        "| while | seconds | late p50 | p95 | p99 | most | old p50 | p95 | p99 | most | silence p99 | most |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, meaning in _NAMES.items():
        spans = [span for span in run.spans if span.name == name]
        if not spans:
            continue
        cells = [meaning, f"{sum(span.end - span.begin for span in spans):.0f}"]
        cells += _quantiles(run.seen.late, spans) + _quantiles(run.seen.old, spans)
        cells += _quantiles(run.seen.silence, spans, 1000)[2:]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _quantiles(pairs: array[float], spans: Iterable[Span], factor: float = 1) -> list[str]:
    inside = sorted(
        value
        for at, value in zip(pairs[0::2], pairs[1::2], strict=True)
        if any(span.begin <= at < span.end for span in spans)
    )
    if not inside:
        return ["-"] * len(_PARTS)
    return [f"{inside[min(len(inside) - 1, int(len(inside) * part))] * factor:,.0f}" for part in _PARTS]


def _use(run: Run) -> list[str]:
    if len(run.samples) < 2:
        return ["There are no samples."]
    first, last = run.samples[0], run.samples[-1]
    seconds = last.at - first.at
    lines = [
        "What it took, of one core on the average; a process that was killed counts until it was last seen:",
        "",
        "| | core | memory, most |",
        "|---|---|---|",
    ]
    for role in sorted(last.uses):
        before = first.uses[role].cpu if role in first.uses else 0.0
        memory = max(each.uses[role].memory for each in run.samples if role in each.uses)
        if memory:
            lines.append(f"| {role} | {(last.uses[role].cpu - before) / seconds:.2f} | {memory / 2**20:.0f} MiB |")
    lines.append(f"| the clients | {(last.own - first.own) / seconds:.2f} | |")
    busy = sum(each.busy for each in run.samples[1:]) / (len(run.samples) - 1)
    most = [max(each.redis.get(name, 0) for each in run.samples) for name in ("memory", "keys", "connections")]
    late = max((each.metrics.get("progrock_late_seconds", 0.0) for each in run.samples), default=0.0)
    redis = f"Redis had at most {most[0] / 2**20:.1f} MiB in {most[1]:,} keys, and {most[2]} connections."
    lines += ["", f"All cores were busy to {busy:.0%}. {redis}"]
    lines.append(f"Samples: {len(run.samples)}; {run.missed} could not be taken.")
    if any(each.metrics for each in run.samples):
        lines.append(f"The first entry that was due had been so for {late:.1f} s at most, as `/metrics` says it.")
    return lines


def _acts(run: Run) -> list[str]:
    lines = ["What was done to it, in seconds since the first client came:", ""]
    kills: list[str] = []
    for act in run.acts:
        at = act.at - run.begin
        if act.what.startswith("SIGKILL"):
            kills.append(f"{at:.0f} {act.what.removeprefix('SIGKILL ')}")
            continue
        lines += _kills(kills)
        kills = []
        lines.append(f"- {at:.0f}: {act.what}; the new one was well after {act.seconds:.0f} s")
    return [*lines, *_kills(kills)]


def _kills(kills: list[str]) -> list[str]:
    return [f"- SIGKILL: {', '.join(kills)}"] if kills else []


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
