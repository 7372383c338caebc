"""The durable outbox of the JavaScript client in a headless Chromium: pages that are killed, and storage that fails."""

import asyncio
import json
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from onesocket.testing import FaultyConnection, FaultyServer
from tests.e2e.test_js_tabs import origin
from tools.screenshots import find_chromium

KILLS = 20
MODULE = """
import {{ Acknowledgement, Client, DurableOutbox, Json, ReconnectPolicy }} from '/src/index.js';
const tell = (kind, id) => fetch(`/tell?kind=${{kind}}&id=${{id}}`, {{ method: 'POST', keepalive: true }});
export default () => new Client('{url}', {{
  logger: null,
  outbox: new DurableOutbox('orders'),
  protocol: new Json({{
    acknowledges: new Acknowledgement({{ idOf: ({{ id }}) => id, acknowledgedBy: ({{ ack }}) => ack }}),
  }}),
  reconnect: new ReconnectPolicy({{ initial: 0.05, cap: 0.2 }}),
  onError: (error) => tell(error.name, /id "(.*?)"/.exec(error.message)?.[1] ?? ''),
}});
"""
OPEN = """async (mode) => {
    const options = {leader: {worker: null}, worker: {}}[mode];
    const { join } = await import('/src/index.js');
    window.client = options ? join('/outbox.js', options) : (await import('/outbox.js')).default();
}"""
TRAFFIC = """([life, connects]) => {
    const tell = (kind, id) => fetch(`/tell?kind=${kind}&id=${id}`, { method: 'POST', keepalive: true });
    if (connects) client.connect({retry: true}).catch(() => {});
    (async () => {
        for (let n = 0; ; n += 1) {
            const id = `${life}.${n}.${n % 2 ? 'again' : 'once'}`;
            client.send({id}, {resend: n % 2 === 1}).then(() => tell('accepted', id), (error) => tell('refused', id));
            await new Promise((resolve) => setTimeout(resolve, 2));
        }
    })();
}"""
NAME = "(call) => eval(call).then(() => 'done', (error) => [error.name, error.message])"
PUT = "(ids) => Promise.all(ids.map((id) => client.send({id})))"


class Books:
    """The messages that the server has, in the order of arrival, and the reports of the pages."""

    def __init__(self) -> None:
        self.arrivals: list[str] = []
        self.told: dict[str, list[str]] = {}
        self.silent_after: int | None = None
        """Acknowledge nothing more after so many messages; None: acknowledge all."""
        self._changed = asyncio.Event()

    def answer(self, _: FaultyConnection, message: str | bytes) -> str | None:
        self.arrivals.append(json.loads(message)["id"])
        self._changed.set()
        if self.silent_after is not None and len(self.arrivals) > self.silent_after:
            return None
        return json.dumps({"ack": self.arrivals[-1]})

    async def tell(self, request: web.Request) -> web.Response:
        self.told.setdefault(request.query["kind"], []).append(request.query["id"])
        self._changed.set()
        return web.Response()

    def of(self, kind: str) -> list[str]:
        return self.told.get(kind, [])

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    def check(self) -> None:
        """Check that accepted messages have arrived or are unknown, none twice but with `resend`, and in order."""
        arrived, unknown = Counter(self.arrivals), set(self.of("DeliveryUnknown"))
        accepted = self.of("accepted")
        assert [each for each in accepted if each not in arrived and each not in unknown] == []
        assert [each for each, count in arrived.items() if count > 1 and each.endswith("once")] == []
        assert [each for each in unknown if each.endswith("again")] == []
        first: dict[str, int] = {}
        for life, number, _ in (each.split(".") for each in dict.fromkeys(self.arrivals)):
            assert int(number) > first.get(life, -1)
            first[life] = int(number)
        assert set(self.told) <= {"accepted", "refused", "DeliveryUnknown"}


