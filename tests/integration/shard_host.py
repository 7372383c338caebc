"""A host of a sharded bot, as a program: joins one shard through the cluster, and says when it is ready."""

import asyncio
import json
import sys
from unittest import mock

from onesocket import join
from onesocket.sharing.cluster import ClusterOptions, NatsCoordinator, RedisCoordinator
from onesocket.sharing.host import HostOptions
from onesocket_discord import DiscordClient, Intents


async def main(token: str, url: str, engine: str, shard: tuple[int, int], directory: str) -> None:
    named = NatsCoordinator(engine) if engine.startswith("nats") else RedisCoordinator(engine)
    request = join(
        url,
        key=f"robo {shard[0]}",
        client_factory=lambda: DiscordClient(token, Intents.GUILDS, gateway_url=url, shard=(shard[0], shard[1])),
        scope="cluster",
        cluster=ClusterOptions(engine=named),
        host_options=HostOptions(directory=directory),
    )
    sys.stdout.write("begun\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    async with request:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    period, *arguments = json.loads(sys.argv[1])
    with (
        mock.patch("onesocket_discord.client._identify_budget.IDENTIFY_PERIOD", period),
        mock.patch("onesocket_discord.client._fleet_slots.IDENTIFY_PERIOD", period),
    ):
        asyncio.run(main(*arguments))
