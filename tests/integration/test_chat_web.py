"""``onesocket chat --web``: found by any name of this machine, and leads to one server alone."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from onesocket_chat import ChatApp
from onesocket_chat._credentials import Credentials, save
from onesocket_chat._web_server import ChatWebServer
from onesocket_chat.screens._sign_in import SignInScreen
from onesocket_discord.server import ChatServer
from tests.unit.onesocket_chat.driver import PASSWORD, running_app
from tools.screenshots import web_chat

pytestmark = pytest.mark.timeout(120)
DEADLINE = 30.0
_CONTROL = re.compile(r"\x1b(?:\[[0-9;?]*[a-zA-Z$]|\][^\x07]*\x07)")


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as one:
        yield one


class ForbiddenServer:
    """Another server, to which nothing may lead."""

    def __init__(self) -> None:
        self.connections = 0
        self.address = ""

    def come(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        writer.close()


@pytest.fixture
async def trap() -> AsyncIterator[ForbiddenServer]:
    one = ForbiddenServer()
    async with await asyncio.start_server(one.come, "127.0.0.1", 0) as listening:
        one.address = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield one
    assert one.connections == 0


class BrowserClient:
    """Client that does the same as the page's script, without a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._drawn = ""

    async def type(self, text: str) -> None:
        await self._socket.send_json(["stdin", text])

    async def until_drawn(self, text: str) -> str:
        async with asyncio.timeout(DEADLINE):
            while text not in self._drawn:
                message = await self._socket.receive()
                assert message.type in {aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT}, self._drawn
                data = message.data
                self._drawn += _CONTROL.sub("", data.decode("utf-8", "replace") if isinstance(data, bytes) else data)
        return self._drawn


@asynccontextmanager
async def page(http: aiohttp.ClientSession, url: str) -> AsyncIterator[BrowserClient]:
    """Load the page, and open the socket that it names."""
    async with http.get(url) as answer:
        assert answer.status == 200
        text = await answer.text()
    (target,) = re.findall(r'data-session-websocket-url="([^"]*)"', text)
    async with http.ws_connect(f"{target}?width=100&height=30", origin=url) as socket:
        yield BrowserClient(socket)


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
async def test_it_is_found_by_both_names_and_leads_to_its_server_alone(
    server: ChatServer, trap: ForbiddenServer, name: str
) -> None:
    async with web_chat(server.api_url, "ada") as (address, _), aiohttp.ClientSession() as http:
        url = f"http://{name}:{urlsplit(address).port}"
        async with http.get(url) as answer:
            text = await answer.text()
            assert f"connect-src 'self' ws://{urlsplit(url).netloc};" in answer.headers["Content-Security-Policy"]
        for path in re.findall(r'(?:src|href)="([^"]*)"', text):
            assert path.startswith(("/static/", "https://fonts.")), path  # the font is not loaded: see the policy
        async with http.get(f"{url}/static/js/textual.js") as answer:
            assert answer.status == 200
        async with page(http, url) as one:
            shown = await one.until_drawn("Password")
            assert server.api_url in shown
            # From the password back to where an address could be typed, and on again.
            await one.type(f"\x1b[Z\x1b[Z{trap.address}\t\t{PASSWORD}\x1bOQ")
            await one.until_drawn("CONNECTED")
            await server.wait_for(lambda stats: stats.open == 1)


async def test_a_page_of_another_name_gets_nothing(server: ChatServer) -> None:
    async with web_chat(server.api_url, "ada") as (url, _), aiohttp.ClientSession() as http:
        port = urlsplit(url).port
        for host in (
            "evil.example",
            f"evil.example:{port}",
            f"127.0.0.1.evil.example:{port}",
            "8.8.8.8",
            "x@127.0.0.1",
        ):
            async with http.get(url, headers={"Host": host}) as answer:
                assert answer.status in {400, 403}
            with pytest.raises(aiohttp.WSServerHandshakeError, match=r"40[03]"):
                await http.ws_connect(f"{url}/ws", headers={"Host": host}, origin=f"http://{host}")
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await http.ws_connect(f"{url}/ws", origin=f"http://localhost:{port}")  # one name is not the other
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            await http.ws_connect(f"{url}/ws")


@pytest.mark.parametrize(
    ("listening", "host", "passes"),
    [
        ("127.0.0.1", "127.0.0.1:8722", True),
        ("127.0.0.1", "LOCALHOST:8722", True),
        ("127.0.0.1", "192.168.1.5:8722", False),
        ("localhost", "[::1]:8722", True),
        ("::1", "[::1]:8722", True),
        ("0.0.0.0", "192.168.1.5:8722", True),  # noqa: S104 - nothing listens
        ("0.0.0.0", "rebound.example:8722", False),  # noqa: S104
        ("chat.lan", "chat.lan:8722", True),
        ("chat.lan", "rebound.example:8722", False),
    ],
)
def test_names(listening: str, host: str, passes: bool) -> None:
    assert ChatWebServer([], host=listening, port=8722).knows(host) is passes


# --- the application itself ------------------------------------------------------------------------------------------


async def test_a_fixed_application_shows_no_field_and_refuses_another_server(
    server: ChatServer, trap: ForbiddenServer
) -> None:
    async with running_app(ChatApp(server.api_url, "ada", fixed=True)) as ada:
        await ada.until(lambda: ada.app.screen.query("#password"))
        assert not ada.app.screen.query("#server")
        assert ada.is_drawn(server.api_url)
        for typed in (trap.address, f"http://{trap.address}/api/v10", server.api_url.replace("/v10", "/v9")):
            ada.app.screen.post_message(SignInScreen.SignInRequested(typed, "ada", PASSWORD, register=True))
            await ada.until(lambda: "alone" in ada.toasts.get("sign-in-failed", ""))
            ada.app.action_dismiss_failure()
        await ada.sign_in("ada")
        assert ada.session.server.api_url == server.api_url


async def test_a_fixed_application_takes_no_remembered_token_elsewhere(
    server: ChatServer, trap: ForbiddenServer, tmp_path: Path
) -> None:
    place = tmp_path / "chat.json"
    save(Credentials(f"http://{trap.address}/api/v10", "ada", "t.o.ken"), place)
    async with running_app(ChatApp(server.api_url, "ada", fixed=True, remember=place)) as ada:
        await ada.until(lambda: "alone" in ada.toasts.get("sign-in-failed", ""))
        assert isinstance(ada.app.screen, SignInScreen)
