"""The elements in a real browser, on plain pages, before a server that says what a test wants."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.async_api import Browser, BrowserContext, Locator, Page, WebSocketRoute, expect

from progrock import protocol
from progrock.protocol import Failure, Snapshot, State
from tests.conftest import until
from tests.e2e.conftest import LONG, on_the_loop_of_chromium
from tests.e2e.pages import sample, samples
from tests.e2e.server import ServerProcess
from tests.synth.process import SynthProcess

ROOT = Path(__file__).resolve().parents[2]
BUSY = re.compile(r"^(42%|…) · A page$")
AXE = ROOT / "node_modules/axe-core/axe.min.js"


@pytest.fixture(scope="session")
def site(synth: SynthProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    more = {"DJANGO_SETTINGS_MODULE": "tests.e2e.pages_settings"}
    with ServerProcess(synth.url, tmp_path_factory.mktemp("pages"), more=more) as server:
        yield server


class Stage:
    """The server's end of all sockets of a browser: knows some jobs, and says of them what a test wants."""

    def __init__(self) -> None:
        self.jobs: dict[str, Snapshot] = {}
        self.journals: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[dict[str, Any]] = []
        self.sockets: list[WebSocketRoute] = []
        self.silent = False
        self.refused = ""
        self.retried: Snapshot | None = None

    async def open(self, context: BrowserContext) -> None:
        await context.route_web_socket("**/prog/", self._take)

    def _take(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda text: self._answer(socket, json.loads(text)))
        if not self.silent:
            socket.send(protocol.hello_frame())

    def _answer(self, socket: WebSocketRoute, frame: dict[str, Any]) -> None:
        self.asked.append(frame)
        ref, now = frame.get("ref"), 0
        action, job = frame["action"], frame.get("job", "")
        known = list(self.jobs.values())
        now = max([each.at for each in known], default=0)
        if action == "list" and self.refused:
            socket.send(protocol.error_frame("unavailable", self.refused, ref))
        elif action == "list":
            newest = sorted(known, key=lambda each: -each.created)
            socket.send(protocol.jobs_frame(newest, now, ref))
        elif action == "ping":
            socket.send(protocol.pong_frame(ref))
        elif job not in self.jobs:
            socket.send(protocol.error_frame("not_found", "Expected the id of a job of yours.", ref))
        elif action == "watch":
            answer = json.loads(protocol.answer_frame("snapshot", self.jobs[job], now, ref))
            socket.send(json.dumps({**answer, "resume": "reset", "journal": self.journals.get(job, [])}))
        elif action == "retry" and self.retried:
            self.say(self.retried)
            socket.send(protocol.answer_frame("accepted", self.retried, now, ref))
        elif action == "cancel":
            self.say(msgspec.structs.replace(self.jobs[job], state=State.CANCELLING))
            socket.send(protocol.answer_frame("snapshot", self.jobs[job], now, ref))

    def say(self, snapshot: Snapshot, *journal: dict[str, Any]) -> Snapshot:
        """Tell of a job, and of new lines of its journal; on every socket."""
        before = self.jobs.get(snapshot.job)
        seq = before.seq + 1 if before else snapshot.seq
        lines = self.journals.setdefault(snapshot.job, [])
        lines += [
            {"at": snapshot.at, "data": None, "seq": seq, **line, "n": len(lines) + i + 1}
            for i, line in enumerate(journal)
        ]
        snapshot = self.jobs[snapshot.job] = msgspec.structs.replace(snapshot, seq=seq, lines=len(lines))
        frame = json.loads(protocol.update_frame([protocol.encode(snapshot)]))
        for socket in self.sockets:
            socket.send(json.dumps({**frame, **({"journal": lines[-len(journal) :]} if journal else {})}))
        return snapshot


@on_the_loop_of_chromium
async def stage(context: BrowserContext) -> Stage:
    stage = Stage()
    await stage.open(context)
    return stage


@on_the_loop_of_chromium
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    page = await context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    assert complaints == []


async def show(page: Page, site: ServerProcess, of: str, lang: str = "en", css: str = "") -> None:
    await page.goto(f"{site.url}/page/?of={of}&lang={lang}&css={css}")


async def finish(stage: Stage, job: Snapshot, state: State = State.SUCCEEDED, **changes: Any) -> Snapshot:
    return stage.say(msgspec.structs.replace(job, state=state, percent=100.0, due=None, **changes))


def element(page: Page, job: Snapshot) -> Locator:
    return page.locator(f'prog-rock[job="{job.job}"]')


