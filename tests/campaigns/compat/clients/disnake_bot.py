"""disnake asks for zlib-stream unless `GatewayParams` say no."""

import disnake
import told

disnake.http.Route.BASE = told.API_URL

client = disnake.Client(
    intents=disnake.Intents(guilds=True, guild_messages=True, message_content=True),
    gateway_params=disnake.GatewayParams(zlib=told.COMPRESSION == "zlib-stream"),
)


@client.event
async def on_ready() -> None:
    told.ready()


@client.event
async def on_message(message: disnake.Message) -> None:
    if answer := told.message(message.content):
        await message.channel.send(answer)


client.run(told.TOKEN)
