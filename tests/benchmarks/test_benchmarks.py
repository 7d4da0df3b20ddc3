"""That the benchmarks run and say what they promise; never what the figures are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def figures_of(module: str, **more: str) -> dict[str, Any]:
    """Run a benchmark and return its figures.

    :param more: of its environment.
    """
    environment = {**os.environ, **more}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    ran = subprocess.run(
        [sys.executable, "-m", module], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout.splitlines()[-1]))


def test_make_bench_delay_ends_with_its_figures() -> None:
    figures = figures_of("tests.benchmarks.delay", JOBS="20", STEPS="3", EVERY_MS="100", WORKERS="2", SCHEDULERS="2")
    assert (figures["jobs"], figures["lost"], figures["doubled"]) == (20, 0, 0)
    assert {"steps_per_s", "cpu_s_per_1000", "late_p50_ms", "late_p99_ms"} <= figures.keys()


def test_make_bench_jobs_ends_with_its_figures() -> None:
    figures = figures_of("tests.benchmarks.jobs", JOBS="10", STEPS="3", EVERY_MS="100")
    assert (figures["jobs"], figures["lost"], figures["db_writes_per_job"]) == (10, 0, 4.0)
    assert figures["doubled"] >= 0
    assert {"steps_per_s", "cpu_s_per_1000", "cpu_steady", "late_p50_ms", "late_p99_ms"} <= figures.keys()


def test_make_bench_fanout_ends_with_its_figures() -> None:
    figures = figures_of("tests.benchmarks.fanout", SOCKETS="30", UPDATES="60", SECONDS="1", WEB="2")
    assert (figures["sockets"], figures["missing"], figures["doubled"]) == (30, 0, 0)
    assert figures["baseline_frames_per_s"] > 0
    keys = {"delivered_per_s", "late_p99_ms", "server_cpu_s_per_1000", "publisher_cpu_s_per_1000", "kb_per_connection"}
    assert keys | {f"baseline_{key}" for key in keys} <= figures.keys()


def test_make_bench_services_ends_with_its_figures() -> None:
    ways = ["single", "batch_by_hand"]
    environment = {**os.environ, "JOBS": "10", "SECONDS": "3", "EVERY_MS": "200", "WAYS": " ".join(ways)}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, "-m", "tests.benchmarks.services"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    runs = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [run.get("way") for run in runs] == [*ways, None]
    # Polled for as long as it was measured, at its pace.
    assert all(run["polls"] > 10 for run in runs)
    assert (runs[-1]["jobs"], runs[-1]["lost"]) == (10, 0)
    assert {"late_p99_ms", *(f"cpu_{way}" for way in ways)} <= runs[-1].keys()


def test_make_bench_ends_with_its_figures() -> None:
    figures = figures_of("tests.benchmarks.embedded", JOBS="5", SECONDS="3", CLICKS="1")
    assert figures["jobs"] == 5
    assert figures["steps_per_s"] > 0
    assert {"cpu_s_per_1000", "late_p99_ms", "page_p99_ms", "click_median_ms"} <= figures.keys()
