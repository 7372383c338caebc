"""Two services on one database: as one service would, whichever is asked."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from onesocket_discord.server._api_error import ApiError
from onesocket_discord.server._cluster_entry import EntryOfEvent, decode_entry
from onesocket_discord.server._ports import Account, Event
from tests.support.postgresql import PostgresqlServer
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, running_service
from tests.unit.onesocket_discord.server.writer_process import check_stored, read_acknowledged, start_writer

Nodes = tuple[ServiceFixture, ServiceFixture]


@pytest.fixture
async def nodes(postgresql: PostgresqlServer) -> AsyncIterator[Nodes]:
    with postgresql.place() as url:
        async with running_service(url, shared=True) as one, running_service(url, shared=True) as other:
            yield one, other


async def published(node: ServiceFixture, name: str = "MESSAGE_CREATE") -> list[Event]:
    """The events of both services since the last call, in the order in which they are passed on."""
    bodies: list[bytes] = []

    async def append(events: Sequence[tuple[int | None, bytes]]) -> None:
        bodies.extend(body for _, body in events)

    while await node.service.store.pass_on_events(append):
        pass
    entries = [decode_entry(body) for body in bodies]
    return [entry.event for entry in entries if isinstance(entry, EntryOfEvent) and entry.name == name]


async def test_both_start_with_the_same_guild(nodes: Nodes) -> None:
    one, other = nodes
    assert one.service.default_guild == other.service.default_guild


async def test_a_nonce_is_stored_once_whichever_service_gets_it(nodes: Nodes) -> None:
    ann = await nodes[0].person("ann")
    channel = await nodes[1].general(ann)
    for n in range(5):
        sent = (node.say(ann, channel, "once", nonce=str(n), enforce_nonce=True) for node in nodes * 3)
        assert len({message["id"] for message in await asyncio.gather(*sent)}) == 1
    assert len(await nodes[0].service.messages.history(ann, channel)) == 5
    heard = [event.data["id"] for event in await published(nodes[1])]
    assert len(heard) == len(set(heard)) == 5


async def test_ids_of_a_channel_grow_although_one_clock_is_behind(nodes: Nodes) -> None:
    nodes[1].clock.now -= 3600
    ann = await nodes[0].person("ann")
    channel = await nodes[0].general(ann)
    ids = [int((await nodes[n % 2].say(ann, channel, str(n)))["id"]) for n in range(6)]
    assert ids == sorted(set(ids))
    newest = ids[-1]
    await nodes[0].service.messages.delete(ann, channel, newest)
    assert int((await nodes[1].say(ann, channel, "after one that was deleted"))["id"]) > newest
    read = [int(message["id"]) for message in await nodes[1].service.messages.history(ann, channel)]
    assert read == sorted(read, reverse=True)


async def test_events_of_both_services_come_in_the_order_of_ids_and_none_twice(nodes: Nodes) -> None:
    ann = await nodes[0].person("ann")
    channel = await nodes[0].general(ann)
    sent = await asyncio.gather(*(nodes[n % 2].say(ann, channel, str(n)) for n in range(60)))
    heard = [int(event.data["id"]) for event in await published(nodes[0])]
    assert heard == sorted(int(message["id"]) for message in sent)
    newest = (await nodes[1].service.channels.get(ann, channel))["last_message_id"]
    assert int(newest) == max(int(message["id"]) for message in sent)


async def test_members_that_join_at_one_service_receive_what_the_other_publishes(nodes: Nodes) -> None:
    one, other = nodes
    ann = await one.person("ann")
    channel = await other.general(ann)
    await other.say(ann, channel, "alone")
    assert [event.recipients for event in await published(one)] == [{ann.user_id}]
    bob = await one.person("bob")
    await other.say(ann, channel, "hello")
    assert [event.recipients for event in await published(one)] == [{ann.user_id, bob.user_id}]
    await one.service.guilds.remove(bob, one.service.default_guild, bob.user_id)
    await other.say(ann, channel, "gone")
    assert [event.recipients for event in await published(one)] == [{ann.user_id}]


async def test_a_name_is_given_once_and_the_default_guild_has_one_owner(nodes: Nodes) -> None:
    results = await asyncio.gather(*(node.person("ann") for node in nodes * 4), return_exceptions=True)
    assert sum(isinstance(result, Account) for result in results) == 1
    refused = [result for result in results if not isinstance(result, Account)]
    assert all(isinstance(error, ApiError) and "username" in (error.errors or {}) for error in refused)
    people = await asyncio.gather(*(nodes[n % 2].person(f"person {n}") for n in range(6)))
    guild = await nodes[0].service.guilds.get(people[0], nodes[0].service.default_guild)
    assert guild["approximate_member_count"] == 7


async def test_two_people_have_one_dm(nodes: Nodes) -> None:
    ann, bob = await nodes[0].person("ann"), await nodes[1].person("bob")
    opened = await asyncio.gather(*(node.dm(*pair) for node in nodes for pair in ((ann, bob), (bob, ann))))
    assert len(set(opened)) == 1


async def test_a_channel_that_is_deleted_while_others_write_to_it(nodes: Nodes) -> None:
    one, other = nodes
    ann = await one.person("ann")
    made = await one.service.channels.create(ann, one.service.default_guild, {"name": "short"})
    channel = int(made["id"])

    async def write(n: int) -> Any:
        return await other.say(ann, channel, str(n))

    writing = asyncio.gather(*(write(n) for n in range(20)), return_exceptions=True)
    await one.service.channels.delete(ann, channel)
    unknown = [error for error in await writing if isinstance(error, BaseException)]
    assert all(isinstance(error, ApiError) and error.code == 10003 for error in unknown)


async def test_one_of_two_processes_is_killed_and_nothing_acknowledged_is_lost_or_doubled(
    postgresql: PostgresqlServer,
) -> None:
    with postgresql.place() as url:
        async with running_service(url, shared=True) as world:
            ann = await world.person("ann")
            channel = await world.general(ann)
            acknowledged: dict[int, str] = {}
            # Both send the same nonces.
            killed, other = await asyncio.gather(*(start_writer(url, channel, 0, shared=True) for _ in range(2)))
            async with asyncio.timeout(40):
                await asyncio.gather(*(read_acknowledged(one, acknowledged, 20) for one in (killed, other)))
                killed.kill()
                await asyncio.gather(
                    read_acknowledged(killed, acknowledged), read_acknowledged(other, acknowledged, 20)
                )
                other.kill()
                await read_acknowledged(other, acknowledged)
                await asyncio.gather(killed.wait(), other.wait())
            await check_stored(world, ann, channel, acknowledged)
