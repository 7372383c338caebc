"""Bots: what they may read without MESSAGE_CONTENT, and who may add them to a guild."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from onesocket_discord.protocol._intents import Intents
from onesocket_discord.server._management import manage_service
from onesocket_discord.server._ports import Account
from onesocket_discord.server.service._attachments import UploadedFile
from onesocket_discord.server.service._search import MessageQuery
from onesocket_discord.server.store._tables import users
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, expect_api_error, running_service

EMBED = {"title": "an embed"}


async def blind_bot(world: ServiceFixture, name: str = "robo", **settings: Any) -> Account:
    token, _ = await world.service.accounts.create_bot(name, denied_intents=Intents.MESSAGE_CONTENT, **settings)
    return await world.account(token)


def contents(found: object) -> Iterator[str]:
    """Every content, also of what a message replies to or forwards."""
    if isinstance(found, dict):
        if "content" in found:
            yield found["content"]
        found = list(found.values())
    for one in found if isinstance(found, list) else ():
        yield from contents(one)


# Each row: a way to read a channel by HTTP.
READERS: dict[str, Callable[[ServiceFixture, Account, int, int, int], Awaitable[Any]]] = {
    "list": lambda w, a, channel, _, __: w.service.messages.history(a, channel),
    "one": lambda w, a, channel, message, _: w.service.messages.get(a, channel, message),
    "pins": lambda w, a, channel, _, __: w.service.pins.all(a, channel),
    "search channel": lambda w, a, channel, _, author: w.service.search.in_channel(
        a, channel, MessageQuery(author_id=author)
    ),
    "search guild": lambda w, a, _, __, author: w.service.search.in_guild(
        a, w.service.default_guild, MessageQuery(author_id=author)
    ),
    "reply": lambda w, a, channel, message, _: w.say(
        a, channel, "", embeds=[EMBED], message_reference={"message_id": str(message)}
    ),
    "forward": lambda w, a, channel, message, _: w.say(
        a, channel, "", message_reference={"type": 1, "channel_id": str(channel), "message_id": str(message)}
    ),
}


@pytest.mark.parametrize("way", READERS)
async def test_a_bot_without_message_content_reads_it_by_no_request(way: str) -> None:
    async with running_service() as world:
        ann, robo, other = await world.person("ann"), await blind_bot(world), await world.bot("seer")
        channel = await world.general(ann)
        file = UploadedFile(0, "a.txt", "text/plain", b"x")
        said = await world.service.messages.post(ann, channel, {"content": "secret", "embeds": [EMBED]}, [file])
        message = int(said["id"])
        await world.service.pins.set(ann, channel, message, pinned=True)
        at = (channel, message, ann.user_id)
        assert "secret" in list(contents(await READERS[way](world, other, *at)))
        assert "secret" in list(contents(await READERS[way](world, ann, *at)))
        read = await READERS[way](world, robo, *at)
        assert set(contents(read)) <= {""}
        assert "a.txt" not in str(read)
        assert str(read).count("an embed") == (way == "reply")  # its own


async def test_a_bot_without_message_content_reads_its_own_where_it_is_mentioned_and_direct_messages() -> None:
    async with running_service() as world:
        ann, robo = await world.person("ann"), await blind_bot(world)
        channel = await world.general(ann)
        mine = await world.say(robo, channel, "of robo")
        to_me = await world.say(ann, channel, f"<@{robo.user_id}> look")
        secret = await world.say(ann, channel, "secret")
        await world.say(ann, channel, "a reply", message_reference={"message_id": secret["id"]})
        reply = {"message_reference": {"message_id": mine["id"]}, "allowed_mentions": {"parse": []}}
        await world.say(ann, channel, "a reply", **reply)
        history = await world.service.messages.history(robo, channel)
        assert [one["content"] for one in reversed(history)] == ["of robo", to_me["content"], "", "", ""]
        assert [one["referenced_message"]["content"] for one in history[:2]] == ["of robo", ""]
        edited = await world.service.messages.edit(robo, channel, int(mine["id"]), {"content": "edited"})
        assert edited["content"] == "edited"
        dm = await world.dm(ann, robo)
        await world.say(ann, dm, "in private")
        assert [one["content"] for one in await world.service.messages.history(robo, dm)] == ["in private"]
        # A search by a text would tell what is in it.
        found = await world.service.search.in_channel(robo, channel, MessageQuery(content="e"))
        assert [one["content"] for (one,) in found["messages"]] == ["edited"]
        found = await world.service.search.in_guild(robo, world.service.default_guild, MessageQuery(content="look"))
        assert [one["id"] for (one,) in found["messages"]] == [to_me["id"]]
        assert (await world.service.search.in_channel(robo, dm, MessageQuery(content="priv")))["total_results"] == 1


async def test_a_bot_without_message_content_reads_nothing_that_it_forwards_into_a_direct_message() -> None:
    async with running_service() as world:
        ann, robo, other = await world.person("ann"), await blind_bot(world), await blind_bot(world, "other")
        channel = await world.general(ann)
        secret = await world.say(ann, channel, "secret")
        forward = {"message_reference": {"type": 1, "channel_id": str(channel), "message_id": secret["id"]}}
        for reader in (ann, other):
            dm = await world.dm(robo, reader)
            assert "secret" not in str(await world.say(robo, dm, "", **forward))
            assert "secret" not in str(await world.service.messages.history(robo, dm))
            history = await world.service.messages.history(reader, dm)
            assert ("secret" in str(history)) == (reader is ann)
        dm = await world.dm(ann, robo)
        await world.say(ann, dm, "", **forward)  # she shows it to the bot
        assert "secret" in str((await world.service.messages.history(robo, dm, limit=1))[0])


async def test_the_events_of_a_bot_without_message_content_have_the_whole_message() -> None:
    async with running_service() as world:
        ann, robo = await world.person("ann"), await blind_bot(world)
        channel = await world.general(ann)
        secret = await world.say(ann, channel, "secret")
        world.heard.take()
        await world.say(robo, channel, "why?", message_reference={"message_id": secret["id"]})
        assert world.heard.one("MESSAGE_CREATE").data["referenced_message"]["content"] == "secret"


async def test_intents_are_the_flags_of_an_application_and_can_be_changed() -> None:
    async with running_service() as world:
        ann, robo = await world.person("ann"), await world.bot("robo")
        service, channel = world.service, await world.general(ann)
        await world.say(ann, channel, "secret")
        assert (await service.bots.application(robo))["flags"] == 1 << 12 | 1 << 14 | 1 << 18
        await service.guilds.members(robo, service.default_guild)
        denied = Intents.MESSAGE_CONTENT | Intents.GUILD_MEMBERS
        await service.bots.edit("ROBO", public=False)
        assert world.heard.invalidated == []
        await service.bots.edit("ROBO", denied_intents=int(denied))
        assert world.heard.invalidated == [robo.user_id]
        token, _ = await service.accounts.renew_bot_token("robo")
        robo = await world.account(token)
        assert (await service.bots.application(robo))["flags"] == 1 << 12
        assert (await service.ready_data(robo)).application["flags"] == 1 << 12
        assert [one["content"] for one in await service.messages.history(robo, channel)] == [""]
        with expect_api_error(403, 50001):
            await service.guilds.members(robo, service.default_guild)
        await service.accounts.rename(robo, {"username": "renamed"})
        assert (await world.account(token)).denied_intents == denied
        await service.bots.edit("renamed", denied_intents=0)
        assert (await world.account(token)).denied_intents == 0  # what is remembered of it was forgotten
        assert len(world.heard.invalidated) == 1  # it has lost none
        for name in ("ann", "nobody", "onesocket"):
            with expect_api_error(400, 50035):
                await service.bots.edit(name, public=True)


async def test_a_bot_that_is_not_public_is_added_by_its_owner_alone() -> None:
    async with running_service() as world:
        ann, eve = await world.person("ann"), await world.person("eve")
        guilds, accounts = world.service.guilds, world.service.accounts
        mine, hers = [int((await guilds.create(who, {"name": "a guild"}))["id"]) for who in (ann, eve)]
        robo = await blind_bot(world, "robo", owner=ann.user_id, public=False)
        helper = await world.bot("helper", ann)
        assert [(await world.service.bots.application(bot))["bot_public"] for bot in (robo, helper)] == [False, True]
        with expect_api_error(403, 20012):
            await guilds.add_bot(eve, hers, robo.user_id)
        await guilds.add_bot(ann, mine, robo.user_id)
        await guilds.add_bot(eve, hers, helper.user_id)
        await world.service.bots.edit("helper", public=False, owner=eve.user_id)
        with expect_api_error(403, 20012):
            await guilds.add_bot(ann, mine, helper.user_id)
        await accounts.remove("helper")
        async with world.service.store.reading() as connection:
            caretaker = await connection.scalar(select(users.c.id).where(users.c.owner_id == users.c.id))
        assert caretaker is not None
        for gone in (helper.user_id, caretaker):
            with expect_api_error(403, 20012):
                await guilds.add_bot(eve, hers, gone)


async def test_a_bot_is_owned_by_a_person() -> None:
    async with running_service() as world:
        ann, robo = await world.person("ann"), await world.bot("robo")
        for owner in ("robo", "onesocket", "nobody"):
            for what, name in (("bots/edit", "robo"), ("bots/add", "other")):
                with expect_api_error(400, 50035) as refused:
                    await manage_service(world.service, what, {"name": name, "owner": owner})
                assert f"There is no person called '{owner}'" in str(refused.value.errors)
        await manage_service(world.service, "bots/edit", {"name": "robo", "owner": "ANN"})
        assert (await world.service.bots.application(robo))["owner"]["id"] == str(ann.user_id)
        assert {"robo", "ann"} == {one["username"] for one in await world.service.accounts.list_accounts()}


async def test_a_bot_sees_in_the_guild_that_it_begins_with_or_joins_what_its_intents_allow() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        world.heard.statuses[ann.user_id] = "online"
        guild = int((await world.service.guilds.create(ann, {"name": "a guild"}))["id"])
        for denied, members, presences in (
            (0, 2, 1),
            (Intents.GUILD_MEMBERS, 1, 1),
            (Intents.GUILD_PRESENCES, 2, 0),
            (Intents.GUILD_MEMBERS | Intents.GUILD_PRESENCES, 1, 0),
        ):
            token, robo_id = await world.service.accounts.create_bot("robo", denied_intents=int(denied))
            world.heard.take()
            await world.service.guilds.add_bot(ann, guild, robo_id)
            joined = world.heard.one("GUILD_CREATE").data
            ready = await world.service.ready_data(await world.account(token))
            begun = next(one for one in ready.guilds if one["id"] == str(guild))
            for shown in (joined, begun):
                assert (len(shown["members"]), len(shown["presences"])) == (members, presences)
                assert str(robo_id) in [member["user"]["id"] for member in shown["members"]]
                assert shown["member_count"] == 2
            await world.service.accounts.remove("robo")
