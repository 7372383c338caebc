"""Moderation by HTTP and at the gateway, as a bot library does it."""

from typing import Any
from urllib.parse import quote

import aiohttp
import pytest

from onesocket_discord.server import ChatServer
from onesocket_discord.server._ports import Json
from tests.unit.onesocket_discord.server.gateway.raw_client import dial


class Caller:
    """HTTP in the name of one account."""

    def __init__(self, http: aiohttp.ClientSession, api_url: str, token: str) -> None:
        self._http = http
        self._api_url = api_url
        self._headers = {"Authorization": token}

    async def ask(self, method: str, path: str, body: Json | None = None, reason: str = "") -> tuple[int, Any]:
        headers = self._headers | ({"X-Audit-Log-Reason": quote(reason)} if reason else {})
        async with self._http.request(method, self._api_url + path, json=body, headers=headers) as answer:
            return answer.status, None if answer.status == 204 else await answer.json()


async def test_a_bot_with_a_role_bans_and_is_told_of_it(chat_server: ChatServer) -> None:
    ann, bob = [await chat_server.create_user(name, "correct horse") for name in ("ann", "bob")]
    robo = await chat_server.create_bot("robo")
    guild = f"/guilds/{chat_server.service.default_guild}"
    async with aiohttp.ClientSession() as http, dial(chat_server.gateway_url) as client:
        owner, member, bot = (Caller(http, chat_server.api_url, one) for one in (ann, bob, f"Bot {robo}"))
        bob_id, bot_id = [(await one.ask("GET", "/users/@me"))[1]["id"] for one in (member, bot)]
        await client.hello()
        await client.send(2, {"token": robo, "intents": 1 << 0 | 1 << 2})
        assert [one["name"] for one in (await client.until("GUILD_CREATE"))["d"]["roles"]] == ["@everyone"]
        status, refused = await bot.ask("PUT", f"{guild}/bans/{bob_id}", {})
        assert (status, refused) == (403, {"message": "Missing Permissions", "code": 50013})
        status, role = await owner.ask("POST", f"{guild}/roles", {"name": "guard", "permissions": "4"})
        assert (status, role["permissions"], role["position"]) == (200, "4", 1)
        assert (await client.until("GUILD_ROLE_CREATE"))["d"]["role"] == role
        assert await owner.ask("PUT", f"{guild}/members/{bot_id}/roles/{role['id']}") == (204, None)
        assert [one["id"] for one in (await bot.ask("GET", f"{guild}/roles"))[1]] == [guild[8:], role["id"]]
        assert await bot.ask("PUT", f"{guild}/bans/{bob_id}", {}, "too loud ☂") == (204, None)
        told = (await client.until("GUILD_BAN_ADD"))["d"]
        assert (told["guild_id"], told["user"]["id"]) == (guild[8:], bob_id)
        (ban,) = (await bot.ask("GET", f"{guild}/bans?limit=10"))[1]
        assert (ban["reason"], ban["user"]["username"]) == ("too loud ☂", "bob")
        status, refused = await member.ask("PUT", f"{guild}/members/{bob_id}")
        assert (status, refused["code"]) == (403, 40007)
        assert await bot.ask("DELETE", f"{guild}/bans/{bob_id}") == (204, None)
        assert (await bot.ask("GET", f"{guild}/bans/{bob_id}"))[1] == {"message": "Unknown Ban", "code": 10026}


@pytest.mark.parametrize("mode", ["closed", "invite"])
async def test_a_server_says_who_may_register(mode: Any) -> None:
    async with ChatServer(registration=mode) as server, aiohttp.ClientSession() as http:
        nobody = Caller(http, server.api_url, "")
        assert await nobody.ask("GET", "/auth/registration") == (
            200,
            {"registration": mode, "min_password_length": 8},
        )
        status, refused = await nobody.ask("POST", "/auth/register", {"username": "eve", "password": "correct horse"})
        if mode == "closed":
            assert (status, refused["code"]) == (403, 40006)
        else:
            assert (status, refused["code"], set(refused["errors"])) == (400, 50035, {"invite"})


async def test_people_block_and_report_by_http(chat_server: ChatServer) -> None:
    ann, bob = [await chat_server.create_user(name, "correct horse") for name in ("ann", "bob")]
    async with aiohttp.ClientSession() as http:
        one, other = (Caller(http, chat_server.api_url, token) for token in (ann, bob))
        other_id = (await other.ask("GET", "/users/@me"))[1]["id"]
        dm = (await one.ask("POST", "/users/@me/channels", {"recipient_id": other_id}))[1]["id"]
        message = (await other.ask("POST", f"/channels/{dm}/messages", {"content": "rude"}))[1]["id"]
        status, report = await one.ask("POST", f"/channels/{dm}/messages/{message}/report", {"reason": "rude"})
        assert (status, set(report)) == (201, {"id"})
        assert await one.ask("PUT", f"/users/@me/relationships/{other_id}", {"type": 2}) == (204, None)
        assert [known["id"] for known in (await one.ask("GET", "/users/@me/relationships"))[1]] == [other_id]
        status, refused = await other.ask("POST", f"/channels/{dm}/messages", {"content": "again"})
        assert (status, refused) == (403, {"message": "Cannot send messages to this user", "code": 50007})
        assert await one.ask("DELETE", f"/users/@me/relationships/{other_id}") == (204, None)
        status, settings = await one.ask("PATCH", "/users/@me/settings", {"default_guilds_restricted": True})
        assert (status, settings) == (200, {"default_guilds_restricted": True})
        assert (await one.ask("GET", "/users/@me/settings"))[1] == settings
