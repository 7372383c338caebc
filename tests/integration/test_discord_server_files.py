"""Files of messages, and the search for messages, over HTTP."""

import io
import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from onesocket_discord.server import ChatServer
from onesocket_discord.server.service._attachments import MAX_FILE_SIZE, safe_filename

pytestmark = pytest.mark.timeout(60)


class PersonApi:
    """HTTP in the name of one person."""

    def __init__(self, server: ChatServer, http: aiohttp.ClientSession) -> None:
        self._url = server.api_url
        self.http = http

    async def request(self, method: str, path: str, *, status: int = 200, **options: Any) -> Any:
        """Send a request, check the status, and return the JSON of the answer."""
        async with self.http.request(method, self._url + path, **options) as answer:
            body = await answer.read()
            assert answer.status == status, (answer.status, body[:500])
            return json.loads(body) if body else None

    async def general(self) -> tuple[str, str]:
        """The default guild, and its channel."""
        guild = (await self.request("GET", "/users/@me/guilds"))[0]["id"]
        return guild, (await self.request("GET", f"/guilds/{guild}/channels"))[0]["id"]


@pytest.fixture
async def server() -> AsyncIterator[ChatServer]:
    async with ChatServer() as one:
        yield one


@pytest.fixture
async def ada(server: ChatServer) -> AsyncIterator[PersonApi]:
    token = await server.create_user("ada", "correct horse")
    async with aiohttp.ClientSession(headers={"Authorization": token}) as http:
        yield PersonApi(server, http)


PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 640, 480)


def form(payload: Any, *files: tuple[str, bytes, str, str]) -> aiohttp.FormData:
    data = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
    data.add_field("payload_json", json.dumps(payload))
    for field, body, name, content_type in files:
        data.add_field(field, io.BytesIO(body), filename=name, content_type=content_type)
    return data


async def test_files_go_with_a_message_and_come_back(server: ChatServer, ada: PersonApi) -> None:
    _, channel = await ada.general()
    body = {"content": "", "attachments": [{"id": 1, "description": "a picture"}]}
    data = form(body, ("files[0]", b"<script>", "../a b.html", "text/html"), ("files[1]", PNG, "p.png", "image/png"))
    message = await ada.request("POST", f"/channels/{channel}/messages", data=data)
    page, picture = message["attachments"]
    assert (page["filename"], page["size"], picture["description"]) == ("a_b.html", 8, "a picture")
    assert (picture["width"], picture["height"]) == (640, 480)
    assert not {"key", "width", "height"} & set(page)
    assert page["url"].startswith(server.page_url)
    async with aiohttp.ClientSession() as nobody:
        async with nobody.get(page["url"]) as answer:
            assert await answer.read() == b"<script>"
            # Nothing that others sent runs as a page of this server.
            assert answer.headers["Content-Type"] == "application/octet-stream"
            assert answer.headers["Content-Disposition"].startswith("attachment;")
            assert "sandbox" in answer.headers["Content-Security-Policy"]
        async with nobody.get(picture["url"]) as answer:
            assert answer.headers["Content-Type"] == "image/png"
            assert answer.headers["Content-Disposition"].startswith("inline;")
        for wrong in (picture["url"][:-1], picture["url"].partition("?")[0], picture["url"].replace(channel, "1")):
            async with nobody.get(wrong) as answer:
                assert answer.status == 404
    history = await ada.request("GET", f"/channels/{channel}/messages")
    assert history[0]["attachments"] == message["attachments"]
    # A text may be taken away from a message with files; with the message the files are gone.
    await ada.request("PATCH", f"/channels/{channel}/messages/{message['id']}", json={"content": ""})
    await ada.request("DELETE", f"/channels/{channel}/messages/{message['id']}", status=204)
    async with ada.http.get(page["url"]) as answer:
        assert answer.status == 404


