"""A running chat server as its operator sees it: the request log, its health and its metrics."""

import asyncio
import json
from urllib.parse import urlsplit

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from onesocket.errors import CannotListen, InvalidOption
from onesocket_discord.server import ChatServer, RequestRecord
from onesocket_discord.server._request_log import json_line, text_line
from tests.unit.onesocket_discord.server.gateway.raw_client import DEADLINE, dial

pytestmark = pytest.mark.timeout(60)

PASSWORD = "tr0ub4dor and more"


async def raw_request(server: ChatServer, text: str) -> bytes:
    """Send this, and read the answer's head."""
    url = urlsplit(server.api_url)
    async with asyncio.timeout(DEADLINE):
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(text.encode())
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return head


async def test_each_request_is_noted_once_and_without_secrets() -> None:
    seen: list[RequestRecord] = []
    async with ChatServer(trusted_proxies=["127.0.0.1"], on_request=seen.append) as server:
        token = await server.create_user("ann", PASSWORD)
        forwarded = {"X-Forwarded-For": "198.51.100.7, 203.0.113.5", "X-Forwarded-Proto": "https"}
        async with aiohttp.ClientSession(headers={"Authorization": token, **forwarded}) as http:

            async def ask(method: str, path: str, body: object = None) -> str:
                async with http.request(method, f"{server.api_url}{path}", json=body) as answer:
                    return await answer.text()

            (guild,) = json.loads(await ask("GET", "/users/@me/guilds"))
            channel = json.loads(await ask("GET", f"/guilds/{guild['id']}/channels"))[0]["id"]
            await ask("POST", f"/channels/{channel}/messages?secret=one", {"content": "secret two"})
            code = json.loads(await ask("POST", f"/channels/{channel}/invites", {}))["code"]
            await ask("GET", f"/invites/{code}")
            await ask("GET", "/invites/12345678")
            await ask("POST", "/auth/login", {"login": "ann", "password": PASSWORD})
            await ask("GET", f"/nowhere/{token}")
            await ask("PROPFIND", "/users/@me")
            async with http.get(f"{server.page_url}?secret=one", headers={"Accept-Encoding": "identity"}) as answer:
                page_size = len(await answer.read())
            async with http.get(server.api_url.replace("api/v10", "control/stats")) as answer:
                assert answer.status == 403
        await raw_request(server, f"GET /{token} HTTP/9.9\r\n\r\n")
        async with dial(f"{server.gateway_url}{token}") as client:
            await client.hello()
        head = await raw_request(
            server,
            f"GET /?token={token} HTTP/1.1\r\nHost: a\r\nOrigin: http://evil.example\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
        )
        assert b" 403 " in head.splitlines()[0]
    found = [(one.method, one.path, one.status) for one in seen]
    assert found == [
        ("GET", "/users/@me/guilds", 200),
        ("GET", f"/guilds/{guild['id']}/channels", 200),
        ("POST", f"/channels/{channel}/messages", 200),
        ("POST", f"/channels/{channel}/invites", 200),
        ("GET", "/invites/{code}", 200),
        ("GET", "/invites/{code}", 404),
        ("POST", "/auth/login", 200),
        ("GET", "(unknown)", 404),
        ("OTHER", "(unknown)", 405),
        ("GET", "/", 200),
        ("GET", "(control)", 403),
        ("OTHER", "(malformed)", 400),
        ("GET", "(gateway)", 101),
        ("GET", "(gateway)", 403),
    ]
    assert {(one.address, one.scheme) for one in seen[:11]} == {("203.0.113.5", "https")}
    assert {one.address for one in seen[11:]} == {"127.0.0.1"}
    assert seen[2].route == "/channels/{channel_id}/messages"
    assert seen[2].account == seen[0].account is not None
    assert seen[6].account is None
    assert page_size < seen[9].size < page_size + 1000
    assert seen[2].seconds > 0
    lines = [make(one, 0.0) for one in seen for make in (text_line, json_line)]
    for secret in (token, PASSWORD, code, "secret", "evil", "198.51.100.7", "PROPFIND"):
        assert not [line for line in lines if secret in line], secret


async def test_health_is_open_and_says_why_not() -> None:
    async with ChatServer() as server, aiohttp.ClientSession() as http:
        url = server.api_url.replace("api/v10", "healthz")
        async with http.get(url) as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})
            assert answer.headers["Cache-Control"] == "no-store"
        async with http.head(url) as answer:
            assert answer.status == 200


async def test_health_without_a_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onesocket_discord.server._health._MAX_AGE", 0.0)
    async with ChatServer() as server, aiohttp.ClientSession() as http:
        await server.service.store._writer.stop()
        async with http.get(server.api_url.replace("api/v10", "healthz")) as answer:
            assert answer.status == 503
            assert await answer.json() == {"status": "unavailable", "reason": "the database can't be written"}


async def test_metrics_are_at_an_address_of_their_own() -> None:
    async with ChatServer(metrics="127.0.0.1:0") as server, aiohttp.ClientSession() as http:
        await server.create_bot("robo")
        for path in ("/users/@me", "/gateway", "/gateway"):
            async with http.get(f"{server.api_url}{path}"):
                pass
        async with dial(server.gateway_url) as client:
            await client.hello()
            async with http.get(server.metrics_url) as answer:
                text = await answer.text()
                assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'onesocket_chat_http_requests_total{method="GET",route="/gateway",status="200"} 2' in text
        assert 'onesocket_chat_http_requests_total{method="GET",route="/users/@me",status="401"} 1' in text
        assert 'onesocket_chat_http_requests_total{method="GET",route="(gateway)",status="101"} 1' in text
        assert 'onesocket_chat_http_request_duration_seconds_bucket{le="+Inf"} 4' in text
        assert "onesocket_chat_http_request_duration_seconds_count 4" in text
        assert "onesocket_chat_gateway_open 1" in text
        assert "onesocket_chat_gateway_handshakes_total 1" in text
        families = {family.name: family for family in text_string_to_metric_families(text)}  # by Prometheus' own parser
        assert families["onesocket_chat_http_request_duration_seconds"].type == "histogram"
        assert len(families) == 13
        for path in ("metrics", "healthz"):  # nothing of it at the address that all can reach
            async with http.get(server.api_url.replace("api/v10", path)) as answer:
                assert ("onesocket_chat" in await answer.text(), answer.status) == (False, 404 if "me" in path else 200)
        async with http.get(server.metrics_url.replace("/metrics", "/other")) as answer:
            assert answer.status == 404
        for headers in ({"Origin": "http://127.0.0.1"}, {"Host": "rebound.example"}):
            async with http.get(server.metrics_url, headers=headers) as answer:
                assert answer.status == 403
    assert ChatServer().metrics_url == ""


async def test_an_address_for_metrics_that_can_not_be() -> None:
    with pytest.raises(InvalidOption, match="--metrics wants HOST:PORT"):
        ChatServer(metrics="here")
    async with ChatServer(metrics="127.0.0.1:0") as server:
        with pytest.raises(CannotListen, match="choose another place with --metrics"):
            async with ChatServer(metrics=urlsplit(server.metrics_url).netloc):
                pass
