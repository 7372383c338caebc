"""nextcord always asks for zlib-stream."""

import nextcord
import told

nextcord.http.Route.BASE = told.API_URL

client = nextcord.Client(intents=nextcord.Intents(guilds=True, guild_messages=True, message_content=True))


@client.event
async def on_ready() -> None:
    told.ready()


@client.event
async def on_message(message: nextcord.Message) -> None:
    if answer := told.message(message.content):
        await message.channel.send(answer)


client.run(told.TOKEN)