def serve(books: Books, server: FaultyServer) -> AbstractAsyncContextManager[str]:
    async def module(_: web.Request) -> web.Response:
        return web.Response(text=MODULE.format(url=server.url), content_type="text/javascript")

    return origin(server, web.get("/outbox.js", module), web.post("/tell", books.tell))


@pytest.fixture
def books() -> Books:
    return Books()


@pytest.fixture
async def server(books: Books) -> AsyncIterator[FaultyServer]:
    async with FaultyServer(on_message=books.answer) as one:
        yield one


@pytest.fixture
async def url(books: Books, server: FaultyServer) -> AsyncIterator[str]:
    async with serve(books, server) as address:
        yield address


@pytest.fixture
async def context(chromium: Browser) -> BrowserContext:
    return await chromium.new_context()


# Notes the durability of each transaction that writes.
WATCH = """() => {
    const { transaction } = IDBDatabase.prototype;
    window.durabilities = [];
    IDBDatabase.prototype.transaction = function (names, mode, options) {
        if (mode === 'readwrite') durabilities.push(options?.durability);
        return transaction.call(this, names, mode, options);
    };
}"""


async def open_page(context: BrowserContext, url: str, mode: str = "own") -> Page:
    page = await context.new_page()
    await page.goto(url)
    await page.evaluate(OPEN, mode)
    return page


async def crash(page: Page) -> None:
    """Kill the process that renders a page."""
    session = await page.context.new_cdp_session(page)
    crashing = asyncio.ensure_future(session.send("Page.crash"))
    await page.wait_for_event("crash")
    crashing.cancel()
    await page.close()


def kill_moments(books: Books, life: int) -> Callable[[], Awaitable[None]]:
    """The moment in which a life ends: unconnected, after the first arrival, among the silent ones, in full traffic."""
    before = len(books.arrivals)
    books.silent_after = before + 3 if life % 4 == 2 else None

    async def accepted() -> None:
        await books.until(lambda: sum(each.startswith(f"{life}.") for each in books.of("accepted")) >= 8)

    async def arrived() -> None:
        await books.until(lambda: len(books.arrivals) >= before + {1: 1, 2: 9, 3: 40}[life % 4])

    return accepted if life % 4 == 0 else arrived


@pytest.mark.timeout(120)
async def test_a_page_that_is_killed_in_the_middle_of_its_traffic_loses_nothing_in_silence(
    context: BrowserContext, books: Books, url: str
) -> None:
    for life in range(1, KILLS + 1):
        page = await open_page(context, url)
        moment = kill_moments(books, life)
        await page.evaluate(TRAFFIC, [life, life % 4 != 0])
        await moment()
        await crash(page)
    books.silent_after = None
    last = await open_page(context, url)
    await last.evaluate("() => client.connect()")
    await last.wait_for_function("() => client.status.outbox === 0")
    await last.evaluate("() => client.close()")
    books.check()
    assert len(books.of("accepted")) > KILLS * 5
    assert books.of("DeliveryUnknown")


@pytest.mark.timeout(120)
async def test_a_leading_tab_that_is_killed_leaves_the_outbox_to_the_next_one(
    context: BrowserContext, books: Books, server: FaultyServer, url: str
) -> None:
    tabs = [await open_page(context, url, "leader")]
    for life in range(1, KILLS + 1):
        tabs.append(await open_page(context, url, "leader"))
        arrivals, accepted = len(books.arrivals) + 20, len(books.of("accepted")) + 6
        books.silent_after = arrivals - 10 if life % 2 else None
        await tabs[1].evaluate(TRAFFIC, [life, True])
        await books.until(lambda most=arrivals: len(books.arrivals) >= most)  # type: ignore[misc]
        await books.until(lambda most=accepted: len(books.of("accepted")) >= most)  # type: ignore[misc]
        await crash(tabs.pop(0))
    books.silent_after = None
    await server.wait_until(lambda counts: counts.upgraded == KILLS + 1, timeout=20)
    (tab,) = tabs
    await tab.reload()  # the traffic ends
    await tab.evaluate(OPEN, "leader")
    await tab.evaluate("() => client.connect()")
    await tab.evaluate(PUT, ["end.0.once"])
    await books.until(lambda: books.arrivals[-1] == "end.0.once")  # behind everything else
    await tab.evaluate("() => client.close()")
    books.check()
    assert server.counts.most_open == 1
    assert len(books.of("accepted")) > KILLS * 5