async def test_a_running_job_comes_along_to_every_page(page: Page, site: ServerProcess) -> None:
    await page.goto(site.url)
    await page.locator("#notes summary").click()
    await page.fill("#length", "15")
    await page.locator("#rock-out").click()
    await expect(page.locator('#tracks [data-state="running"]')).to_have_count(1)
    await expect(page).to_have_title(re.compile(r"^(\d+%|…) · .+ · ProgRock$"))
    response = await page.goto(f"{site.url}/page/?of=mine&lang=de")
    assert response
    assert "Nachsehen, wie es läuft" in await response.text()
    row = page.locator("prog-rock-jobs > prog-rock")
    await expect(row).to_have_attribute("state", "running")
    await expect(row).to_contain_text("Läuft")
    await page.locator("a", has_text="Elsewhere").click()
    toast = page.locator("prog-rock-toasts [part~=toast]")
    await expect(toast).to_contain_text("Done", timeout=LONG)
    await page.reload()
    await expect(page.locator("prog-rock-toasts[src]")).to_be_attached()
    await page.goto(f"{site.url}/page/?of=jobs")
    await expect(page.locator("prog-rock-jobs")).to_have_attribute("complete", "1")
    await expect(page.locator("prog-rock-jobs")).to_have_attribute("running", "0")


def asked_of(stage: Stage, job: Snapshot, action: str) -> int:
    return sum(frame["action"] == action and frame.get("job") == job.job for frame in stage.asked)


async def test_the_first_snapshot_is_shown_before_anybody_was_asked(
    page: Page, stage: Stage, site: ServerProcess
) -> None:
    stage.silent = True
    await show(page, site, "states")
    shown = {each.title.split()[0]: each for each in samples()}
    running = element(page, shown["Running"])
    await expect(running).to_have_attribute("state", "running")
    await expect(running).to_contain_text("42%")
    await expect(running).to_contain_text(re.compile(r"about\s(1\smin\s1|5\d\ssec)"))
    await expect(running.get_by_text("See how it goes")).to_be_hidden()
    await expect(running).not_to_have_attribute("condition", "disconnected")
    await expect(element(page, shown["Done"])).to_have_attribute("complete", "")
    await expect(element(page, shown["Quiet"])).to_have_attribute("condition", "quiet")
    assert stage.asked == []


async def test_an_element_that_is_put_back_does_not_go_back_in_time(
    page: Page, stage: Stage, site: ServerProcess
) -> None:
    job = stage.say(samples()[1])
    await show(page, site, "all")
    shown = page.locator("main > prog-rock")
    await expect(shown).not_to_have_attribute("snapshot", re.compile("."))
    stage.say(msgspec.structs.replace(job, percent=77.0))
    await expect(shown).to_have_attribute("progress", "77")
    before = await shown.evaluate(
        """element => new Promise((resolve) => {
            const seen = [];
            const watching = new MutationObserver(() => seen.push(element.getAttribute('progress')));
            watching.observe(element, { attributes: true });
            element.addEventListener('progress', () => setTimeout(() => resolve(seen)));
            setTimeout(() => resolve(['no answer']), 5000);
            element.remove();
            setTimeout(() => document.querySelector('h1').before(element));
        })"""
    )
    assert set(before) == {"77"}


async def test_what_is_over_is_not_asked_for(page: Page, stage: Stage, site: ServerProcess) -> None:
    for each in samples():
        stage.say(each)
    await show(page, site, "fallback")

    async def all_asked() -> bool:
        return len(stage.asked) >= 7

    await until(all_asked, within=10)
    over = {each.job for each in samples() if each.complete}
    assert over.isdisjoint(frame.get("job") for frame in stage.asked)


async def test_without_javascript_there_is_a_bar_and_a_page(browser: Browser, site: ServerProcess) -> None:
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await show(page, site, "fallback", lang="de")
    running = element(page, samples()[1])
    await expect(running.locator("progress")).to_have_attribute("value", "42")
    await expect(running.locator("progress")).to_be_visible()
    await expect(running).to_contain_text("Läuft Recording the organ")


async def test_the_journal_is_text_and_bounded(page: Page, stage: Stage, site: ServerProcess) -> None:
    job = stage.say(samples()[1], {"level": "info", "text": "<img src=x onerror=alert(1)>"})
    await show(page, site, "all")
    shown = page.locator("main > prog-rock")
    lines = shown.locator("[part~=line]")
    await expect(lines).to_have_text(["<img src=x onerror=alert(1)>"])
    assert await shown.locator("img").count() == 0
    live = shown.locator("[part=live]")
    stage.say(job, {"level": "info", "text": "second"})
    await expect(lines).to_have_count(2)
    await expect(live).to_have_text("")
    stage.say(job, {"level": "error", "text": "The organ is out of tune"})
    await expect(live).to_have_text("The organ is out of tune")
    await expect(lines.nth(2)).to_have_attribute("part", "line error")
    stage.say(job, *({"level": "debug", "text": f"beat {n}"} for n in range(300)))
    await expect(lines).to_have_count(200)
    await expect(lines.last).to_have_text("beat 299")
    await expect(lines.last).to_be_in_viewport()


