"""Draws `docs/images/delay.svg`: cost and lateness of the delay scheduler against the number of jobs, measured now."""

from __future__ import annotations

import asyncio
import json
import math
import os
from pathlib import Path
from typing import Any

from tests.benchmarks.delay import measure

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "images" / "delay.svg"
STEPS = int(os.environ.get("STEPS", "20"))
JOBS = (100, 300, 1_000, 5_000, 20_000)
WIDTH, HEIGHT, LEFT, TOP = 300, 200, 60, 40


def panel(x: int, title: str, figures: list[dict[str, Any]], key: str, marks: tuple[float, ...]) -> str:
    """Return one diagram, both axes logarithmic."""
    low, high = math.log10(marks[0]), math.log10(marks[-1])
    first, last = math.log10(JOBS[0]), math.log10(JOBS[-1])

    def across(jobs: float) -> float:
        return x + LEFT + (math.log10(jobs) - first) / (last - first) * WIDTH

    def up(value: float) -> float:
        return TOP + HEIGHT - (math.log10(value) - low) / (high - low) * HEIGHT

    parts = [f'<text x="{x + LEFT}" y="{TOP - 18}" class="title">{title}</text>']
    for mark in marks:
        y = up(mark)
        parts.append(f'<line x1="{x + LEFT}" y1="{y:.1f}" x2="{x + LEFT + WIDTH}" y2="{y:.1f}" class="grid"/>')
        parts.append(f'<text x="{x + LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{mark:g}</text>')
    foot = TOP + HEIGHT + 20
    parts += [f'<text x="{across(jobs):.1f}" y="{foot}" text-anchor="middle">{jobs:,}</text>' for jobs in JOBS]
    points = [(across(each["jobs"]), up(each[key]), each[key]) for each in figures]
    parts.append(f'<polyline points="{" ".join(f"{a:.1f},{b:.1f}" for a, b, _ in points)}"/>')
    for a, b, value in points:
        parts.append(
            f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5"/><text x="{a + 6:.1f}" y="{b - 7:.1f}">{value:g}</text>'
        )
    return "\n".join(parts)


def draw(figures: list[dict[str, Any]]) -> str:
    """Return the picture."""
    cost = panel(0, "CPU seconds for 1,000 steps", figures, "cpu_s_per_1000", (0.01, 0.1, 1))
    late = panel(WIDTH + 90, "p99 of lateness, ms", figures, "late_p99_ms", (10, 100, 1_000))
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH + 180} {HEIGHT + 80}" role="img">
<title>Cost and lateness against the number of jobs, each looked at every second</title>
<style>
  text {{ font: 12px sans-serif; fill: #555 }} .title {{ font-size: 14px; font-weight: bold }}
  .grid {{ stroke: #ccc }} polyline {{ fill: none; stroke: #b4431f; stroke-width: 2 }} circle {{ fill: #b4431f }}
  @media (prefers-color-scheme: dark) {{ text {{ fill: #bbb }} .grid {{ stroke: #444 }} }}
</style>
{cost}
{late}
</svg>
"""


def main() -> None:
    """Measure, print each line, draw."""
    figures = []
    for jobs in JOBS:
        figures.append(asyncio.run(measure(jobs=jobs, every_ms=1_000, steps=STEPS, workers=1, schedulers=1)))
        print(json.dumps(figures[-1]), flush=True)
    PICTURE.write_text(draw(figures))


if __name__ == "__main__":
    main()
