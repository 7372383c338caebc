"""The chat's page against hostile authors and hostile pages."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Browser, expect

from onesocket_discord.rest import Rest
from onesocket_discord.server import ChatServer
from tools.screenshots import PASSWORD, browser

from .chat_browser import PagePerson, person

pytestmark = pytest.mark.timeout(120)

SCRIPTS = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "[x](javascript:window.hacked=1) <javascript:window.hacked=1>",
    '```"><svg onload=window.hacked=1>\n</code></pre><script>window.hacked = 1</script>\n```',
    "`<iframe srcdoc='<script>parent.hacked=1</script>'>`",
    "**<b onmouseover=window.hacked=1>hover** ||<style>*{display:none}</style>||",
    'https://example.org/"onclick="window.hacked=1 https://example.org/\'><script>window.hacked=1</script>',
    "<@1><@99999999999999999999> <@&1> @everyone :<script>:",
]


@asynccontextmanager
async def ada_reads(server: ChatServer, chromium: Browser, *texts: str) -> AsyncIterator[PagePerson]:
    """Ada's page, in a channel where Mallory wrote these."""
    token = await server.create_user("mallory", PASSWORD)
    await server.create_user("ada", PASSWORD)
    async with (
        Rest(token, api_url=server.api_url, token_type=None) as mallory,
        person(chromium, server.page_url) as ada,
    ):
        general = (await mallory.guild_channels((await mallory.guilds())[0]["id"]))[0]["id"]
        await ada.sign_in("ada")
        for text in texts:
            await mallory.send_message(general, text)
        await mallory.send_message(general, "the last one")
        await expect(ada.message("the last one")).to_be_visible()
        yield ada


async def test_no_text_becomes_html_or_a_script(server: ChatServer, chromium: Browser) -> None:
    async with ada_reads(server, chromium, *SCRIPTS) as ada:
        for spoiler in await ada.page.locator("button.spoiler").all():
            await spoiler.click()
        await ada.message("hover").hover()
        assert await ada.page.evaluate("window.hacked") is None
        assert await ada.page.locator("#app :is(script, iframe, style, svg[onload])").count() == 0
        addresses = await ada.page.locator(".content a").evaluate_all(
            "(all) => all.map((one) => new URL(one.href).protocol)"
        )
        assert set(addresses) == {"https:"}
        assert "<script>window.hacked = 1</script>" in await ada.texts()
        # The same in the search, in a reply and in the title of a conversation.
        await ada.page.keyboard.press("Control+f")
        await ada.page.keyboard.type("hacked")
        await ada.page.keyboard.press("Enter")
        await expect(ada.page.locator(".result").first).to_be_visible()
        await ada.message("onerror").hover()
        await ada.page.get_by_role("button", name="Reply").click()
        await expect(ada.page.locator(".composing")).to_contain_text("onerror")
        assert await ada.page.evaluate("window.hacked") is None


async def test_even_a_script_in_the_page_may_not_run_or_send_anything_away(
    server: ChatServer, chromium: Browser
) -> None:
    """The policy is the second wall: what would happen if text had become HTML."""
    await server.create_user("ada", PASSWORD)
    async with person(chromium, server.page_url) as ada:
        await ada.sign_in("ada")
        outcome = await ada.page.evaluate(
            """async () => {
                const outcome = {}
                const attempt = (action) => { try { action(); return 'allowed' } catch { return 'refused' } }
                outcome.html = attempt(() => { document.body.innerHTML = '<p>x</p>' })
                outcome.script = attempt(() => { document.createElement('script').text = 'window.hacked = 1' })
                outcome.fetch = await fetch('http://127.0.0.2:9/').then(() => 'allowed', () => 'refused')
                const image = new Image()
                outcome.image = await new Promise((done) => {
                    document.addEventListener('securitypolicyviolation', () => done('refused'), { once: true })
                    image.onload = () => done('allowed')
                    image.src = 'https://example.org/steal.png'
                })
                return outcome
            }"""
        )
        assert outcome == {"html": "refused", "script": "refused", "fetch": "refused", "image": "refused"}
        ada.problems.clear()  # the browser told of each