async def test_a_browser_that_is_killed_has_the_messages_on_disk(
    books: Books, server: FaultyServer, url: str, tmp_path: Path
) -> None:
    async with async_playwright() as playwright:

        async def start() -> BrowserContext:
            return await playwright.chromium.launch_persistent_context(
                tmp_path / "profile", executable_path=find_chromium(), args=["--no-sandbox"]
            )

        context = await start()
        page = await open_page(context, url)
        await page.evaluate(WATCH)
        await page.evaluate(PUT, ["a", "b", "c"])
        kept = await page.evaluate("() => [client.status.outbox, durabilities]")
        session = await context.new_cdp_session(page)
        with pytest.raises(Exception, match=r"closed|crash"):
            await session.send("Browser.crash")
        context = await start()
        page = await open_page(context, url)
        await page.evaluate("() => client.connect()")
        await page.wait_for_function("() => client.status.outbox === 0")
        await context.close()
    assert (kept, books.arrivals) == ([3, ["strict"]], ["a", "b", "c"])
    shutil.rmtree(tmp_path / "profile", ignore_errors=True)


async def test_two_pages_without_join_are_told_of_the_remedy_and_a_reload_has_its_outbox_again(
    context: BrowserContext, books: Books, url: str
) -> None:
    first, second = [await open_page(context, url) for _ in range(2)]
    await first.evaluate(PUT, ["a"])
    name, text = await second.evaluate(NAME, "client.connect()")
    assert (name, "share one connection by join()" in text) == ("OutboxInUse", True)
    await first.reload()
    await first.evaluate(OPEN, "own")
    await first.evaluate("() => client.connect()")
    await books.until(lambda: books.arrivals == ["a"])
    await first.close()
    await second.evaluate(PUT, ["b"])
    await second.evaluate("() => client.connect()")
    await books.until(lambda: books.arrivals == ["a", "b"])


async def test_a_shared_worker_that_ends_leaves_the_outbox_to_the_next_one(
    context: BrowserContext, chromium: Browser, books: Books, server: FaultyServer, url: str
) -> None:
    tab = await open_page(context, url, "worker")
    await tab.evaluate("() => client.connect()")
    await server.stop_listening(kill=True)
    await tab.wait_for_function("() => client.status.state !== 'connected'")  # else a message may have arrived
    await tab.evaluate(PUT, ["a", "b"])
    session = await chromium.new_browser_cdp_session()
    targets = (await session.send("Target.getTargets"))["targetInfos"]
    (worker,) = [target["targetId"] for target in targets if target["type"] == "shared_worker"]
    await session.send("Target.closeTarget", {"targetId": worker})
    await server.start()
    await books.until(lambda: books.arrivals == ["a", "b"])


async def test_storage_that_is_full_refuses_messages_until_there_is_room(
    context: BrowserContext, books: Books, url: str
) -> None:
    page = await open_page(context, url)
    session = await context.new_cdp_session(page)
    address = url.rstrip("/")
    await session.send("Storage.overrideQuotaForOrigin", {"origin": address, "quotaSize": 100_000})
    name, text = await page.evaluate(NAME, "client.send({id: 'b', text: 'x'.repeat(100000)})")
    assert (name, "QuotaExceededError" in text, "make room" in text) == ("MessageNotStored", True, True)
    await session.send("Storage.overrideQuotaForOrigin", {"origin": address})
    await page.evaluate(PUT, ["a", "b"])
    await page.evaluate("() => client.connect()")
    await books.until(lambda: books.arrivals == ["a", "b"])


