"""hikari's bot asks for zstd-stream if `backports.zstd` is installed, else for zlib-stream.

Its shards can also be told to ask for nothing, or for the compression of single payloads.
"""

import asyncio

import hikari
import told
from hikari.impl import GatewayShardImpl

INTENTS = hikari.Intents.GUILDS | hikari.Intents.GUILD_MESSAGES | hikari.Intents.MESSAGE_CONTENT
BY_SHARD = {"none": None, "payload": hikari.api.GatewayCompression.PAYLOAD_ZLIB_STREAM}

bot = hikari.GatewayBot(told.TOKEN, rest_url=told.API_URL, intents=INTENTS, banner=None)


@bot.listen()
async def on_ready(_: hikari.ShardReadyEvent) -> None:
    told.ready()


@bot.listen()
async def on_message(event: hikari.GuildMessageCreateEvent) -> None:
    if answer := told.message(event.content or ""):
        await bot.rest.create_message(event.channel_id, answer)


async def run_shard() -> None:
    """One shard on the bot's own parts."""
    bot.rest.start()
    shard = GatewayShardImpl(
        compression=BY_SHARD[told.COMPRESSION],
        intents=INTENTS,
        http_settings=bot.http_settings,
        proxy_settings=bot.proxy_settings,
        event_manager=bot.event_manager,
        event_factory=bot.event_factory,
        token=told.TOKEN,
        url=told.GATEWAY_URL,
    )
    await shard.start()
    await shard.join()


if told.COMPRESSION in BY_SHARD:
    asyncio.run(run_shard())
else:
    bot.run(check_for_updates=False)
