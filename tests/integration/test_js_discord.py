"""The JavaScript client speaks Discord's gateway with the local Discord server."""

import asyncio
from typing import Any

from onesocket_discord import Intents
from onesocket_discord.server import ChatServer, GatewayOptions
from tests.support.node_page import NodePage

DEADLINE = 20.0
INTENTS = int(Intents.GUILDS | Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT)
DISCORD = "protocol: new one.Discord({intents: %d}), token: '%s'"


async def test_a_session_is_resumed_without_a_gap() -> None:
    options = GatewayOptions(identify_interval=0)
    async with ChatServer(options=options) as server, NodePage() as page, asyncio.timeout(DEADLINE):
        writer = await server.service.authenticate(await server.create_bot("writer"))
        assert writer is not None
        (channel,) = await server.service.channels.of_guild(writer, server.service.default_guild)

        async def say(text: str) -> None:
            await server.service.messages.post(writer, int(channel["id"]), {"content": text})

        async def read() -> Any:
            return await page.run("return (await kept.stream.next()).value")

        token = await server.create_bot("reader")
        await page.make_client(server.gateway_url, DISCORD % (INTENTS, token))
        await page.run("kept.stream = kept.client.subscribe('MESSAGE_CREATE'); await kept.client.connect()")
        assert (await page.run("return kept.seen[0]"))["event"] == "READY"
        await say("first")
        assert (await read())["data"]["content"] == "first"
        await server.faults.drop_connection(user="reader")
        await server.wait_for(lambda stats: stats.resumes == 1)
        await say("second")
        assert (await read())["data"]["content"] == "second"
        assert (server.stats.identifies, server.stats.resumes) == (1, 1)
        await page.run("await kept.client.send({op: 3, d: {since: null, activities: [], status: 'idle', afk: false}})")
        assert await page.run("return nameOf(kept.client.send({op: 2, d: {}}))") == "EncodeError"
        assert await page.run("return kept.seen.filter((item) => item instanceof one.Gap).length") == 0
        await page.run("await kept.client.close()")


async def test_a_wrong_token_is_final() -> None:
    async with ChatServer() as server, NodePage() as page, asyncio.timeout(DEADLINE):
        await page.make_client(server.gateway_url, DISCORD % (INTENTS, "wrong"))
        error = await page.run("return kept.client.connect().catch((error) => error)")
        assert (error["error"], error["retryable"]) == ("LoginRefused", False)
        assert await page.run("return kept.client.state") == "failed"
