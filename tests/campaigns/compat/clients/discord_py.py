"""discord.py asks for zstd-stream if `zstandard` is installed, else for zlib-stream."""

import discord
import told
import yarl

discord.http.Route.BASE = told.API_URL
discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(told.GATEWAY_URL)

client = discord.Client(intents=discord.Intents(guilds=True, guild_messages=True, message_content=True))


@client.event
async def on_ready() -> None:
    told.ready()


@client.event
async def on_message(message: discord.Message) -> None:
    if answer := told.message(message.content):
        await message.channel.send(answer)
        told.sent(answer)


client.run(told.TOKEN)