async def test_a_job_moved_in_the_page_is_not_forgotten(page: Page, stage: Stage, site: ServerProcess) -> None:
    job = stage.say(samples()[1], {"level": "info", "text": "Tuned"})
    await show(page, site, "states")
    shown = element(page, job)
    await expect(shown.locator("[part~=line]")).to_have_text("Tuned")
    stage.say(msgspec.structs.replace(job, percent=50.0))
    await expect(shown).to_contain_text("50%")
    events = await shown.evaluate(
        """row => { const seen = [];
        for (const type of ['progress', 'load']) row.addEventListener(type, () => seen.push(type));
        document.querySelector('main').append(row); return seen; }"""
    )
    await expect(shown).to_contain_text("50%")
    await expect(shown.locator("[part~=line]")).to_have_text("Tuned")
    assert events == []
    assert [frame for frame in stage.asked if frame.get("job") == job.job and frame["action"] != "watch"] == []
    assert len([frame for frame in stage.asked if frame.get("job") == job.job]) == 1


async def test_a_job_taken_out_of_the_page_is_left_alone_and_comes_back(
    page: Page, stage: Stage, site: ServerProcess
) -> None:
    job = stage.say(samples()[1])
    await show(page, site, "states")
    shown = element(page, job)
    await expect(shown).to_have_attribute("state", "running")
    await until(lambda: asked_of(stage, job, "watch") == 1, within=10)
    await shown.evaluate("row => { window.row = row; row.remove(); }")
    await until(lambda: asked_of(stage, job, "unwatch") == 1, within=10)
    stage.say(msgspec.structs.replace(job, percent=77.0))
    await page.evaluate("document.querySelector('main').append(row)")
    await expect(shown).to_contain_text("77%")
    assert asked_of(stage, job, "watch") == 2


async def test_what_one_job_was_is_not_said_of_another(page: Page, stage: Stage, site: ServerProcess) -> None:
    done, other = samples()[7], sample("Other", State.RUNNING)
    stage.say(done)
    await show(page, site, "states")
    row = page.locator("prog-rock").nth(7)
    await expect(row).to_have_attribute("state", "succeeded")
    told = """row => [...row.attributes].map(({ name }) => name).filter((name) => name !== 'snapshot')"""
    await row.evaluate("row => row.setAttribute('job', 'nobody-knows')")
    assert "state" not in await row.evaluate(told)
    await expect(row).to_contain_text("The server does not know this job.")
    await expect(row.locator("[part=base]")).to_be_hidden()
    stage.say(other)
    await row.evaluate("(row, job) => { row.setAttribute('job', 'x'); row.setAttribute('job', job); }", other.job)
    await expect(row).to_have_attribute("state", "running")
    assert "complete" not in await row.evaluate(told)
    await row.evaluate("row => row.removeAttribute('job')")
    await expect(row).not_to_have_attribute("state", "running")
    await expect(row.locator("[part=base]")).to_be_hidden()


async def test_a_line_that_comes_late_has_its_place(page: Page, stage: Stage, site: ServerProcess) -> None:
    job = stage.say(samples()[1], {"level": "info", "text": "one"})
    await show(page, site, "states")
    lines = element(page, job).locator("[part~=line]")
    await expect(lines).to_have_text(["one"])
    later: list[dict[str, Any]] = [
        {"n": n, "seq": job.seq + n, "at": 1, "level": "info", "text": text, "data": None}
        for n, text in ((3, "three"), (2, "two"))
    ]
    for n, line in enumerate(later):
        frame = json.loads(protocol.encode(msgspec.structs.replace(job, seq=job.seq + 1 + n, lines=3)))
        stage.sockets[-1].send(json.dumps({**frame, "type": "update", "journal": [line]}))
    await expect(lines).to_have_text(["one", "two", "three"])


async def test_a_text_that_stays_stays_selected(page: Page, stage: Stage, site: ServerProcess) -> None:
    job = stage.say(samples()[1])
    await show(page, site, "states")
    shown = element(page, job)
    await shown.evaluate("row => { window.text = row.shadowRoot.querySelector('[part=message]').firstChild; }")
    stage.say(msgspec.structs.replace(job, percent=50.0))
    await expect(shown).to_contain_text("50%")
    assert await shown.evaluate("row => row.shadowRoot.querySelector('[part=message]').firstChild === text")


