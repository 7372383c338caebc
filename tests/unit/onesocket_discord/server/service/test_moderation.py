"""Roles, bans, blocked users and reports: who may do what to whom, and who is told."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from onesocket_discord.protocol._intents import Intents
from onesocket_discord.server._management import manage_service
from onesocket_discord.server._ports import Account
from onesocket_discord.server.service._permissions import Permission
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, expect_api_error, running_service


@dataclass
class Club:
    """A guild with its owner, a moderator with a role, and a member."""

    world: ServiceFixture
    owner: Account
    moderator: Account
    member: Account
    id: int
    channel: int
    role: int

    async def join(self, account: Account) -> None:
        made = await self.world.service.invites.create(self.owner, self.channel, {})
        await self.world.service.invites.accept(account, made["code"])

    async def role_of(self, *permissions: Permission, name: str = "role") -> int:
        bits = sum(permissions)
        body = {"name": name, "permissions": str(int(bits))}
        return int((await self.world.service.roles.create(self.owner, self.id, body))["id"])

    async def give(self, account: Account, role: int) -> None:
        await self.world.service.roles.give(self.owner, self.id, account.user_id, role, given=True)


async def make_club(world: ServiceFixture, *permissions: Permission) -> Club:
    owner, moderator, member = [await world.person(name) for name in ("olga", "maud", "mike")]
    guild = await world.service.guilds.create(owner, {"name": "club"})
    club = Club(world, owner, moderator, member, int(guild["id"]), int(guild["channels"][0]["id"]), 0)
    for account in (moderator, member):
        await club.join(account)
    club.role = await club.role_of(*permissions)
    await club.give(moderator, club.role)
    world.heard.take()
    return club


# Each row: a permission, and what it lets a member do that it didn't before.
MATRIX: dict[Permission, Callable[[Club, Account, dict[str, int]], Awaitable[Any]]] = {
    Permission.KICK_MEMBERS: lambda c, a, at: c.world.service.guilds.remove(a, c.id, at["peer"]),
    Permission.BAN_MEMBERS: lambda c, a, at: c.world.service.bans.ban(a, c.id, at["peer"], {}, reason=None),
    Permission.MANAGE_CHANNELS: lambda c, a, _: c.world.service.channels.create(a, c.id, {"name": "x"}),
    Permission.MANAGE_GUILD: lambda c, a, _: c.world.service.guilds.edit(a, c.id, {"name": "new name"}),
    Permission.MANAGE_MESSAGES: lambda c, a, at: c.world.service.messages.delete(a, c.channel, at["message"]),
    Permission.MANAGE_ROLES: lambda c, a, _: c.world.service.roles.create(a, c.id, {"permissions": "0"}),
}


@pytest.mark.parametrize("permission", MATRIX, ids=lambda one: one.name)
async def test_a_permission_is_what_lets_a_member_do_it(permission: Permission) -> None:
    async with running_service() as world:
        club = await make_club(world, permission)
        message = int((await world.say(club.owner, club.channel, "x"))["id"])
        peer = await world.person("petra")
        await club.join(peer)
        at = {"message": message, "peer": peer.user_id}
        with expect_api_error(403, 50013):
            await MATRIX[permission](club, club.member, at)
        await MATRIX[permission](club, club.moderator, at)
        listed = await world.service.guilds.mine(club.moderator)
        mine = next(one for one in listed if one["id"] == str(club.id))
        assert int(mine["permissions"]) & permission


async def test_roles_are_told_in_guilds_members_and_messages() -> None:
    async with running_service() as world:
        club = await make_club(world, Permission.MANAGE_MESSAGES)
        role = str(club.role)
        (found,) = [one for one in (await world.service.ready_data(club.member)).guilds if one["id"] == str(club.id)]
        assert [one["id"] for one in found["roles"]] == [str(club.id), role]
        roles = {one["user"]["id"]: one["roles"] for one in found["members"]}
        assert roles == {str(club.owner.user_id): [], str(club.moderator.user_id): [role], str(club.member.user_id): []}
        await world.say(club.moderator, club.channel, "x")
        assert world.heard.one("MESSAGE_CREATE").data["member"]["roles"] == [role]
        lower = await club.role_of(name="lower")
        moved, made = world.heard.events
        assert (moved.name, moved.data["role"]["id"], moved.data["role"]["position"]) == ("GUILD_ROLE_UPDATE", role, 2)
        assert (made.name, made.data["role"]["id"], made.data["role"]["position"]) == (
            "GUILD_ROLE_CREATE",
            str(lower),
            1,
        )
        world.heard.take()
        await world.service.roles.delete(club.owner, club.id, club.role)
        changed, gone = world.heard.events
        assert (changed.name, changed.data["roles"]) == ("GUILD_MEMBER_UPDATE", [])
        assert (gone.name, gone.data["role_id"]) == ("GUILD_ROLE_DELETE", role)
        with expect_api_error(404, 10011):
            await world.service.roles.delete(club.owner, club.id, club.role)
        with expect_api_error(400, 50028):
            await world.service.roles.edit(club.owner, club.id, club.id, {"permissions": "8"})


async def test_nobody_raises_oneself_by_a_role() -> None:
    async with running_service() as world:
        club = await make_club(world, Permission.MANAGE_ROLES, Permission.KICK_MEMBERS)
        service, me = world.service.roles, club.moderator
        low = int((await service.create(me, club.id, {"permissions": "2"}))["id"])
        for attempt in (
            lambda: service.create(me, club.id, {"permissions": str(int(Permission.ADMINISTRATOR))}),
            lambda: service.edit(me, club.id, low, {"permissions": str(int(Permission.BAN_MEMBERS))}),
            lambda: service.edit(me, club.id, club.role, {"name": "mine"}),
            lambda: service.give(me, club.id, club.member.user_id, club.role, given=True),
            lambda: service.delete(me, club.id, club.role),
        ):
            with expect_api_error(403, 50013):
                await attempt()
        await service.give(me, club.id, club.member.user_id, low, given=True)
        with expect_api_error(400, 50035):
            await service.create(me, club.id, {"permissions": "-1"})


@pytest.mark.parametrize("permission", [Permission.ADMINISTRATOR, Permission.BAN_MEMBERS])
async def test_nobody_gives_a_lower_role_with_a_permission_that_they_lack(permission: Permission) -> None:
    async with running_service() as world:
        club = await make_club(world, Permission.MANAGE_ROLES)
        service, me = world.service.roles, club.moderator
        stronger = await club.role_of(permission)  # a new role is the lowest
        for account in (me, club.member):
            with expect_api_error(403, 50013):
                await service.give(me, club.id, account.user_id, stronger, given=True)
        await club.give(club.member, stronger)
        await service.give(me, club.id, club.member.user_id, stronger, given=False)


async def test_moderators_reach_nobody_beside_or_above_them() -> None:
    async with running_service() as world:
        club = await make_club(world, Permission.BAN_MEMBERS, Permission.KICK_MEMBERS)
        peer = await world.person("petra")
        await club.join(peer)
        await club.give(peer, club.role)
        for target in (club.owner, peer, club.moderator):
            with expect_api_error(403, 50013):
                await world.service.bans.ban(club.moderator, club.id, target.user_id, {}, reason=None)
        with expect_api_error(403, 50013):
            await world.service.guilds.remove(club.moderator, club.id, club.owner.user_id)
        with expect_api_error(403, 50013):
            await world.service.bans.ban(club.owner, club.id, club.owner.user_id, {}, reason=None)
        assert await world.service.bans.all(club.owner, club.id) == []


async def test_a_ban_ends_the_membership_and_holds() -> None:
    async with running_service() as world:
        club = await make_club(world, Permission.BAN_MEMBERS)
        made = await world.service.invites.create(club.member, club.channel, {})
        await world.service.bans.ban(club.moderator, club.id, club.member.user_id, {}, reason="loud")
        events = {event.name: event for event in world.heard.events}
        banned = events["GUILD_BAN_ADD"]
        assert banned.data == {"guild_id": str(club.id), "user": banned.data["user"]}
        assert (banned.data["user"]["username"], banned.intents) == ("mike", Intents.GUILD_MODERATION)
        assert banned.recipients == {club.owner.user_id, club.moderator.user_id}
        assert events["GUILD_DELETE"].recipients == {club.member.user_id}
        assert "GUILD_MEMBER_REMOVE" in events
        with expect_api_error(404, 10006):
            await world.service.invites.get(made["code"])
        with expect_api_error(403, 40007):
            await club.join(club.member)
        ban = await world.service.bans.get(club.moderator, club.id, club.member.user_id)
        assert (ban["reason"], ban["user"]["username"]) == ("loud", "mike")
        world.heard.take()
        await world.service.bans.ban(club.owner, club.id, club.member.user_id, {}, reason="very loud")
        assert world.heard.take() == []
        assert [one["reason"] for one in await world.service.bans.all(club.owner, club.id)] == ["very loud"]
        await world.service.bans.lift(club.moderator, club.id, club.member.user_id)
        assert world.heard.one("GUILD_BAN_REMOVE").data["user"]["username"] == "mike"
        for again in (world.service.bans.lift, world.service.bans.get):
            with expect_api_error(404, 10026):
                await again(club.moderator, club.id, club.member.user_id)
        await club.join(club.member)


async def test_a_ban_deletes_messages_of_a_time_and_only_of_that_guild() -> None:
    async with running_service() as world:
        club = await make_club(world, Permission.BAN_MEMBERS)
        await world.say(club.member, club.channel, "old")
        world.clock.now += 3600
        await world.say(club.owner, club.channel, "of the owner")
        other = await world.general(club.member)
        await world.say(club.member, other, "elsewhere")
        for n in range(102):
            await world.say(club.member, club.channel, f"new {n}")
        world.heard.take()
        body = {"delete_message_seconds": 60}
        await world.service.bans.ban(club.moderator, club.id, club.member.user_id, body, reason=None)
        deleted = world.heard.take("MESSAGE_DELETE_BULK")
        assert [len(event.data["ids"]) for event in deleted] == [100, 2]
        rest = await world.service.messages.history(club.owner, club.channel)
        assert [one["content"] for one in rest] == ["of the owner", "old"]
        channel = await world.service.channels.get(club.owner, club.channel)
        assert channel["last_message_id"] == rest[0]["id"]
        assert len(await world.service.messages.history(club.member, other)) == 1
        world.heard.take()
        again = {"delete_message_seconds": 7200}
        await world.service.bans.ban(club.moderator, club.id, club.member.user_id, again, reason="still there")
        assert [event.name for event in world.heard.take()] == ["MESSAGE_DELETE_BULK"]
        rest = await world.service.messages.history(club.owner, club.channel)
        assert [one["content"] for one in rest] == ["of the owner"]


async def test_a_ban_and_an_entry_at_the_same_time_leave_nobody_inside() -> None:
    async with running_service() as world:
        club = await make_club(world)
        made = await world.service.invites.create(club.owner, club.channel, {})
        eve = await world.person("eve")
        await asyncio.gather(
            world.service.bans.ban(club.owner, club.id, eve.user_id, {}, reason=None),
            world.service.invites.accept(eve, made["code"]),
            return_exceptions=True,
        )
        members = await world.service.guilds.members(club.owner, club.id, limit=10)
        assert "eve" not in [one["user"]["username"] for one in members]


async def test_the_servers_owner_makes_moderators() -> None:
    async with running_service() as world:
        await world.person("olga")
        maud, mike = [await world.person(name) for name in ("maud", "mike")]
        guild, roles = world.service.default_guild, world.service.roles
        for account in (maud, maud, mike):
            await roles.set_moderator(guild, account.user_id, is_one=True)
        (_, role) = await roles.all(maud, guild)
        assert (role["name"], role["hoist"]) == ("moderator", True)
        members = await world.service.guilds.members(maud, guild, limit=10)
        assert [one["roles"] for one in members] == [[], [role["id"]], [role["id"]]]
        await roles.set_moderator(guild, mike.user_id, is_one=False)
        await world.service.bans.ban(maud, guild, mike.user_id, {}, reason=None)
        with expect_api_error(404, 10007):
            await roles.set_moderator(guild, mike.user_id, is_one=True)


async def test_promoting_tells_what_the_role_was_given_beside() -> None:
    async with running_service() as world:
        olga, maud = [await world.person(name) for name in ("olga", "maud")]
        guild, roles = world.service.default_guild, world.service.roles
        assert (await manage_service(world.service, "users/promote", {"name": "maud"}))["added_permissions"] == []
        (_, role) = await roles.all(maud, guild)
        wide = int(role["permissions"]) | Permission.MANAGE_ROLES | 1 << 29  # webhooks, which this server has not
        await roles.edit(olga, guild, int(role["id"]), {"permissions": str(wide & ~Permission.BAN_MEMBERS)})
        assert await roles.set_moderator(guild, maud.user_id, is_one=True) == ["MANAGE_ROLES"]


async def test_the_moderators_role_is_known_by_no_name() -> None:
    async with running_service() as world:
        olga, maud, mike = [await world.person(name) for name in ("olga", "maud", "mike")]
        guild, roles = world.service.default_guild, world.service.roles
        strong = {"name": "moderator", "permissions": str(int(Permission.ADMINISTRATOR))}
        other = await roles.create(olga, guild, strong)
        with expect_api_error(400, 50035) as refused:
            await roles.set_moderator(guild, maud.user_id, is_one=False)
        assert "NOT_A_MODERATOR" in str(refused.value.errors)
        await roles.set_moderator(guild, maud.user_id, is_one=True)
        (_, role, _) = await roles.all(olga, guild)
        assert (role["name"], role["id"] != other["id"]) == ("moderator", True)
        await roles.edit(olga, guild, int(role["id"]), {"name": "helpers"})
        await roles.create(olga, guild, strong)
        await roles.set_moderator(guild, mike.user_id, is_one=True)
        for account in (maud, mike):
            assert (await world.service.guilds.member(olga, guild, account.user_id))["roles"] == [role["id"]]
            await roles.set_moderator(guild, account.user_id, is_one=False)
            assert (await world.service.guilds.member(olga, guild, account.user_id))["roles"] == []
        with expect_api_error(400, 50035):
            await roles.set_moderator(guild, mike.user_id, is_one=False)


# --- direct messages -----------------------------------------------------------------------------------------------


async def test_blocked_people_write_to_each_other_no_more() -> None:
    async with running_service() as world:
        club = await make_club(world)
        ann, bob = club.owner, club.member
        dm = await world.dm(ann, bob)
        first = await world.say(bob, dm, "hello")
        mine = int((await world.say(bob, dm, "of bob"))["id"])
        await world.service.pins.set(ann, dm, int(first["id"]), pinned=True)
        await world.service.reactions.add(bob, dm, mine, "👍")
        world.heard.take()
        await world.service.relationships.put(ann, bob.user_id, {"type": 2})
        event = world.heard.one("RELATIONSHIP_ADD")
        assert (event.data["id"], event.data["type"]) == (str(bob.user_id), 2)
        assert event.recipients == {ann.user_id}
        await world.service.relationships.put(ann, bob.user_id, {"type": 2})
        assert world.heard.take() == []
        (blocked,) = (await world.service.ready_data(ann)).relationships
        assert (blocked["user"]["username"], blocked["type"]) == ("mike", 2)
        assert (await world.service.ready_data(bob)).relationships == []
        for account in (ann, bob):
            with expect_api_error(403, 50007):
                await world.say(account, dm, "and now?")
            for pinned, message in ((True, mine), (False, int(first["id"]))):
                with expect_api_error(403, 50007):
                    await world.service.pins.set(account, dm, message, pinned=pinned)
            with expect_api_error(403, 90001):
                await world.service.reactions.add(account, dm, mine, "🎈")
            with expect_api_error(403, 50007):
                await world.service.channels.type_in(account, dm)
        with expect_api_error(403, 50007):
            await world.service.messages.edit(bob, dm, mine, {"content": "edited"})
        assert world.heard.take() == []
        await world.service.reactions.remove(bob, dm, mine, "👍", user_id=bob.user_id)  # one's own may go
        await world.service.messages.delete(bob, dm, mine)
        assert [event.name for event in world.heard.take()] == ["MESSAGE_REACTION_REMOVE", "MESSAGE_DELETE"]
        await world.say(bob, club.channel, "in the guild")
        await world.service.relationships.delete(ann, bob.user_id)
        assert world.heard.one("RELATIONSHIP_REMOVE").data["id"] == str(bob.user_id)
        await world.say(bob, dm, "again")


async def test_somebody_blocked_begins_no_conversation() -> None:
    async with running_service() as world:
        club = await make_club(world)
        await world.service.relationships.put(club.owner, club.member.user_id, {"type": 2})
        with expect_api_error(403, 50007):
            await world.dm(club.member, club.owner)
        with expect_api_error(400, 50035):
            await world.service.relationships.put(club.owner, club.owner.user_id, {"type": 2})
        with expect_api_error(400, 50035):
            await world.service.relationships.put(club.owner, club.member.user_id, {"type": 1})
        with expect_api_error(403, 20001):
            await world.service.relationships.put(await world.bot("robo"), club.owner.user_id, {"type": 2})


async def test_only_who_shares_a_guild_writes_and_only_who_is_asked_where_that_is_restricted() -> None:
    async with running_service() as world:
        club = await make_club(world)
        stranger = await world.person("eve")
        dm = await world.dm(stranger, club.member)
        await world.say(stranger, dm, "hello")
        settings = world.service.relationships
        assert await settings.edit_settings(club.member, {"default_guilds_restricted": True}) == {
            "default_guilds_restricted": True
        }
        with expect_api_error(403, 50007):
            await world.say(stranger, dm, "hello?")
        await world.say(club.member, dm, "yes?")
        await world.say(stranger, dm, "I am allowed now")
        await world.service.guilds.remove(stranger, world.service.default_guild, stranger.user_id)
        with expect_api_error(403, 50007):
            await world.say(stranger, dm, "without a guild in common")


async def test_nobody_writes_to_an_account_that_was_removed() -> None:
    async with running_service() as world:
        club = await make_club(world)
        dm = await world.dm(club.owner, club.member)
        await world.say(club.member, dm, "bye")
        await world.service.accounts.remove("mike")
        with expect_api_error(403, 50007):
            await world.say(club.owner, dm, "are you there?")
        (left,) = await world.service.messages.history(club.owner, dm)
        assert (left["content"], left["author"]["username"]) == ("bye", f"deleted user {club.member.user_id}")


# --- reports, and bans of the server's owner -----------------------------------------------------------------------


async def test_a_report_keeps_the_message_and_logs_no_text(caplog: pytest.LogCaptureFixture) -> None:
    async with running_service() as world:
        club = await make_club(world)
        message = int((await world.say(club.member, club.channel, "something rude"))["id"])
        reports, about = world.service.reports, {"reason": "it is rude"}
        with caplog.at_level(logging.WARNING, "onesocket_discord.server"):
            made = await reports.create(club.owner, club.channel, message, about)
        assert (str(message) in caplog.text, "rude" in caplog.text) == (True, False)
        assert await reports.create(club.owner, club.channel, message, about) == made
        with expect_api_error(400, 50035):
            await reports.create(club.member, club.channel, message, about)
        with expect_api_error(403, 50001):
            await reports.create(await world.person("eve"), club.channel, message, about)
        await world.service.messages.delete(club.member, club.channel, message)
        (found,) = await reports.list_open()
        assert (found["author"], found["reporter"], found["content"]) == ("mike", "olga", "something rude")
        await reports.close(int(made["id"]))
        assert await reports.list_open() == []
        with expect_api_error(400, 50035):
            await reports.close(int(made["id"]))


async def test_reports_of_one_person_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onesocket_discord.server.service._reports._MAX_OPEN", 1)
    async with running_service() as world:
        club = await make_club(world)
        messages = [int((await world.say(club.member, club.channel, str(n)))["id"]) for n in range(2)]
        await world.service.reports.create(club.owner, club.channel, messages[0], {})
        with expect_api_error(400, 0):
            await world.service.reports.create(club.owner, club.channel, messages[1], {})


async def test_an_account_that_is_banned_from_the_server_gets_no_token() -> None:
    async with running_service() as world:
        made = await world.service.accounts.register({"username": "ann", "password": "correct horse"})
        token, _ = await world.service.accounts.create_bot("robo")
        ann, accounts = await world.account(made["token"]), world.service.accounts
        invite = await world.service.invites.create(ann, await world.general(ann), {})
        for name in ("ann", "robo"):
            await accounts.set_banned(name, banned=True)
        assert {user_id for user_id, login in world.heard.signed_out if login is None} >= {ann.user_id}
        assert [await world.service.authenticate(one) for one in (made["token"], token)] == [None, None]
        with expect_api_error(404, 10006):
            await world.service.invites.get(invite["code"])
        sign_in = {"login": "ann", "password": "correct horse"}
        for attempt in (accounts.login(sign_in), accounts.renew_bot_token("robo")):
            with expect_api_error(400, 50035) as refused:
                await attempt
            assert "banned" in str(refused.value.errors)
        with expect_api_error(400, 50035):
            await accounts._set_password(ann, "hash", "somewhere")  # asked for before the ban
        listed = {one["username"]: one["banned"] for one in await accounts.list_accounts()}
        assert listed == {"ann": True, "robo": True}
        await accounts.set_banned("ann", banned=False)
        await accounts.login(sign_in)
        await accounts.set_banned("robo", banned=False)
        assert {one["username"]: one["logins"] for one in await accounts.list_accounts()} == {"ann": 1, "robo": 0}