async def test_bidirectional_controls_reorder_nothing_outside_of_their_message(
    server: ChatServer, chromium: Browser
) -> None:
    family, flag = "👩‍👩‍👧‍👦", "🏳️‍🌈"
    hostile = "\u202e\u2066\u202egnissecorp\u202e"
    texts = [hostile, f"{family} and {flag}", "\u202ehttps://example.org/txt.exe", "שלום עולם", "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L̠ͨͧͩ͘G̴̻͈͍͔̹̑͗̎̅͛́Ǫ̵̹̻̝̳͂̌̌͘" * 20]
    async with ada_reads(server, chromium, *texts) as ada:
        assert f"{family} and {flag}" in await ada.texts()
        assert await ada.page.locator(".content .emoji", has_text=family).evaluate("(one) => one.textContent") == family
        # The author and the time stand left of each other, whatever the text says.
        boxes = await ada.page.locator("article.message.is-start").first.evaluate(
            "(one) => ['.author', 'time'].map((name) => one.querySelector(name).getBoundingClientRect().x)"
        )
        assert boxes[0] < boxes[1]
        assert await ada.page.locator(".content a bdi").evaluate("(one) => getComputedStyle(one).direction") == "ltr"
        assert await ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        # What Ada copies into her reply's preview has no controls.
        await ada.message("gnissecorp").hover()
        await ada.page.get_by_role("button", name="Reply").click()
        shown = await ada.page.locator(".composing").inner_text()
        assert not set(shown) & set("\u202e\u2066")


async def test_100_kilobytes_are_refused_by_the_server_and_shown_by_no_page(
    server: ChatServer, chromium: Browser
) -> None:
    token = await server.create_user("mallory", PASSWORD)
    widest = [
        "x" * 2_000,
        "**" * 1_000,
        "`" * 2_000,
        "||a" * 600,
        "\n" * 1_999 + "x",
        "https://a.example/" + "b" * 1_900,
    ]
    async with ada_reads_more(server, chromium, widest) as ada, aiohttp.ClientSession() as http:
        guild = await ada.page.evaluate("location.pathname.split('/')[3]")
        url = f"{server.api_url}/channels/{guild}/messages"
        async with http.post(url, json={"content": "x" * 100_000}, headers={"Authorization": token}) as answer:
            assert answer.status == 400
            assert "BASE_TYPE_MAX_LENGTH" in json.dumps(await answer.json())
        assert await ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await ada.write("still here")
        await ada.sent("still here")


@asynccontextmanager
async def ada_reads_more(server: ChatServer, chromium: Browser, texts: list[str]) -> AsyncIterator[PagePerson]:
    token = await server.create_user("trent", PASSWORD)
    async with person(chromium, server.page_url) as ada, Rest(token, api_url=server.api_url, token_type=None) as trent:
        await ada.sign_in("ada", new=True)
        general = (await trent.guild_channels((await trent.guilds())[0]["id"]))[0]["id"]
        for text in texts:
            await trent.send_message(general, text)
        await trent.send_message(general, "the last one")
        await expect(ada.message("the last one")).to_be_visible()
        yield ada


@asynccontextmanager
async def evil_site() -> AsyncIterator[str]:
    """Another site, under a name that the browser takes to this machine; returns its address."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>prizes</title>", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://evil.example:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


ATTACK = """async (server) => {
    const outcome = {}
    const post = (path, type) => fetch(server + path, {
        method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'Content-Type': type },
        body: JSON.stringify({ username: 'evil one', password: 'correct horse' }),
    }).then((answer) => answer.type, () => 'failed')
    outcome.post = await post('api/v10/auth/register', 'text/plain')
    outcome.read = await fetch(server + 'api/v10/gateway').then((answer) => answer.text(), () => 'failed')
    outcome.socket = await new Promise((done) => {
        const socket = new WebSocket(server.replace('http', 'ws') + '?v=10&encoding=json')
        socket.onmessage = () => done('greeted')
        socket.onerror = () => done('refused')
    })
    const frame = document.createElement('iframe')
    frame.src = server
    document.body.append(frame)
    await new Promise((done) => { frame.onload = done; setTimeout(done, 5000) })
    try { outcome.frame = frame.contentDocument === null ? 'closed' : 'open' } catch { outcome.frame = 'closed' }
    return outcome
}"""


async def test_a_page_of_another_site_can_do_nothing(server: ChatServer) -> None:
    async with evil_site() as evil, browser("--host-resolver-rules=MAP *.example 127.0.0.1") as chromium:
        page = await chromium.new_page()
        await page.goto(evil)
        outcome = await page.evaluate(ATTACK, server.page_url)
        assert outcome["socket"] == "refused"
        assert outcome["read"] == "failed"
        assert outcome["frame"] == "closed"
        assert server.stats.open == 0
        # The request may have been sent, but it had no effect.
        async with asyncio.timeout(10), aiohttp.ClientSession() as http:
            login = {"login": "evil one", "password": "correct horse"}
            async with http.post(f"{server.api_url}/auth/login", json=login) as answer:
                assert answer.status == 400

        # DNS rebinding: the other site's name leads to the server itself.
        port = server.page_url.rstrip("/").rpartition(":")[2]
        await page.goto(f"http://evil.example:{port}/")
        rebound = await page.evaluate(
            """() => fetch('/api/v10/auth/register', {
                method: 'POST', headers: { 'Content-Type': 'application/json' },
                body: JSON.stringify({ username: 'evil one', password: 'correct horse' }),
            }).then((answer) => answer.status)"""
        )
        assert rebound == 403