async def test_two_copies_of_a_module_make_one_row(page: Page, stage: Stage, site: ServerProcess) -> None:
    job = stage.say(samples()[1])
    body = """<!doctype html><html lang="en"><title>T</title><link rel="icon" href="/static/rock/icon.svg">
        <script type="module" src="/static/progrock/prog-rock.js?copy"></script>
        <script type="module" src="/static/progrock/elements.js"></script><prog-rock-jobs></prog-rock-jobs>"""
    await page.route("**/page/**", lambda route: route.fulfill(content_type="text/html", body=body))
    await show(page, site, "jobs")
    rows = page.locator("prog-rock-jobs > prog-rock")
    for percent in (50.0, 60.0, 70.0):
        stage.say(msgspec.structs.replace(job, percent=percent))
        await expect(rows.first).to_contain_text(f"{percent:.0f}%")
    await expect(rows).to_have_count(1)


async def test_a_group_is_one_row_whoever_shows_its_children(page: Page, stage: Stage, site: ServerProcess) -> None:
    group = stage.say(sample("Group", State.RUNNING, service="group", message="0 of 2 done"))
    body = """<!doctype html><html lang="en"><title>T</title><link rel="icon" href="/static/rock/icon.svg">
        <script type="module" src="/static/progrock/elements.js"></script><div style="height: 200vh"></div>
        <prog-rock-jobs></prog-rock-jobs><prog-rock></prog-rock><prog-rock-toasts></prog-rock-toasts>"""
    await page.route("**/page/**", lambda route: route.fulfill(content_type="text/html", body=body))
    await show(page, site, "jobs")
    rows, shown = page.locator("prog-rock-jobs > prog-rock"), page.locator("body > prog-rock")
    await expect(rows).to_contain_text(["0 of 2 done"])
    child = stage.say(sample("Child", State.RUNNING, parent=group.job))
    await shown.evaluate("(row, job) => row.setAttribute('job', job)", child.job)
    await expect(shown).to_have_attribute("state", "running")
    stage.say(msgspec.structs.replace(child, state=State.SUCCEEDED, percent=100.0))
    await expect(shown).to_have_attribute("state", "succeeded")
    stage.say(msgspec.structs.replace(group, state=State.SUCCEEDED, percent=100.0))
    await expect(page.locator("prog-rock-toasts [part~=toast]")).to_contain_text(["Group"])
    await expect(rows).to_have_count(1)


async def test_on_a_phone_no_word_is_broken(browser: Browser, site: ServerProcess) -> None:
    context = await browser.new_context(viewport={"width": 360, "height": 740})
    stage = Stage()
    await stage.open(context)
    job = stage.say(
        msgspec.structs.replace(samples()[1], message="Recording the drums", attempt=1, left=172_000, due=None)
    )
    page = await context.new_page()
    await show(page, site, "jobs")
    row = element(page, job)
    await expect(row).to_contain_text("left")
    for part in ("status", "message"):
        lines = await row.locator(f"[part={part}]").evaluate("words => words.getClientRects().length")
        assert lines == 1, part
    words, actions = [await row.locator(f"[part={part}]").bounding_box() for part in ("words", "actions")]
    assert words
    assert actions
    assert actions["y"] >= words["y"] + words["height"]
    await page.set_viewport_size({"width": 1000, "height": 740})
    words, actions = [await row.locator(f"[part={part}]").bounding_box() for part in ("words", "actions")]
    assert words
    assert actions
    assert abs(actions["y"] + actions["height"] / 2 - words["y"] - words["height"] / 2) < 12


async def test_my_jobs_stay_where_they_are(page: Page, stage: Stage, site: ServerProcess) -> None:
    first, second = samples()[0], msgspec.structs.replace(samples()[1], created=samples()[1].created + 1)
    stage.say(first)
    await show(page, site, "jobs")
    jobs = page.locator("prog-rock-jobs")
    rows = jobs.locator("prog-rock")
    await expect(rows).to_have_count(1)
    await rows.evaluate("row => { row.mark = 'the same' }")
    await rows.get_by_role("button").focus()
    stage.say(second)
    await expect(rows).to_have_count(2)
    await expect(rows.first).to_have_attribute("job", second.job)
    await finish(stage, first, State.CANCELLED)
    await expect(rows.last).to_have_attribute("state", "cancelled")
    await expect(jobs).to_have_attribute("running", "1")
    await expect(jobs).to_have_attribute("complete", "1")
    again = sample("Again", State.RUNNING, retry_of=first.job, attempt=2)
    stage.say(again)
    await expect(rows.last).to_have_attribute("job", again.job)
    await expect(rows.last).to_have_attribute("state", "running")
    assert await rows.last.evaluate("row => row.mark") == "the same"
    await expect(rows).to_have_count(2)


