"""Ranks: what each member may do to each other one and to each role, the whole table of it.

Discord's documentation of permissions has three rules: who removes or bans somebody stands above them; a role is
changed, deleted, given or taken by who stands above it; and only permissions that one has are given away. Whom a role
is given to doesn't matter.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from onesocket_discord.server._api_error import ApiError
from onesocket_discord.server._ports import Account
from onesocket_discord.server.service._permissions import Permission
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, running_service

MODERATES = Permission.KICK_MEMBERS | Permission.BAN_MEMBERS | Permission.MANAGE_ROLES
# From the highest role to the lowest: a name, and its permissions.
ROLES = (
    ("label", Permission(0)),  # high up, without any permission
    ("admin", Permission.ADMINISTRATOR),
    ("senior", MODERATES | Permission.MANAGE_CHANNELS),
    ("junior", MODERATES),
    ("helper", Permission.MANAGE_MESSAGES),
)
# Each member with its roles; the owner has none, and is above all.
MEMBERS = {
    "owner": (),
    "figurehead": ("label",),
    "administrator": ("admin",),
    "senior mod": ("senior", "helper"),
    "junior mod": ("junior",),
    "another junior": ("junior", "helper"),
    "assistant": ("helper",),
    "plain member": (),
}
NAMES = [name for name, _ in ROLES]


def rank(member: str) -> int:
    if member == "owner":
        return 99
    return max((len(NAMES) - NAMES.index(role) for role in MEMBERS[member]), default=0)


def has(member: str, permission: Permission) -> bool:
    held = Permission(0)
    for role in MEMBERS[member]:
        held |= dict(ROLES)[role]
    return member == "owner" or bool(held & Permission.ADMINISTRATOR) or permission in held


def may_touch_role(member: str, role: str) -> bool:
    return has(member, Permission.MANAGE_ROLES) and rank(member) > len(NAMES) - NAMES.index(role)


@dataclass
class Ladder:
    """A guild with these roles and members."""

    world: ServiceFixture
    id: int = 0
    channel: int = 0
    roles: dict[str, int] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)

    async def set_up(self) -> None:
        for name in MEMBERS:
            self.accounts[name] = await self.world.person(f"our {name}")
        guild = await self.world.service.guilds.create(self.owner, {"name": "ladder"})
        self.id, self.channel = int(guild["id"]), int(guild["channels"][0]["id"])
        for name, permissions in ROLES:  # a new one is the lowest
            made = {"name": name, "permissions": str(int(permissions))}
            self.roles[name] = int((await self.world.service.roles.create(self.owner, self.id, made))["id"])
        for name in MEMBERS:
            await self.bring(name)

    @property
    def owner(self) -> Account:
        return self.accounts["owner"]

    async def bring(self, name: str) -> None:
        """Let somebody in, and give them what they have."""
        invite = await self.world.service.invites.create(self.owner, self.channel, {})
        await self.world.service.invites.accept(self.accounts[name], invite["code"])
        for role in MEMBERS[name]:
            await self.give(self.owner, name, role, given=True)

    async def give(self, who: Account, target: str, role: str, *, given: bool) -> None:
        service = self.world.service.roles
        await service.give(who, self.id, self.accounts[target].user_id, self.roles[role], given=given)


async def is_allowed(attempt: Awaitable[object]) -> bool:
    try:
        await attempt
    except ApiError as error:
        if error.code != 50013:
            raise
        return False
    return True


async def kick(ladder: Ladder, actor: str, target: str) -> bool:
    done = await is_allowed(
        ladder.world.service.guilds.remove(ladder.accounts[actor], ladder.id, ladder.accounts[target].user_id)
    )
    if done:
        await ladder.bring(target)
    return done


async def ban(ladder: Ladder, actor: str, target: str) -> bool:
    bans, user_id = ladder.world.service.bans, ladder.accounts[target].user_id
    done = await is_allowed(bans.ban(ladder.accounts[actor], ladder.id, user_id, {}, reason=None))
    if done:
        await bans.lift(ladder.owner, ladder.id, user_id)
        await ladder.bring(target)
    return done


@pytest.mark.parametrize(
    ("action", "permission"), [(kick, Permission.KICK_MEMBERS), (ban, Permission.BAN_MEMBERS)], ids=["kick", "ban"]
)
async def test_who_removes_whom(action: Callable[[Ladder, str, str], Awaitable[bool]], permission: Permission) -> None:
    async with running_service() as world:
        ladder = Ladder(world)
        await ladder.set_up()
        pairs = [(actor, target) for actor in MEMBERS for target in MEMBERS if actor != target]
        found = {pair: await action(ladder, *pair) for pair in pairs}
        assert found == {
            (actor, target): has(actor, permission) and rank(actor) > rank(target) for actor, target in pairs
        }
        assert sum(found.values()) == 7 + 5 + 4 + 2 + 2  # owner, administrator, senior mod, both junior ones


async def test_who_gives_and_takes_which_role() -> None:
    async with running_service() as world:
        ladder = Ladder(world)
        await ladder.set_up()
        for actor in MEMBERS:
            for role, permissions in ROLES:
                lacks = [one for one in Permission if one in permissions and not has(actor, one)]
                for target in ("plain member", "figurehead"):  # whom doesn't matter
                    had = role in MEMBERS[target]
                    gives = await is_allowed(ladder.give(ladder.accounts[actor], target, role, given=True))
                    assert gives == (may_touch_role(actor, role) and not lacks), (actor, role, target)
                    takes = await is_allowed(ladder.give(ladder.accounts[actor], target, role, given=False))
                    assert takes == may_touch_role(actor, role), (actor, role, target)
                    await ladder.give(ladder.owner, target, role, given=had)


async def test_who_changes_which_role() -> None:
    async with running_service() as world:
        ladder = Ladder(world)
        await ladder.set_up()
        service = world.service.roles
        for actor in MEMBERS:
            account = ladder.accounts[actor]
            for role, permissions in ROLES:
                expected = may_touch_role(actor, role)
                edited = await is_allowed(service.edit(account, ladder.id, ladder.roles[role], {"color": 1}))
                assert edited == expected, (actor, role)
                for one in (Permission.MANAGE_CHANNELS, Permission.MANAGE_GUILD, Permission.ADMINISTRATOR):
                    changed = {"permissions": str(int(permissions ^ one))}
                    raised = await is_allowed(service.edit(account, ladder.id, ladder.roles[role], changed))
                    assert raised == (expected and has(actor, one)), (actor, role, one)
                    restored = {"permissions": str(int(permissions))}
                    await service.edit(ladder.owner, ladder.id, ladder.roles[role], restored)
            made = await is_allowed(service.create(account, ladder.id, {"permissions": "0"}))
            assert made == has(actor, Permission.MANAGE_ROLES)


async def test_who_deletes_which_role() -> None:
    async with running_service() as world:
        ladder = Ladder(world)
        await ladder.set_up()
        for actor in reversed(MEMBERS):
            for role in NAMES:
                if not may_touch_role(actor, role):  # the others are deleted below
                    deleting = world.service.roles.delete(ladder.accounts[actor], ladder.id, ladder.roles[role])
                    assert not await is_allowed(deleting), (actor, role)
        for actor, role in (("another junior", "helper"), ("senior mod", "junior"), ("administrator", "senior")):
            await world.service.roles.delete(ladder.accounts[actor], ladder.id, ladder.roles[role])
