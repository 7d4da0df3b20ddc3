"""What a render is: the order that asked for it, its state, and how both look as JSON."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from synth import wire
from synth.music import METERS, RATE, Plan, plan_for

FINAL = frozenset({"succeeded", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Order:
    """The checked body of a start; None means: the seed decides (or, for the seed, the dice)."""

    meter: str | None
    tempo: float | None
    seed: int | None
    length: float
    pace: float
    mode: str

    @classmethod
    def read(cls, body: object) -> Order:
        """Check the body of a start.

        Raises:
            Refusal: 400, saying which value was expected.
        """
        given = wire.fields(body, ("meter", "tempo", "seed", "length", "pace", "mode"))

        def has(key: str) -> bool:
            return given.get(key) is not None

        return cls(
            meter=wire.one_of(given["meter"], "meter", tuple(METERS)) if has("meter") else None,
            tempo=wire.number(given["tempo"], "tempo", 60, 240) if has("tempo") else None,
            seed=wire.whole(given["seed"], "seed", 0, 2**31 - 1) if has("seed") else None,
            length=wire.number(given["length"], "length", 0.5, 600) if has("length") else 20.0,
            pace=wire.number(given["pace"], "pace", 0.1, 100) if has("pace") else 1.0,
            mode=wire.one_of(given["mode"], "mode", ("render", "clock")) if has("mode") else "render",
        )


@dataclass(slots=True)
class Render:
    """One render, as the studio holds it."""

    id: str
    order: Order
    plan: Plan
    key: str | None
    """The Idempotency-Key it was started with."""
    state: str = "queued"
    done: int = 0
    """Samples recorded."""
    begun: float = 0.0
    """When it began, on the loop's clock; what clock mode counts from."""
    ended: float = 0.0
    """When it ended, in seconds since 1970; 0 while it lives."""
    bytes: int = 0
    """Size of its file; 0 if there is none."""
    error: dict[str, str] | None = None

    @classmethod
    def make(cls, name: str, order: Order, key: str | None) -> Render:
        """Make a render for an order, drawing what the order leaves open."""
        seed = secrets.randbelow(2**31) if order.seed is None else order.seed
        return cls(name, order, plan_for(seed, order.length, order.meter, order.tempo), key)

    @property
    def message(self) -> str:
        """What is going on, in a few words."""
        if self.state == "running":
            return self.plan.message_at(self.done)
        return {
            "queued": "Waiting for a free tape machine",
            "succeeded": f"Mixed: {self.order.length:g} seconds in {self.plan.meter}",
            "failed": "The tape snapped",
            "cancelled": "Session called off",
        }[self.state]

    def show(self) -> dict[str, Any]:
        """Give the render as the API shows it; `done` and `total` are samples."""
        plan = self.plan
        href = {"href": f"/v1/renders/{self.id}/file", "type": "audio/wav", "bytes": self.bytes}
        return {
            "id": self.id,
            "state": self.state,
            "done": self.done,
            "total": plan.total,
            "message": self.message,
            "log": plan.log_at(self.done),
            "title": plan.title,
            "meter": plan.meter,
            "tempo": int(plan.tempo) if plan.tempo.is_integer() else plan.tempo,
            "seed": plan.seed,
            "length": self.order.length,
            "error": self.error,
            "file": href if self.bytes else None,
        }

    def record(self) -> dict[str, Any]:
        """Give what must survive a restart."""
        return {
            "order": {name: getattr(self.order, name) for name in Order.__slots__},
            "seed": self.plan.seed,
            "key": self.key,
            "state": self.state,
            "ended": self.ended,
            "bytes": self.bytes,
            "error": self.error,
        }

    @classmethod
    def from_record(cls, name: str, record: dict[str, Any]) -> Render:
        """Make it again from its record; one that had not ended is queued, with nothing recorded."""
        order = Order(**record["order"])
        plan = plan_for(record["seed"], order.length, order.meter, order.tempo)
        render = cls(name, order, plan, record["key"])
        if record["state"] in FINAL:
            render.state, render.ended = record["state"], record["ended"]
            render.bytes, render.error = record["bytes"], record["error"]
            render.done = plan.total if render.state == "succeeded" else 0
        return render

    def clock(self, now: float) -> None:
        """Move a clock-mode render to where it is at `now` (the loop's clock)."""
        self.done = min(self.plan.total, max(0, int((now - self.begun) * self.order.pace * RATE)))

    @property
    def lasts(self) -> float:
        """How long it takes, in seconds of the loop's clock."""
        return self.plan.total / RATE / self.order.pace
