"""The mentions that READY counts, on both kinds of database."""

import pytest

from onesocket_discord.server._ports import Account
from onesocket_discord.server.service import _read_states
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, running_service


async def mentions(world: ServiceFixture, account: Account) -> dict[str, int]:
    return {one["id"]: one["mention_count"] for one in (await world.service.ready_data(account)).read_states}


async def test_mentions_from_before_signing_in_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        channel = await world.general(ann)
        direct = await world.dm(ann, bob)
        await world.say(bob, channel, "read")
        read = await world.say(bob, channel, f"read, too <@{ann.user_id}>")
        await world.service.channels.acknowledge(ann, channel, int(read["id"]))
        await world.say(bob, channel, f"one <@{ann.user_id}> <@{bob.user_id}>")
        await world.say(bob, channel, "@everyone")
        await world.say(bob, channel, "nobody, <@1>, and @ann is no mention")
        await world.say(bob, direct, "psst")
        await world.say(bob, direct, "hey")
        assert await mentions(world, ann) == {str(channel): 2, str(direct): 2}
        # One's own messages mention nobody, and read the channel.
        assert await mentions(world, bob) == {str(channel): 0, str(direct): 0}
        await world.say(ann, direct, "yes?")
        assert await mentions(world, ann) == {str(channel): 2, str(direct): 0}
        assert await mentions(world, bob) == {str(channel): 0, str(direct): 1}
        # A login reads only the newest part of a long history.
        monkeypatch.setattr(_read_states, "MAX_COUNTED", 2)
        assert await mentions(world, ann) == {str(channel): 1, str(direct): 0}


async def test_mentions_by_somebody_who_is_blocked_are_not_counted() -> None:
    async with running_service() as world:
        ann, bob, cat = [await world.person(name) for name in ("ann", "bob", "cat")]
        channel, direct = await world.general(ann), await world.dm(ann, bob)
        for who in (bob, cat):
            await world.say(who, channel, f"hey <@{ann.user_id}> @everyone")
        await world.say(bob, direct, "psst")
        await world.service.relationships.put(ann, bob.user_id, {"type": 2})
        assert await mentions(world, ann) == {str(channel): 1}
        await world.service.relationships.delete(ann, bob.user_id)
        assert await mentions(world, ann) == {str(channel): 2, str(direct): 1}


async def test_a_mention_in_a_channel_that_was_never_read() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        channel = await world.general(ann)
        assert await mentions(world, ann) == {}
        await world.say(bob, channel, f"welcome <@{ann.user_id}>")
        (state,) = (await world.service.ready_data(ann)).read_states
        assert state == {"id": str(channel), "last_message_id": "0", "mention_count": 1}
