"""`make bench`: many jobs on the embedded engine, with their watchers, and how the page feels meanwhile.

Two parts: how long a click takes to its first update on an idle server, in a real browser; then JOBS jobs of the
synth's no-work mode, looked at every 200 ms, watched over websockets for SECONDS seconds. The last line
is one JSON object; times in milliseconds, CPU of the web process in seconds for 1,000 steps.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil
import websockets
from playwright.async_api import async_playwright

from tests.e2e.server import ServerProcess
from tests.synth.process import SynthProcess

JOBS = int(os.environ.get("JOBS", "200"))
SECONDS = int(os.environ.get("SECONDS", "20"))
CLICKS = int(os.environ.get("CLICKS", "15"))
STARTS_A_SOCKET = 5

_TIME_A_CLICK = """() => new Promise((resolve) => {
  const tracks = document.querySelector('#tracks');
  const before = tracks.children.length;
  let began = 0;
  const observer = new MutationObserver(() => {
    const newest = tracks.firstElementChild;
    if (began && tracks.children.length > before && newest.dataset.state === 'running') {
      observer.disconnect();
      resolve(performance.now() - began);
    }
  });
  observer.observe(tracks, { childList: true, subtree: true, attributes: true });
  document.querySelector('#rock-out').addEventListener('click', () => { began = performance.now(); }, { once: true });
  document.querySelector('#rock-out').click();
})"""


def percentile(values: list[float], part: float) -> float:
    """Return the value that `part` of the values do not exceed."""
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * part))], 1)


async def click(server: ServerProcess) -> list[float]:
    """Return how long each click took to the first update on the page."""
    async with async_playwright() as playwright:
        path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = await browser.new_page()
        await page.goto(server.url)
        await page.wait_for_selector('#connection[data-state="open"]')
        took = []
        for _ in range(CLICKS):
            took.append(await page.evaluate(_TIME_A_CLICK))
            await page.locator("#tracks > li").first.get_by_role("button", name="Cancel").click()
            await page.wait_for_selector('#tracks > li:first-child[data-state="cancelled"]')
            await asyncio.sleep(1.1)  # what the limit on starts asks for
        await browser.close()
        return took


async def watch(server: ServerProcess, jobs: int, seen: list[int]) -> websockets.ClientConnection:
    """Start some jobs on a socket of their own."""
    socket = await websockets.connect(server.socket_url, origin=server.url)  # type: ignore[arg-type]
    params = {"mode": "clock", "length": SECONDS + 60}
    for n in range(jobs):
        await socket.send(json.dumps({"action": "start", "key": f"k{n}", "params": params}))

    async def read() -> None:
        async for _ in socket:
            seen[0] += 1

    reading.add(asyncio.create_task(read()))
    return socket


reading: set[asyncio.Task[None]] = set()


def fetch(url: str) -> bytes:
    """Return what a GET brings."""
    with urllib.request.urlopen(url, timeout=10) as response:
        body: bytes = response.read()
        return body


async def run(server: ServerProcess) -> dict[str, Any]:
    """Take all the figures."""
    clicks = await click(server)
    print(f"click to first update: {[round(each) for each in clicks]} ms", flush=True)
    seen = [0]
    sockets = [await watch(server, min(STARTS_A_SOCKET, JOBS - n), seen) for n in range(0, JOBS, STARTS_A_SOCKET)]
    await asyncio.sleep(3)  # until all have started
    await asyncio.to_thread(fetch, f"{server.url}/bench")
    process = psutil.Process(server.pid)
    cpu, began, seen[0] = sum(process.cpu_times()[:2]), time.monotonic(), 0
    pages: list[float] = []
    while time.monotonic() - began < SECONDS:
        asked = time.monotonic()
        await asyncio.to_thread(fetch, server.url)
        pages.append((time.monotonic() - asked) * 1000)
        await asyncio.sleep(0.1)
    seconds = time.monotonic() - began
    cpu = sum(process.cpu_times()[:2]) - cpu
    frames = seen[0]
    late: list[float] = json.loads(await asyncio.to_thread(fetch, f"{server.url}/bench"))
    for socket in sockets:
        await socket.close()
    return {
        "jobs": JOBS,
        "steps_per_s": round(len(late) / seconds),
        "frames_per_s": round(frames / seconds),
        "cpu_s_per_1000": round(cpu / len(late) * 1000, 3),
        "late_p50_ms": percentile(late, 0.5),
        "late_p99_ms": percentile(late, 0.99),
        "late_max_ms": round(max(late), 1),
        "page_p50_ms": percentile(pages, 0.5),
        "page_p99_ms": percentile(pages, 0.99),
        "click_median_ms": round(statistics.median(clicks), 1),
        "click_max_ms": round(max(clicks), 1),
    }


def main() -> None:
    """Run against processes of our own."""
    with tempfile.TemporaryDirectory() as folder, SynthProcess() as synth:
        server = ServerProcess(synth.url, Path(folder))
        server.environment["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.settings"
        with server:
            print(json.dumps(asyncio.run(run(server))))


if __name__ == "__main__":
    main()
