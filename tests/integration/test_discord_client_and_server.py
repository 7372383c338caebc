"""`DiscordClient` against `ChatServer`: what the faults do to the order of things."""

import asyncio

from onesocket import Gap
from onesocket_discord import DiscordClient, Dispatch, Intents
from onesocket_discord.server import ChatServer, GatewayOptions

DEADLINE = 20.0


async def test_a_message_that_overtakes_ready_is_not_delivered_again_by_the_resume() -> None:
    async with ChatServer(options=GatewayOptions(identify_interval=0)) as server, asyncio.timeout(DEADLINE):
        writer = await server.service.authenticate(await server.create_bot("writer"))
        assert writer is not None
        (channel,) = await server.service.channels.of_guild(writer, server.service.default_guild)

        async def say(text: str) -> None:
            await server.service.messages.post(writer, int(channel["id"]), {"content": text})

        client = DiscordClient(
            await server.create_bot("reader"),
            Intents.GUILDS | Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT,
            gateway_url=server.gateway_url,
        )
        server.faults.reorder_dispatches(3)  # READY, the guild and the first message, backwards
        async with client.subscribe("MESSAGE_CREATE") as stream:
            connected = asyncio.ensure_future(client.connect())
            await server.wait_for(lambda stats: stats.identifies == 1)
            await say("first")
            await connected
            await server.faults.drop_connection(user="reader")
            await server.wait_for(lambda stats: stats.resumes == 1)
            await say("second")
            seen: list[str] = []
            while "second" not in seen:
                item = await anext(stream)
                assert not isinstance(item, Gap)
                assert isinstance(item, Dispatch)
                seen.append(item.data.content)
        assert seen == ["first", "second"]
        await client.aclose()
