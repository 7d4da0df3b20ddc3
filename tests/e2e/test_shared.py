"""A share link in real browsers: live where there is JavaScript, by any way, and readable where there is none."""

from __future__ import annotations

from playwright.async_api import Browser, Page, expect

from tests.e2e.conftest import LONG
from tests.e2e.server import ServerProcess

POST = """async ([path, body]) => {
    const token = /csrftoken=([^;]*)/.exec(document.cookie)[1];
    const headers = { Accept: 'application/json', 'Content-Type': 'application/json', 'X-CSRFToken': token };
    return (await fetch(path, { method: 'POST', headers, body: JSON.stringify(body) })).json();
}"""
NO_SOCKETS = """globalThis.WebSocket = class {
    constructor() { setTimeout(() => this.onclose({ code: 1006 })); }
    close() {}
};"""


async def a_link(browser: Browser, server: ServerProcess) -> str:
    """Return a link to a track that its owner has started."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(f"{server.url}/prog/jobs/")
    await page.evaluate("fetch('/prog/jobs/', { headers: { Accept: 'application/json' } })")
    job = (await page.evaluate(POST, ["/prog/jobs/", {"params": {"length": 60}}]))["job"]
    told = await page.evaluate(POST, [f"/prog/jobs/{job}/share", {"seconds": 300}])
    await context.close()
    return str(told["url"])


async def a_stranger(browser: Browser, *, javascript: bool = True) -> tuple[Page, list[str]]:
    """Return the page of somebody without a cookie, and what its browser complains of."""
    page = await (await browser.new_context(java_script_enabled=javascript)).new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if "Content Security" in message.text else None)
    return page, said


async def test_a_stranger_sees_it_move_and_can_do_nothing(browser: Browser, server: ServerProcess) -> None:
    link = await a_link(browser, server)
    for sockets in (True, False):
        page, complaints = await a_stranger(browser)
        if not sockets:
            await page.add_init_script(NO_SOCKETS)
        await page.goto(link)
        element = page.locator("prog-rock")
        await expect(element).to_have_attribute("state", "running", timeout=LONG)
        first = await element.get_attribute("progress") or ""
        await expect(element).not_to_have_attribute("progress", first, timeout=LONG)
        await expect(page.locator("article.job")).to_be_hidden()
        for name in ("Cancel", "Retry"):
            await expect(page.get_by_role("button", name=name)).to_have_count(0)
        assert complaints == []
        await page.context.close()
    page, _ = await a_stranger(browser, javascript=False)
    await page.goto(link)
    await expect(page.locator("article.job")).to_have_attribute("data-state", "running")
    await expect(page.locator("form, button")).to_have_count(0)
    assert await page.context.cookies() == []
    await page.context.close()