async def test_a_list_has_so_many_rows_and_all_that_run(page: Page, stage: Stage, site: ServerProcess) -> None:
    for n in range(5):
        state = State.RUNNING if n == 0 else State.CANCELLED
        stage.say(sample(f"Job {n}", state, created=1000 + n))
    await show(page, site, "jobs")
    titles = page.locator("prog-rock-jobs [part=title]")
    await expect(titles).to_have_text([f"Job {n} — 7/8, 142 bpm" for n in (4, 3, 2, 0)])
    stage.say(sample("Job 5", State.RUNNING, created=1005))
    await expect(titles).to_have_text([f"Job {n} — 7/8, 142 bpm" for n in (5, 4, 3, 0)])


async def test_what_ends_while_nobody_looks_is_told_once(
    context: BrowserContext, page: Page, stage: Stage, site: ServerProcess
) -> None:
    done, failed = stage.say(samples()[1]), stage.say(samples()[2])
    await show(page, site, "toasts")
    toasts = page.locator("prog-rock-toasts [part~=toast]")
    await expect(page).to_have_title(BUSY)
    await expect(toasts).to_have_count(0)
    await finish(stage, done, file="audio/wav")
    await expect(toasts).to_contain_text("142 bpmDoneOpen the file")
    await finish(stage, failed, State.FAILED, error=Failure("deadline", "<b>Ten</b> minutes."))
    alert = page.locator("prog-rock-toasts").get_by_role("alert")
    await expect(alert).to_contain_text("Failed. It took too long.<b>Ten</b> minutes.")
    await expect(page).to_have_title("A page")
    assert await page.evaluate("document.activeElement === document.body")
    other = await context.new_page()
    await show(other, site, "toasts")
    await expect(other).to_have_title("A page")
    await expect(other.locator("prog-rock-toasts [part~=toast]")).to_have_count(0)
    await alert.get_by_role("button", name="Dismiss: Unknown").click()
    await expect(alert.locator("[part~=toast]")).to_have_count(0)


async def test_what_ended_between_two_pages_is_told_by_the_next(page: Page, stage: Stage, site: ServerProcess) -> None:
    running, ending = stage.say(samples()[1]), stage.say(samples()[2])
    await show(page, site, "toasts")
    await expect(page).to_have_title(BUSY)
    await page.goto("about:blank")
    await finish(stage, ending)
    await show(page, site, "toasts")
    toasts = page.locator("prog-rock-toasts [part~=toast]")
    await expect(toasts.filter(has_text="Unknown")).to_contain_text("Done")
    await expect(toasts.filter(has_text="Running")).to_contain_text("Still going")
    await finish(stage, running)
    await expect(toasts.filter(has_text="Running")).to_contain_text("Done")
    await expect(toasts).to_have_count(2)


async def test_what_the_person_saw_is_not_told(
    context: BrowserContext, page: Page, stage: Stage, site: ServerProcess
) -> None:
    job = stage.say(samples()[1])
    await show(page, site, "all")
    await expect(page.locator("main > prog-rock")).to_have_attribute("state", "running")
    await expect(page).to_have_title("42% · A page")
    await finish(stage, job)
    await expect(page.locator("main > prog-rock")).to_have_attribute("state", "succeeded")
    await expect(page).to_have_title("A page")
    other = await context.new_page()
    await show(other, site, "toasts")
    await expect(other.locator("prog-rock-toasts[src]")).to_be_attached()
    for each in (page, other):
        await expect(each.locator("prog-rock-toasts [part~=toast]")).to_have_count(0)


async def test_nothing_is_kept_of_jobs_that_are_not_listed(page: Page, stage: Stage, site: ServerProcess) -> None:
    job = stage.say(samples()[1])
    await page.add_init_script("localStorage['progrock.untold.of-somebody-else'] = localStorage['theirs'] = ''")
    await show(page, site, "toasts")

    async def kept() -> bool:
        names = await page.evaluate("Object.keys(localStorage).sort()")
        return bool(names == [f"progrock.untold.{job.job}", "theirs"])

    await until(kept, within=10)


async def test_a_browser_that_keeps_nothing_still_tells(page: Page, stage: Stage, site: ServerProcess) -> None:
    await page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('No.', 'SecurityError') } })"
    )
    job = stage.say(samples()[1])
    await show(page, site, "toasts")
    await expect(page).to_have_title(BUSY)
    await finish(stage, job)
    await expect(page.locator("prog-rock-toasts [part~=toast]")).to_contain_text("Done")


async def test_a_retry_takes_the_row_of_what_it_tries_again(page: Page, stage: Stage, site: ServerProcess) -> None:
    failed = stage.say(sample("Failed", State.FAILED, error=Failure("remote", "No.")))
    await show(page, site, "all")
    row = page.locator("prog-rock-jobs > prog-rock")
    await expect(row).to_have_attribute("state", "failed")
    tracked = stage.say(sample("Import", State.FAILED, error=Failure("remote", "No."), can_retry=False))
    await expect(element(page, tracked).get_by_role("button")).to_have_count(0)
    await expect(element(page, tracked)).to_have_attribute("state", "failed")
    row = element(page, failed)
    stage.retried = sample("Failed again", State.RUNNING, retry_of=failed.job, attempt=2)
    await row.get_by_role("button", name="Retry").click()
    row = element(page, stage.retried)
    await expect(row).to_contain_text("attempt 2")
    await expect(page.locator("prog-rock-jobs > prog-rock")).to_have_count(2)
    await expect(row).to_have_attribute("state", "running")


