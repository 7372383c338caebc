"""interactions.py always asks for zlib-stream."""

import interactions
import told
from interactions import Intents, events
from interactions.api.http.route import Route

Route.BASE = told.API_URL

client = interactions.Client(intents=Intents.DEFAULT | Intents.MESSAGE_CONTENT)


@interactions.listen(events.Ready)
async def on_ready() -> None:
    told.ready()


@interactions.listen(events.MessageCreate)
async def on_message(event: events.MessageCreate) -> None:
    if answer := told.message(event.message.content):
        await event.message.channel.send(answer)


client.add_listener(on_ready)
client.add_listener(on_message)
client.start(told.TOKEN)
