"""What one client is told of its jobs, and what of that must not be."""

from __future__ import annotations

import time
from array import array
from dataclasses import dataclass, field

import msgspec


class Line(msgspec.Struct):
    """A line of a journal."""

    n: int
    text: str


class Told(msgspec.Struct, kw_only=True):
    """Of a snapshot what a ledger needs."""

    job: str = ""
    seq: int = 0
    state: str = ""
    progress: int = 0
    complete: bool = False
    error: dict[str, str] | None = None
    at: int = 0
    due: int | None = None
    lines: int = 0
    journal: list[Line] | None = None
    resume: str = ""


class Frame(Told, kw_only=True):
    """A frame of the server's."""

    type: str
    ref: str = ""
    code: str = ""
    message: str = ""
    ack: int = 0
    quiet: int = 0
    updates: list[Told] = []


@dataclass(slots=True)
class Held:
    """What a client knows of a job."""

    state: str = "pending"
    seq: int = -1
    progress: int = 0
    complete: bool = False
    error: str = ""
    due: int | None = None
    at: float = field(default_factory=time.monotonic)
    """When it last heard something new."""
    pushed: int = -1
    """The newest seq that this connection has brought."""
    lines: dict[int, str] = field(default_factory=dict)
    count: int = 0
    """How many lines its journal has, by the newest snapshot."""
    cursor: int = 0
    """The newest seq up to which it has everything."""

    @property
    def over(self) -> bool:
        """Whether it was told the end, and every line on the way."""
        return self.complete and len(self.lines) >= self.count


@dataclass
class Seen:
    """What all clients have seen together, as numbers."""

    updates: int = 0
    answers: int = 0
    lines: int = 0
    reconnects: int = 0
    late: array[float] = field(default_factory=lambda: array("d"))
    """Pairs: when something came, in seconds of the monotonic clock, and how late its look was, in milliseconds."""
    old: array[float] = field(default_factory=lambda: array("d"))
    """Pairs: the same, and how old it was when it came."""
    silence: array[float] = field(default_factory=lambda: array("d"))
    """Pairs: when the first new word of a job came after a silence of more than a second, and its seconds."""
    away: array[float] = field(default_factory=lambda: array("d"))
    """Pairs: when a client was back, and for how many seconds it had been cut off."""


class Ledger:
    """What one client was told.

    :param seen: where the numbers go.
    """

    def __init__(self, seen: Seen) -> None:
        self.jobs: dict[str, Held] = {}
        self.accepted: dict[str, str] = {}
        """Jobs by the key they were started with."""
        self.wrong: list[str] = []
        self._seen = seen

    def connected(self) -> None:
        """Note that a new connection begins: it may tell anything once more, and has missed what was due."""
        for held in self.jobs.values():
            held.pushed, held.due = -1, None

    def accept(self, key: str, told: Told) -> None:
        """Take the answer to a start."""
        if self.accepted.setdefault(key, told.job) != told.job:
            self.wrong.append(f"{key} became two jobs, {self.accepted[key]} and {told.job}")
        self.jobs.setdefault(told.job, Held())
        self.answer(told)

    def answer(self, told: Told) -> None:
        """Take the answer to a question."""
        self._seen.answers += 1
        self._hear(told, asked=True)

    def push(self, told: Told) -> None:
        """Take what came by itself."""
        self._seen.updates += 1
        self._hear(told, asked=False)

    def _hear(self, told: Told, *, asked: bool) -> None:
        held = self.jobs.get(told.job)
        if held is None:
            self.wrong.append(f"{told.job}: nobody here has asked for it")
            return
        if not asked and told.seq <= held.pushed:
            self.wrong.append(f"{told.job}: {told.seq} was pushed after {held.pushed}, on one connection")
            return
        self._read(held, told)
        again, held.pushed = held.pushed >= 0, max(held.pushed, told.seq)
        if held.complete:
            if again and not asked:
                self.wrong.append(f"{told.job}: its end was pushed twice, on one connection")
            if told.state != held.state:
                self.wrong.append(f"{told.job}: {told.state} after {held.state}")
            return
        if told.seq < held.seq and (not asked or told.seq == 0):
            return
        if told.seq >= held.seq and told.progress < held.progress:
            self.wrong.append(f"{told.job}: progress {told.progress} after {held.progress}")
        self._note(held, told, asked=asked)
        held.seq, held.state, held.progress, held.due = told.seq, told.state, told.progress, told.due
        held.complete = told.complete
        held.error = (told.error or {}).get("code", "")

    def _note(self, held: Held, told: Told, *, asked: bool) -> None:
        """Measure what is new."""
        if told.seq <= held.seq:
            return
        now = time.monotonic()
        if held.seq > 0 and now - held.at > 1:
            self._seen.silence.extend((now, now - held.at))
        held.at = now
        if not asked and held.due is not None and held.seq > 0:
            # The seq of a look is the store's time when it was taken up.
            self._seen.late.extend((now, told.seq / 1000 - held.due))
        if not asked:
            self._seen.old.extend((now, time.time() * 1000 - told.at))

    def _read(self, held: Held, told: Told) -> None:
        """Take the lines of a journal as the protocol has it."""
        if told.resume == "reset":
            held.lines.clear()
        for line in told.journal or ():
            if held.lines.setdefault(line.n, line.text) != line.text:
                self.wrong.append(f"{told.job}: line {line.n} was {held.lines[line.n]!r} and is {line.text!r}")
            self._seen.lines += 1
        held.count = max(held.count, told.lines)
        if len(held.lines) >= held.count:
            held.cursor = max(held.cursor, told.seq)
        elif told.journal is not None and not told.resume and told.lines >= held.count:
            self.wrong.append(f"{told.job}: a gap in its journal: {sorted(held.lines)} of {held.count}")