async def test_a_toast_waits_for_whom_is_at_it(page: Page, stage: Stage, site: ServerProcess) -> None:
    jobs = [stage.say(sample(f"Job {n}", State.RUNNING)) for n in range(5)]
    await page.clock.install()
    await show(page, site, "toasts")
    await expect(page).to_have_title(BUSY)
    for job in jobs:
        await finish(stage, job)
    toasts = page.locator("prog-rock-toasts [part~=toast]")
    await expect(toasts).to_have_count(3)
    await expect(toasts.last).to_contain_text("Job 4")
    await toasts.last.get_by_role("button").focus()
    await page.clock.run_for(20_000)
    await expect(toasts).to_have_count(3)
    await page.keyboard.press("Enter")
    await expect(toasts.last.get_by_role("button")).to_be_focused()
    await toasts.last.get_by_role("button").blur()
    await page.clock.run_for(20_000)
    await expect(toasts).to_have_count(0)


async def test_a_notification_is_shown_where_it_is_allowed(page: Page, stage: Stage, site: ServerProcess) -> None:
    await page.add_init_script(
        """window.shown = []; let hidden = false;
        window.Notification = class { static permission = 'granted'; constructor(...args) { shown.push(args) } };
        Object.defineProperty(document, 'hidden', { get: () => hidden });
        window.hide = (value) => { hidden = value; document.dispatchEvent(new Event('visibilitychange')) };"""
    )
    job, other = stage.say(samples()[1]), stage.say(samples()[2])
    await show(page, site, "notified")
    await expect(page).to_have_title(BUSY)
    await page.evaluate("hide(true)")
    await finish(stage, job)

    async def notified() -> bool:
        return bool(await page.evaluate("shown.length === 1"))

    await until(notified, within=10)
    assert (await page.evaluate("shown[0]"))[1] == {"body": "Done", "tag": job.job}
    await page.evaluate("Notification.permission = 'default'")
    await finish(stage, other)
    await expect(page).to_have_title("A page")
    toasts = page.locator("prog-rock-toasts [part~=toast]")
    await expect(toasts).to_have_count(0)
    await page.evaluate("hide(false)")
    await expect(toasts).to_have_count(1)
    await expect(toasts).to_contain_text("Unknown")
    assert await page.evaluate("shown.length") == 1


async def test_whoever_comes_back_is_told_what_still_goes_on(page: Page, stage: Stage, site: ServerProcess) -> None:
    await page.add_init_script(
        """let hidden = false; Object.defineProperty(document, 'hidden', { get: () => hidden });
        window.hide = (value) => { hidden = value; document.dispatchEvent(new Event('visibilitychange')) };"""
    )
    going, ending = stage.say(samples()[1]), stage.say(samples()[2])
    await page.clock.install()
    await show(page, site, "toasts")
    await expect(page).to_have_title(BUSY)
    toasts = page.locator("prog-rock-toasts [part~=toast]")
    for away, told in ((30_000, 0), (90_000, 2)):
        await page.evaluate("hide(true)")
        await page.clock.fast_forward(away)
        if told:
            await finish(stage, ending)
        await page.evaluate("hide(false)")
        await expect(toasts).to_have_count(told)
    await expect(toasts.filter(has_text=going.title)).to_contain_text("Still going, 42%")
    await expect(toasts.filter(has_text=ending.title)).to_contain_text("Done")


async def test_a_page_without_locks_or_room_still_tells(page: Page, stage: Stage, site: ServerProcess) -> None:
    await page.add_init_script(
        """navigator.locks.request = async () => { throw new DOMException('denied', 'SecurityError') };
        for (let size = 2 ** 23; size >= 1; size = Math.floor(size / 2)) {
            try { localStorage['full' + size] = 'x'.repeat(size) } catch { continue }
        }"""
    )
    job = stage.say(samples()[1])
    await show(page, site, "toasts")
    await expect(page).to_have_title(BUSY)
    await finish(stage, job)
    await expect(page.locator("prog-rock-toasts [part~=toast]")).to_contain_text("Done")


