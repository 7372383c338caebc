"""The chat's page with 10 000 messages and with a large server."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD

from .chat_browser import person

pytestmark = pytest.mark.timeout(240)

MESSAGES = 10_000
# Answers for the history in place of the server's: the page's own work is what counts here. Its ids are lower than any
# that the server gives, so that a message that comes is the newest.
HISTORY = """
(() => {
  const words = 'one socket however many ask for it and every panel joins what is there'.split(' ')
  const author = (number) => ({ id: String(100 + number), username: ['ada', 'bob', 'carol', 'dave'][number] })
  const all = Array.from({ length: COUNT }, (_, at) => ({
    id: String(1_000_000_000_000_000_000n + BigInt(at)), channel_id: '', author: author((at >> 2) % 4),
    content: `**${at}** ` + Array.from({ length: 3 + (at * 7) % 40 }, (_, word) => words[(at + word) % 14])
      .join(' ')
      + (at % 9 === 0 ? '\\n```js\\nconst answer = 42\\n```' : '') + (at % 5 === 0 ? ' :tada:' : ''),
    timestamp: new Date(1_700_000_000_000 + at * 60_000).toISOString(), edited_timestamp: null, mentions: [],
    attachments: [], embeds: [], reactions: at % 7 ? [] : [{ emoji: { name: '👍' }, count: 2, me: false }],
  }))
  const real = window.fetch
  window.fetch = async (url, options) => {
    const found = /channels\\/(\\d+)\\/messages\\?limit=(\\d+)(?:&before=(\\d+))?/.exec(url)
    if (!found) return real(url, options)
    const end = found[3] ? all.findIndex((one) => one.id === found[3]) : all.length
    const page = all.slice(Math.max(0, end - Number(found[2])), end).reverse()
    return new Response(JSON.stringify(page.map((one) => ({ ...one, channel_id: found[1] }))), { status: 200 })
  }
})()
"""

LOAD_ALL = """async (count) => {
    const list = document.querySelector('.messages')
    for (;;) {
        list.scrollTop = 0
        await new Promise((done) => requestAnimationFrame(done))
        if (document.querySelector('article.start')) break
    }
    return Number(document.querySelector('article').getAttribute('aria-setsize'))
}"""

SCROLL = """async (pixels) => {
    const list = document.querySelector('.messages')
    const times = []
    let before = performance.now()
    for (let frame = 0; frame < 240; frame += 1) {
        list.scrollTop += pixels
        await new Promise((done) => requestAnimationFrame(done))
        const now = performance.now()
        times.push(now - before)
        before = now
    }
    times.sort((a, b) => a - b)
    const total = times.reduce((sum, time) => sum + time, 0)
    return { rate: 1000 * times.length / total, worst: times.at(-1), p95: times[Math.floor(times.length * 0.95)],
        drawn: document.querySelectorAll('article').length }
}"""


async def test_of_10_000_messages_few_are_drawn(
    server: ChatServer, chromium: Browser, record_property: Callable[[str, object], None]
) -> None:
    async with person(chromium, server.page_url) as ada:
        await ada.page.add_init_script(HISTORY.replace("COUNT", str(MESSAGES)))
        await ada.sign_in("ada", new=True)
        await expect(ada.page.locator("article.message").last).to_contain_text(str(MESSAGES - 1))
        assert await ada.page.evaluate(LOAD_ALL, MESSAGES) == MESSAGES + 1
        measured: dict[str, Any] = {}
        for name, pixels in (("slow", 40), ("a page", 700), ("far", 20_000)):
            measured[name] = await ada.page.evaluate(SCROLL, pixels)
            await ada.page.locator(".messages").evaluate("(one) => { one.scrollTop = 0 }")
        record_property("frames", measured)  # a figure of this machine, at this moment: no reason to fail
        for figures in measured.values():
            assert figures["drawn"] < 120  # of 10 000
            assert figures["drawn"] > 5
        # A message that comes is shown at the end at once.
        await ada.page.get_by_role("button", name="To the newest messages").click()
        await ada.write("number ten thousand")
        await ada.sent("number ten thousand")


async def test_people_of_a_large_server(server: ChatServer, chromium: Browser) -> None:
    for number in range(300):
        await server.create_bot(f"member {number:03}")
    token = await server.create_user("zoe", PASSWORD)
    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None):
        await ada.sign_in("ada", new=True)
        panel = ada.page.get_by_role("complementary", name="People")
        await expect(panel.get_by_role("heading", name="People — 302")).to_be_visible()
        await expect(panel.get_by_role("heading", name="Offline — 301")).to_be_visible()
        assert await panel.locator(".member").count() < 80
        await panel.locator(".panel-scroll").evaluate("(one) => { one.scrollTop = one.scrollHeight }")
        await expect(panel.locator(".member", has_text="zoe")).to_be_visible()
        # Everyone can be mentioned, not only those who are drawn.
        await ada.field.press_sequentially("@zo")
        await expect(ada.page.get_by_role("option", name="zoe")).to_be_visible()
        # A new session begins with some of them alone.
        await server.faults.invalid_session(user="ada", resumable=False)
        await server.wait_for(lambda stats: stats.identifies == 2)
        await ada.connected()
        await ada.field.fill("")
        await expect(panel.get_by_role("heading", name="Offline — 301")).to_be_visible()
