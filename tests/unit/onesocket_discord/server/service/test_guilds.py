"""Guilds, channels, members and invites: permissions, and the recipients of events."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import insert

from onesocket_discord.server._ports import Account, Directory
from onesocket_discord.server.service import ChatService
from onesocket_discord.server.store import UnitOfWork
from onesocket_discord.server.store._tables import members, users
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, expect_api_error, running_service

Action = Callable[[ChatService, Account, dict[str, int]], Awaitable[Any]]

# Each row: an action, and what happens to a member, and to an outsider, who tries it. The owner may do all.
MATRIX: dict[str, tuple[Action, tuple[int, int] | None, tuple[int, int]]] = {
    "see guild": (lambda s, a, at: s.guilds.get(a, at["guild"]), None, (403, 50001)),
    "see channels": (lambda s, a, at: s.channels.of_guild(a, at["guild"]), None, (403, 50001)),
    "see members": (lambda s, a, at: s.guilds.members(a, at["guild"]), None, (403, 50001)),
    "see channel": (lambda s, a, at: s.channels.get(a, at["channel"]), None, (403, 50001)),
    "read": (lambda s, a, at: s.messages.history(a, at["channel"]), None, (403, 50001)),
    "read one": (lambda s, a, at: s.messages.get(a, at["channel"], at["message"]), None, (403, 50001)),
    "write": (lambda s, a, at: s.messages.post(a, at["channel"], {"content": "x"}), None, (403, 50001)),
    "type": (lambda s, a, at: s.channels.type_in(a, at["channel"]), None, (403, 50001)),
    "ack": (lambda s, a, at: s.channels.acknowledge(a, at["channel"], at["message"]), None, (403, 50001)),
    "react": (lambda s, a, at: s.reactions.add(a, at["channel"], at["message"], "👍"), None, (403, 50001)),
    "see pins": (lambda s, a, at: s.pins.all(a, at["channel"]), None, (403, 50001)),
    "invite": (lambda s, a, at: s.invites.create(a, at["channel"], {}), None, (403, 50001)),
    "pin another's": (
        lambda s, a, at: s.pins.set(a, at["channel"], at["message"], pinned=True),
        (403, 50013),
        (403, 50001),
    ),
    "delete another's": (
        lambda s, a, at: s.messages.delete(a, at["channel"], at["message"]),
        (403, 50013),
        (403, 50001),
    ),
    "clear reactions": (
        lambda s, a, at: s.reactions.clear(a, at["channel"], at["message"]),
        (403, 50013),
        (403, 50001),
    ),
    "rename guild": (lambda s, a, at: s.guilds.edit(a, at["guild"], {"name": "new"}), (403, 50013), (403, 50001)),
    "make channel": (lambda s, a, at: s.channels.create(a, at["guild"], {"name": "c"}), (403, 50013), (403, 50001)),
    "edit channel": (lambda s, a, at: s.channels.edit(a, at["channel"], {"name": "c"}), (403, 50013), (403, 50001)),
    "delete channel": (lambda s, a, at: s.channels.delete(a, at["channel"]), (403, 50013), (403, 50001)),
    "kick": (lambda s, a, at: s.guilds.remove(a, at["guild"], at["other"]), (403, 50013), (403, 50001)),
    "add bot": (lambda s, a, at: s.guilds.add_bot(a, at["guild"], at["bot"]), (403, 50013), (403, 50001)),
    "delete guild": (lambda s, a, at: s.guilds.delete(a, at["guild"]), (403, 50013), (403, 50001)),
    "guild commands": (lambda s, a, at: s.commands.all(a, a.user_id, at["guild"]), (403, 20012), (403, 20012)),
}


async def private_guild(world: ServiceFixture) -> tuple[Account, Account, Account, dict[str, int]]:
    """A guild with an owner and two members, and an account outside."""
    owner, member, other, outsider = [await world.person(name) for name in ("olga", "member", "other", "stranger")]
    bot = await world.bot("helper")
    guild = await world.service.guilds.create(owner, {"name": "private"})
    channel = int(guild["channels"][0]["id"])
    invite = await world.service.invites.create(owner, channel, {})
    for account in (member, other):
        await world.service.invites.accept(account, invite["code"])
    message = await world.say(other, channel, "hello")
    at = {"guild": int(guild["id"]), "channel": channel, "message": int(message["id"])}
    world.heard.take()
    return owner, member, outsider, {**at, "other": other.user_id, "bot": bot.user_id}


@pytest.mark.parametrize("name", MATRIX)
async def test_who_may_do_what(name: str) -> None:
    action, to_member, to_outsider = MATRIX[name]
    async with running_service() as world:
        owner, member, outsider, at = await private_guild(world)
        with expect_api_error(*to_outsider):
            await action(world.service, outsider, at)
        if to_member is not None:
            with expect_api_error(*to_member):
                await action(world.service, member, at)
            assert world.heard.events == []
        else:
            await action(world.service, member, at)
        if name != "guild commands":
            await action(world.service, owner, at)


@pytest.mark.parametrize("name", [name for name in MATRIX if name != "guild commands"])
async def test_what_does_not_exist_is_unknown(name: str) -> None:
    async with running_service() as world:
        owner, _, _, at = await private_guild(world)
        with expect_api_error(404, 10004 if "guild" in name or name in GUILD_ACTIONS else 10003):
            await MATRIX[name][0](world.service, owner, dict.fromkeys(at, 1))


GUILD_ACTIONS = {"see channels", "see members", "make channel", "kick", "add bot"}


async def test_the_gateway_is_given_the_whole_world() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        bot = await world.bot("helper")
        channel = await world.general(ann)
        await world.dm(ann, bob)
        posted = await world.say(ann, channel, "x")
        world.heard.statuses[bob.user_id] = "idle"
        directory: Directory = world.service
        welcome = await directory.ready_data(ann)
        assert {"id", "username", "discriminator", "avatar", "verified"} <= set(welcome.user)
        (guild,) = welcome.guilds
        required = (
            "id name owner_id preferred_locale roles channels members presences unavailable joined_at member_count"
        )
        assert set(required.split()) <= set(guild)
        assert {"id", "name", "color", "colors", "position", "permissions"} <= set(guild["roles"][0])
        assert {"id", "type", "name", "position"} <= set(guild["channels"][0])
        assert all({"user", "roles", "flags"} <= set(member) for member in guild["members"])
        assert guild["member_count"] == 3
        assert [(one["user"]["id"], one["status"]) for one in guild["presences"]] == [(str(bob.user_id), "idle")]
        assert [one["recipients"][0]["username"] for one in welcome.private_channels] == ["bob"]
        state = {"id": str(channel), "last_message_id": posted["id"], "mention_count": 0}
        assert welcome.read_states == [state]
        for_bot = await directory.ready_data(bot)
        assert (for_bot.private_channels, for_bot.read_states) == ((), ())
        assert for_bot.application["id"] == str(bot.user_id)
        found = await directory.members(ann, world.service.default_guild, None)
        assert found is not None
        assert [one["user"]["username"] for one in found] == ["ann", "bob", "helper"]
        some = await directory.members(ann, world.service.default_guild, [bot.user_id, 1])
        assert some is not None
        assert [one["user"]["username"] for one in some] == ["helper"]
        assert await directory.members(ann, 1, None) is None
        everybody = frozenset({ann.user_id, bob.user_id, bot.user_id})
        assert await directory.members_by_guild(ann.user_id) == {world.service.default_guild: everybody}


async def test_whoever_leaves_hears_nothing_more() -> None:
    async with running_service() as world:
        owner, member, _, at = await private_guild(world)
        await world.service.guilds.remove(member, at["guild"], member.user_id)
        removed, deleted = world.heard.take()
        assert (removed.name, set(removed.recipients)) == ("GUILD_MEMBER_REMOVE", {owner.user_id, at["other"]})
        assert (deleted.name, set(deleted.recipients)) == ("GUILD_DELETE", {member.user_id})
        await world.say(owner, at["channel"], "gone?")
        assert member.user_id not in world.heard.one("MESSAGE_CREATE").recipients
        with expect_api_error(403, 50001):
            await world.say(member, at["channel"], "still here")
        with expect_api_error(404, 10007):
            await world.service.guilds.remove(owner, at["guild"], member.user_id)
        with expect_api_error(404, 10007):
            await world.service.guilds.member(owner, at["guild"], member.user_id)
        with expect_api_error(404, 10013):
            await world.service.guilds.member(owner, at["guild"], 1)
        with expect_api_error(400, 50055):
            await world.service.guilds.remove(owner, at["guild"], owner.user_id)


async def test_people_are_invited_and_bots_are_added() -> None:
    async with running_service() as world:
        owner, member, outsider, at = await private_guild(world)
        with expect_api_error(403, 50013):
            await world.service.guilds.add_bot(owner, at["guild"], outsider.user_id)
        with expect_api_error(403, 50001):
            await world.service.guilds.enter(outsider, at["guild"])
        invite = await world.service.invites.create(member, at["channel"], {"max_uses": 1})
        made = world.heard.one("INVITE_CREATE")
        assert (made.data["code"], made.data["guild_id"]) == (invite["code"], str(at["guild"]))
        bot = await world.account((await world.service.accounts.renew_bot_token("helper"))[0])
        with expect_api_error(403, 20001):
            await world.service.invites.accept(bot, invite["code"])
        assert (await world.service.invites.get(invite["code"]))["guild"]["name"] == "private"
        world.heard.take()
        assert (await world.service.invites.accept(outsider, invite["code"]))["new_member"]
        added, created = world.heard.take()
        assert (added.name, set(added.recipients)) == ("GUILD_MEMBER_ADD", {owner.user_id, member.user_id, at["other"]})
        assert (created.name, set(created.recipients)) == ("GUILD_CREATE", {outsider.user_id})
        assert created.data["member_count"] == 4
        with expect_api_error(404, 10006):  # used up
            await world.service.invites.accept(outsider, invite["code"])
        world.heard.take()
        await world.service.guilds.add_bot(owner, at["guild"], bot.user_id)
        assert [event.name for event in world.heard.take()] == ["GUILD_MEMBER_ADD", "GUILD_CREATE"]


async def test_invites_end() -> None:
    async with running_service() as world:
        owner, member, outsider, at = await private_guild(world)
        short = (await world.service.invites.create(owner, at["channel"], {"max_age": 60}))["code"]
        lasting = (await world.service.invites.create(owner, at["channel"], {"max_age": 0}))["code"]
        world.clock.now += 60
        with expect_api_error(404, 10006):
            await world.service.invites.get(short)
        with expect_api_error(403, 50013):
            await world.service.invites.revoke(member, lasting)
        with expect_api_error(403, 50001):
            await world.service.invites.revoke(outsider, lasting)
        await world.service.invites.revoke(owner, lasting)
        with expect_api_error(404, 10006):
            await world.service.invites.accept(outsider, lasting)
        with expect_api_error(403, 50003):
            await world.service.invites.create(owner, await world.dm(owner, member), {})


async def test_the_default_guild_takes_everybody_back_and_stays() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        guild = world.service.default_guild
        await world.service.guilds.remove(bob, guild, bob.user_id)
        assert (await world.service.guilds.enter(bob, guild))["user"]["username"] == "bob"
        with expect_api_error(403, 50013):
            await world.service.guilds.delete(ann, guild)


async def test_channels_come_change_and_go() -> None:
    async with running_service() as world:
        owner, member, _, at = await private_guild(world)
        made = await world.service.channels.create(owner, at["guild"], {"name": "second", "topic": "t"})
        assert (made["position"], made["topic"], made["guild_id"]) == (1, "t", str(at["guild"]))
        event = world.heard.one("CHANNEL_CREATE")
        assert (event.intents, set(event.recipients)) == (1, {owner.user_id, member.user_id, at["other"]})
        edited = await world.service.channels.edit(owner, int(made["id"]), {"name": "2nd", "topic": None})
        assert (edited["name"], edited["topic"]) == ("2nd", None)
        await world.say(member, int(made["id"]), "x")
        world.heard.take()
        await world.service.channels.delete(owner, int(made["id"]))
        assert world.heard.one("CHANNEL_DELETE").data["id"] == made["id"]
        with expect_api_error(404, 10003):
            await world.service.messages.history(member, int(made["id"]))
        for body in ({}, {"name": ""}, {"name": "x", "type": 2}, {"name": "x", "type": True}, {"name": "a\0"}):
            with expect_api_error(400, 50035):
                await world.service.channels.create(owner, at["guild"], body)


async def test_a_deleted_guild_is_gone_for_all() -> None:
    async with running_service() as world:
        owner, member, _, at = await private_guild(world)
        await world.service.guilds.delete(owner, at["guild"])
        assert world.heard.one("GUILD_DELETE").recipients == {owner.user_id, member.user_id, at["other"]}
        with expect_api_error(404, 10004):
            await world.service.guilds.get(owner, at["guild"])
        with expect_api_error(404, 10003):
            await world.say(owner, at["channel"], "x")
        assert len((await world.service.ready_data(owner)).guilds) == 1


async def test_typing_is_told_and_not_stored() -> None:
    async with running_service() as world:
        owner, member, _, at = await private_guild(world)
        await world.service.channels.type_in(member, at["channel"])
        event = world.heard.one("TYPING_START")
        assert (event.intents, set(event.recipients)) == (1 << 11, {owner.user_id, member.user_id, at["other"]})
        assert event.data["member"]["user"]["id"] == event.data["user_id"] == str(member.user_id)
        await world.service.channels.type_in(member, await world.dm(owner, member))
        assert world.heard.one("TYPING_START").intents == 1 << 14


async def test_what_was_read_is_remembered_and_never_goes_back() -> None:
    async with running_service() as world:
        owner, member, _, at = await private_guild(world)
        newer = int((await world.say(owner, at["channel"], "x"))["id"])
        world.heard.take()
        for message in (newer, at["message"], newer):
            await world.service.channels.acknowledge(member, at["channel"], message)
        event = world.heard.one("MESSAGE_ACK")
        assert (set(event.recipients), event.data["message_id"]) == ({member.user_id}, str(newer))
        (state,) = (await world.service.ready_data(member)).read_states
        assert state["last_message_id"] == str(newer)


async def test_members_and_guilds_are_paged() -> None:
    async with running_service() as world:
        people = [await world.person(f"person {n}") for n in range(5)]
        guild = world.service.default_guild
        first = await world.service.guilds.members(people[0], guild, limit=2)
        rest = await world.service.guilds.members(people[0], guild, after=int(first[-1]["user"]["id"]), limit=100)
        assert [int(one["user"]["id"]) for one in first + rest] == [person.user_id for person in people]
        for name in ("second", "third"):
            await world.service.guilds.create(people[0], {"name": name})

        async def names(before: int | None, after: int | None) -> list[str]:
            mine = await world.service.guilds.mine(people[0], before=before, after=after, limit=1)
            return [one["name"] for one in mine]

        assert await names(None, None) == ["onesocket"]
        assert await names(None, guild) == ["second"]
        assert await names(2**63 - 1, None) == ["third"]


async def test_what_was_never_there_is_not_acknowledged() -> None:
    async with running_service() as world:
        owner, member, _, at = await private_guild(world)
        newest = int((await world.say(owner, at["channel"], "x"))["id"])
        await world.service.messages.delete(owner, at["channel"], newest)
        for future in (newest + 1, 2**62):
            with expect_api_error(404, 10008):
                await world.service.channels.acknowledge(member, at["channel"], future)
        assert (await world.service.ready_data(member)).read_states == []
        await world.service.channels.acknowledge(member, at["channel"], newest)  # deleted since it was seen
        (state,) = (await world.service.ready_data(member)).read_states
        assert state["last_message_id"] == str(newest)


async def test_no_guild_channel_role_or_command_is_without_a_name_that_can_be_seen() -> None:
    async with running_service() as world:
        owner, _, _, at = await private_guild(world)
        robo, s = await world.bot("robo"), world.service
        role = int((await s.roles.create(owner, at["guild"], {"name": "  two words "}))["id"])
        assert [one["name"] for one in await s.roles.all(owner, at["guild"])] == ["@everyone", "two words"]
        attempts: tuple[Callable[[dict[str, Any]], Awaitable[Any]], ...] = (
            lambda body: s.guilds.create(owner, body),
            lambda body: s.guilds.edit(owner, at["guild"], body),
            lambda body: s.channels.create(owner, at["guild"], body),
            lambda body: s.channels.edit(owner, at["channel"], body),
            lambda body: s.roles.create(owner, at["guild"], body),
            lambda body: s.roles.edit(owner, at["guild"], role, body),
            lambda body: s.commands.put(robo, robo.user_id, None, body),
        )
        for attempt in attempts:
            for name in ("", "   ", "\u3164\u3164", "\u200b\ufe0f"):
                with expect_api_error(400, 50035) as refused:
                    await attempt({"name": name})
                assert list(refused.value.errors or ()) == ["name"]


async def test_a_guild_that_is_large_for_everybody_begins_with_those_who_are_there() -> None:
    async with running_service() as world:
        ann, guild = await world.person("ann"), world.service.default_guild
        crowd = range(1000, 1250)

        async def fill(work: UnitOfWork) -> None:
            rows = [{"id": n, "username": f"{n}", "username_key": f"{n}", "bot": False} for n in crowd]
            await work.execute(insert(users).values(rows))
            joined = [{"guild_id": guild, "user_id": n, "joined_at": 0.0} for n in crowd]
            await work.execute(insert(members).values(joined))

        await world.service.store.write(fill)
        world.heard.statuses[1001] = "online"
        (shown,) = (await world.service.ready_data(ann)).guilds
        assert (shown["member_count"], len(shown["presences"])) == (251, 1)
        assert {one["user"]["id"] for one in shown["members"]} == {str(ann.user_id), "1001"}
