"""A host of a bot's fleet, as a program: tells in lines of JSON that it has joined, and the messages that it hears."""

import asyncio
import json
import sys

from onesocket import Gap, join
from onesocket.sharing.cluster import ClusterOptions, NatsCoordinator, RedisCoordinator
from onesocket.sharing.host import HostOptions
from onesocket_discord import DiscordClient, Intents

INTENTS = Intents.GUILDS | Intents.GUILD_MESSAGES | Intents.MESSAGE_CONTENT


def tell(text: str) -> None:
    sys.stdout.write(json.dumps(text) + "\n")
    sys.stdout.flush()


async def main(token: str, url: str, engine: str, lease: float, directory: str) -> None:
    named = NatsCoordinator(engine) if engine.startswith("nats") else RedisCoordinator(engine)
    async with join(
        url,
        key="robo",
        client_factory=lambda: DiscordClient(token, INTENTS, gateway_url=url),
        scope="cluster",
        cluster=ClusterOptions(engine=named, lease=lease, margin=lease / 5),
        host_options=HostOptions(directory=directory),
    ) as client:
        stream = client.subscribe("MESSAGE_CREATE")
        ended = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
        ended.add_done_callback(lambda _: stream.close())
        tell("joined")
        async for message in stream:
            tell(message.reason if isinstance(message, Gap) else message.data.content)


if __name__ == "__main__":
    asyncio.run(main(*json.loads(sys.argv[1])))