async def test_a_repeated_nonce_stores_the_files_once(server: ChatServer, ada: PersonApi) -> None:
    _, channel = await ada.general()
    first, second = [
        await ada.request(
            "POST",
            f"/channels/{channel}/messages",
            data=form({"nonce": "n", "enforce_nonce": True}, ("files[0]", b"x", "x.txt", "text/plain")),
        )
        for _ in range(2)
    ]
    assert first["attachments"] == second["attachments"]
    assert len(await ada.request("GET", f"/channels/{channel}/messages")) == 1


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ([("files[0]", b"x" * (MAX_FILE_SIZE + 1), "x", "text/plain")], 413),
        ([(f"files[{number}]", b"x", "x", "text/plain") for number in range(11)], 400),
        ([("something", b"x", "x", "text/plain")], 400),
        ([], 400),
    ],
)
async def test_files_that_are_too_large_or_too_many_are_refused(
    server: ChatServer, ada: PersonApi, files: list[tuple[str, bytes, str, str]], status: int
) -> None:
    _, channel = await ada.general()  # the request asserts the status
    await ada.request("POST", f"/channels/{channel}/messages", data=form({}, *files), status=status)
    assert await ada.request("GET", f"/channels/{channel}/messages") == []


async def test_files_have_a_place_in_messages_alone(server: ChatServer, ada: PersonApi) -> None:
    data = form({"username": "eve"}, ("files[0]", b"x", "x.txt", "text/plain"))
    answer = await ada.request("PATCH", f"/channels/{(await ada.general())[1]}", data=data, status=400)
    assert "ATTACHMENTS_UNSUPPORTED" in json.dumps(answer)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a b.txt", "a_b.txt"),
        ("C:\\temp\\x.png", "x.png"),
        ("../../etc/passwd", "passwd"),
        (".htaccess", "htaccess"),
        ("\u202egnp.exe", "_gnp.exe"),
        ("Größe.pdf", "Größe.pdf"),
        ("Gro\u0308ße.pdf", "Größe.pdf"),
        ("हिन्दी ภาษาไทย.txt", "हिन्दी_ภาษาไทย.txt"),
        ("z" + "\u0321" * 50 + ".txt", "z" + "\u0321" * 3 + ".txt"),
        ("", "file"),
        ("x" * 200 + ".png", "x" * 96 + ".png"),
    ],
)
def test_names_of_files_are_made_safe(name: str, safe: str) -> None:
    assert safe_filename(name) == safe


async def test_a_search_finds_what_the_account_may_see(server: ChatServer, ada: PersonApi) -> None:
    guild, channel = await ada.general()
    other = (await ada.request("POST", f"/guilds/{guild}/channels", json={"name": "other"}, status=201))["id"]
    for where, text in ((channel, "Needle one"), (channel, "hay"), (other, "a needle, two"), (other, "100%")):
        await ada.request("POST", f"/channels/{where}/messages", json={"content": text})

    async def found(path: str, **query: str) -> list[str]:
        answer = await ada.request("GET", f"{path}/messages/search", params=query)
        texts = [one["content"] for (one,) in answer["messages"]]
        assert answer["total_results"] >= len(texts)
        return texts

    assert await found(f"/guilds/{guild}", content="needle") == ["a needle, two", "Needle one"]
    assert await found(f"/guilds/{guild}", content="needle", channel_id=channel) == ["Needle one"]
    assert await found(f"/channels/{other}", content="needle", offset="0") == ["a needle, two"]
    assert await found(f"/guilds/{guild}", content="needle", limit="1", offset="1") == ["Needle one"]
    assert await found(f"/guilds/{guild}", content="%") == ["100%"]  # no pattern
    assert await found(f"/guilds/{guild}", content="needle", author_id="1") == []
    await ada.request("GET", f"/guilds/{guild}/messages/search", status=400)
    await ada.request("GET", f"/guilds/{guild}/messages/search?content={'x' * 1025}", status=400)

    bot = await server.create_bot("robo")
    mine = (await ada.request("POST", "/guilds", json={"name": "mine"}, status=201))["id"]
    headers = {"Authorization": f"Bot {bot}"}
    await ada.request("GET", f"/guilds/{mine}/messages/search?content=x", headers=headers, status=403)