async def test_who_allows_notifications_is_told_in_the_background_from_then_on(
    page: Page, stage: Stage, site: ServerProcess
) -> None:
    await page.add_init_script(
        "window.Notification = class { static requestPermission = async () => (this.permission = 'granted') }"
    )
    await show(page, site, "notified")
    allow = "document.querySelector('prog-rock-toasts').allow()"
    background = """import('/static/progrock/client.js').then(({ ProgRock }) => ProgRock.shared('/prog/').background)"""
    assert await page.evaluate(background) is False
    assert await page.evaluate(allow) == "granted"
    assert await page.evaluate(background) is True
    await page.evaluate("delete window.Notification")
    assert await page.evaluate(allow) == "denied"


async def test_a_list_that_was_refused_is_asked_for_again(page: Page, stage: Stage, site: ServerProcess) -> None:
    stage.refused = "Later."
    await page.clock.install()
    await show(page, site, "jobs")
    jobs = page.locator("prog-rock-jobs")
    await expect(jobs).to_contain_text("That did not work. Later.")
    stage.refused = ""
    await page.clock.run_for(20_000)
    await expect(jobs).not_to_contain_text("That did not work")
    assert len([frame for frame in stage.asked if frame["action"] == "list"]) == 2


@pytest.mark.parametrize(("lang", "words"), [("de", "Läuft"), ("es", "En marcha"), ("ar", "قيد التنفيذ")])
async def test_the_words_are_those_of_the_page(
    page: Page, stage: Stage, site: ServerProcess, lang: str, words: str
) -> None:
    stage.say(samples()[1])
    await show(page, site, "all", lang=lang)
    shown = page.locator("main > prog-rock")
    await expect(shown.locator("[part=status]")).to_have_text(words)
    box, fill = await shown.locator("[part=bar]").bounding_box(), await shown.locator("[part=fill]").bounding_box()
    assert box
    assert fill
    from_right = abs(box["x"] + box["width"] - fill["x"] - fill["width"]) < 2
    assert from_right is (lang == "ar")


async def test_a_page_in_a_language_that_is_none_still_works(page: Page, stage: Stage, site: ServerProcess) -> None:
    job = stage.say(samples()[1])
    odd = f"""<!doctype html><html lang="not_a language"><title>T</title>
        <link rel="icon" href="/static/rock/icon.svg">
        <script type="module" src="/static/progrock/prog-rock.js"></script>
        <prog-rock job="{job.job}" snapshot="{{broken"></prog-rock>"""
    await page.route("**/page/**", lambda route: route.fulfill(content_type="text/html", body=odd))
    await show(page, site, "all")
    await expect(page.locator("prog-rock")).to_contain_text("42%")