@pytest.mark.parametrize("how", ["the browser's settings", "a script"])
async def test_storage_that_is_deleted_under_the_page_is_told_and_what_it_accepted_is_sent(
    context: BrowserContext, books: Books, url: str, how: str
) -> None:
    page = await open_page(context, url)
    await page.evaluate(PUT, ["a", "b"])
    if how == "a script":
        await page.evaluate(
            """() => new Promise((resolve, reject) => {
                const request = indexedDB.deleteDatabase('onesocket outbox orders');
                Object.assign(request, {onsuccess: resolve, onerror: reject});
            }).then(() => {})"""
        )
    else:
        session = await context.new_cdp_session(page)
        about = {"origin": url.rstrip("/"), "storageTypes": "indexeddb"}
        await session.send("Storage.clearDataForOrigin", about)
    await books.until(lambda: books.of("OutboxUnusable") == [""])
    name, text = await page.evaluate(NAME, "client.send({id: 'c'})")
    assert (name, "make a new client" in text) == ("MessageNotStored", True)
    await page.evaluate("() => client.connect()")
    await books.until(lambda: books.arrivals == ["a", "b"])
    await page.evaluate("async () => { await client.close(); client = (await import('/outbox.js')).default(); }")
    await page.evaluate(PUT, ["c"])
    await page.evaluate("() => client.connect()")
    await books.until(lambda: books.arrivals == ["a", "b", "c"])


@pytest.mark.parametrize(
    ("version", "store", "text"), [(1, "things", "of another program"), (2, "messages", "newer release of onesocket")]
)
async def test_a_database_of_another_program_or_release_is_refused_and_left_alone(
    context: BrowserContext, url: str, version: int, store: str, text: str
) -> None:
    page = await open_page(context, url)
    found = await page.evaluate(
        """async ([version, store, NAME]) => {
            const open = (upgrade) => new Promise((resolve, reject) => {
                const request = indexedDB.open('onesocket outbox orders', version);
                request.onupgradeneeded = () => upgrade(request.result);
                Object.assign(request, {onsuccess: () => resolve(request.result), onerror: reject});
            });
            (await open((database) => database.createObjectStore(store))).close();
            const told = await client.connect().catch((error) => [error.name, error.message]);
            const after = await open(() => {});
            return [...told, [...after.objectStoreNames], after.version];
        }""",
        [version, store, NAME],
    )
    assert (found[0], text in found[1], found[2:]) == ("OutboxUnusable", True, [[store], version])


async def test_a_page_whose_storage_is_blocked_is_told(context: BrowserContext, url: str) -> None:
    page = await context.new_page()
    await page.goto(url)
    frame = """<script type="module">
        const scope = await import('%s/src/index.js');
        const client = new scope.Client('ws://127.0.0.1:9/', {outbox: new scope.DurableOutbox('orders')});
        parent.postMessage(await client.connect().catch((error) => [error.name, error.message]), '*');
    </script>"""
    told: Any = await page.evaluate(
        """(text) => new Promise((resolve) => {
            addEventListener('message', ({data}) => resolve(data));
            const frame = document.createElement('iframe');
            Object.assign(frame, {sandbox: 'allow-scripts', srcdoc: text.replace('%s', location.origin)});
            document.body.append(frame);
        })""",
        frame,
    )
    assert (told[0], "its storage is blocked" in told[1]) == ("OutboxUnusable", True)


async def test_pages_of_two_browser_contexts_have_an_outbox_each(chromium: Browser, books: Books, url: str) -> None:
    for each in ("a", "b"):
        page = await open_page(await chromium.new_context(), url)
        await page.evaluate(PUT, [each])
        await page.evaluate("() => client.connect()")
    await books.until(lambda: books.arrivals == ["a", "b"])