def blocks(language: str, label: str) -> str:
    """Return the blocks of the how-to that have that label."""
    text = (ROOT / "docs/howto/style-it.md").read_text()
    return "".join(re.findall(rf"^```{language} {label}\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


async def test_what_the_how_to_says_works(page: Page, stage: Stage, site: ServerProcess) -> None:
    job, failing = stage.say(samples()[1]), stage.say(samples()[2], {"level": "error", "text": "broken"})
    html = blocks("html", "slots").replace('job=""', f'job="{job.job}"')
    body = f"""<!doctype html><html lang="en"><title>T</title><link rel="icon" href="/static/rock/icon.svg">
        <link rel="stylesheet" href="/mine.css"><script type="module" src="/static/progrock/elements.js"></script>
        <script type="module" src="/mine.js"></script>{html}<meter></meter><output></output>
        <button id="tell-me">Tell me</button>
        <prog-rock job="{failing.job}" journal></prog-rock><prog-rock-jobs></prog-rock-jobs>
        <prog-rock-toasts></prog-rock-toasts>"""
    script = blocks("js", "events") + blocks("js", "allow")
    await page.route("**/page/**", lambda route: route.fulfill(content_type="text/html", body=body))
    await page.route("**/mine.css", lambda route: route.fulfill(content_type="text/css", body=blocks("css", "style")))
    await page.route("**/mine.js", lambda route: route.fulfill(content_type="text/javascript", body=script))
    await show(page, site, "all")
    shown = element(page, job).first
    await expect(shown.get_by_text("Our own title")).to_be_visible()
    await expect(shown.get_by_text("Shown last.")).to_be_visible()
    await expect(shown.locator("[part=title]")).to_be_hidden()
    await expect(shown.locator("[part=fill]")).to_have_css("background-color", "rgb(102, 51, 153)")
    await expect(shown.locator("[part=fill]")).to_have_css("border-radius", "0px")
    await expect(shown.locator("[part=percent]")).to_have_css("font-weight", "436")
    stage.say(msgspec.structs.replace(job, percent=50.0))
    await page.evaluate("Notification.requestPermission = () => { document.title = 'Asked' }")
    await expect(page.locator("meter")).to_have_js_property("value", 0.5)
    await page.locator("#tell-me").click()
    await expect(page).to_have_title(re.compile("Asked"))
    await finish(stage, job)
    await expect(page.locator("output")).to_have_text("Ready")
    await expect(shown.locator("[part=bar]")).to_be_hidden()
    await finish(stage, failing, State.FAILED, error=Failure("remote", "No."))
    failed = element(page, failing).first
    await expect(failed).to_have_css("border-left", "4px solid rgb(220, 20, 60)")
    await expect(failed.locator("[part~=line]")).to_have_css("text-transform", "uppercase")
    await expect(page.locator('prog-rock-jobs[running="0"]')).to_have_css("border-top-width", "1px")


LOOKS = [("en", "light", ""), ("ar", "dark", ""), ("de", "light", "rock/rock.css")]


@pytest.mark.parametrize(("lang", "scheme", "css"), LOOKS)
@pytest.mark.parametrize("of", ["states", "all", "toasts"])
async def test_axe_finds_nothing(
    browser: Browser, site: ServerProcess, lang: str, scheme: Any, css: str, of: str
) -> None:
    context = await browser.new_context(
        color_scheme=scheme, viewport={"width": 360, "height": 740}, reduced_motion="reduce", bypass_csp=True
    )
    stage = Stage()
    await stage.open(context)
    for each in samples():
        stage.say(each, {"level": "info", "text": "Tuned"}, {"level": "error", "text": "A string broke"})
    page = await context.new_page()
    await show(page, site, of, lang=lang, css=css)
    if of == "toasts":
        await expect(page).to_have_title(re.compile(" · A page$"))
        for n, each in enumerate(samples()[:3]):
            error = Failure("remote", "No.") if n == 0 else None
            await finish(stage, each, State.FAILED if error else State.SUCCEEDED, error=error)
        await expect(page.locator("[part~=toast]")).to_have_count(3)
    else:
        await expect(page.locator("prog-rock").first).to_have_attribute(
            "state", "pending" if of == "states" else "running"
        )
    # Who looks for contrast takes a page for white that does not say what it is.
    if not css:
        await page.add_style_tag(content="body { background: Canvas }")
    assert await violations(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_on_the_demo_page(browser: Browser, server: ServerProcess, scheme: Any) -> None:
    context = await browser.new_context(color_scheme=scheme, reduced_motion="reduce", bypass_csp=True)
    stage = Stage()
    await stage.open(context)
    for each in samples():
        stage.say(each)
    page = await context.new_page()
    await page.goto(server.url)
    await expect(page.locator("#tracks > li")).to_have_count(10, timeout=LONG)
    assert await violations(page) == []


@pytest.mark.parametrize("lang", ["en", "ar"])
async def test_axe_finds_nothing_on_the_page_without_javascript(
    browser: Browser, site: ServerProcess, lang: str
) -> None:
    context = await browser.new_context(bypass_csp=True, viewport={"width": 360, "height": 740})
    page = await context.new_page()
    await page.goto(f"{site.url}/page/?of=form")
    await page.get_by_role("button", name="Start").click()
    await expect(page.get_by_role("progressbar")).to_be_visible()
    assert await violations(page) == []
    await page.goto(f"{site.url}/prog/jobs/")
    await expect(page.get_by_role("progressbar")).to_be_visible()
    assert await violations(page) == []


async def test_in_forced_colours_the_bar_is_seen(browser: Browser, site: ServerProcess) -> None:
    context = await browser.new_context(forced_colors="active")
    stage = Stage()
    await stage.open(context)
    job = stage.say(samples()[1])
    page = await context.new_page()
    await show(page, site, "all")
    bar = element(page, job).first.locator("[part=bar]")
    fill = await bar.locator("[part=fill]").evaluate("fill => getComputedStyle(fill).backgroundColor")
    assert fill != await bar.evaluate("bar => getComputedStyle(bar).backgroundColor")
    await expect(bar).to_have_css("border-top-width", "1px")


async def test_who_wants_no_motion_gets_none(browser: Browser, site: ServerProcess) -> None:
    for motion, animation in (("no-preference", "wander"), ("reduce", "none")):
        context = await browser.new_context(reduced_motion=motion)  # type: ignore[arg-type]
        stage = Stage()
        await stage.open(context)
        job = stage.say(samples()[2])
        page = await context.new_page()
        await show(page, site, "jobs")
        bar = element(page, job).get_by_role("progressbar")
        assert await bar.get_attribute("aria-valuenow") is None
        await expect(bar.locator("[part=fill]")).to_have_css("animation-name", animation)
        await context.close()


async def violations(page: Page) -> list[str]:
    """Return what axe finds, one line each."""
    await page.evaluate(AXE.read_text() + "; undefined")
    found = await page.evaluate("axe.run().then(({ violations }) => violations)")
    return [f"{each['id']}: {node['html'][:200]} {node['failureSummary']}" for each in found for node in each["nodes"]]
