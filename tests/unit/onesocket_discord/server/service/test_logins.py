"""Logins: signing out, here or everywhere, passwords, expiry, and accounts that are removed."""

import asyncio

import pytest

from onesocket_discord.server._ports import Account, token_digest
from onesocket_discord.server.service._logins import LOGIN_LIFETIME
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, expect_api_error, running_service

PASSWORD = "correct horse"


async def sign_in(world: ServiceFixture, name: str = "ann", client: str = "") -> str:
    return str((await world.service.accounts.login({"login": name, "password": PASSWORD}, client))["token"])


async def is_known(world: ServiceFixture, token: str) -> bool:
    return await world.service.authenticate(token) is not None


async def test_signing_out_voids_one_token_and_ends_what_is_connected_with_it() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        first, second = await sign_in(world), await sign_in(world)
        await world.account(first)
        await world.service.accounts.logout(ann, first)
        assert (await is_known(world, first), await is_known(world, second)) == (False, True)
        assert world.heard.signed_out == [(ann.user_id, token_digest(first))]


async def test_a_token_that_is_signed_out_while_it_is_looked_up_is_not_remembered() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        token = await sign_in(world)
        await asyncio.gather(world.service.authenticate(token), world.service.accounts.logout(ann, token))
        assert not await is_known(world, token)


async def test_logins_are_listed_and_ended() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        world.clock.now += 1
        tokens = []
        for client in ("phone", "laptop"):
            tokens.append(await sign_in(world, client=client))
            world.clock.now += 1
        found = await world.service.logins.of(ann, tokens[0])
        assert [one["client_info"]["user_agent"] for one in found] == ["laptop", "phone", None]
        assert [one["current"] for one in found] == [False, True, False]
        assert not any(token in str(found) for token in tokens)
        await world.service.logins.end(bob, [found[0]["id_hash"]])  # of another account
        assert await is_known(world, tokens[1])
        await world.service.logins.end(ann, [found[0]["id_hash"], "nonsense"])
        assert [await is_known(world, token) for token in tokens] == [True, False]
        await world.service.logins.end(ann, None)
        assert not await is_known(world, tokens[0])
        assert await world.service.logins.of(ann, "") == []
        assert {user for user, _ in world.heard.signed_out} == {ann.user_id}


async def test_a_new_password_voids_every_token_but_the_one_that_comes_with_it() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        old = await sign_in(world)
        change = world.service.accounts.change_password
        for password, wanted in (("wrong", "battery staple"), (PASSWORD, "short")):
            with expect_api_error(400, 50035):
                await change(ann, {"password": password, "new_password": wanted})
        assert await is_known(world, old)
        new = await change(ann, {"password": PASSWORD, "new_password": "battery staple"})
        assert (await is_known(world, old), await is_known(world, new)) == (False, True)
        assert world.heard.signed_out == [(ann.user_id, None)]
        with expect_api_error(400, 50035):
            await sign_in(world)
        await world.service.accounts.login({"login": "ann", "password": "battery staple"})


async def test_a_password_that_is_changed_while_it_is_verified_gives_no_token_and_sets_no_other() -> None:
    async with running_service() as world:
        accounts, ann = world.service.accounts, await world.person("ann")
        verify, verified, may_go_on = accounts._passwords.verify, asyncio.Semaphore(0), asyncio.Event()

        async def slowly(hashed: str | None, password: str) -> bool:
            fits = await verify(hashed, password)
            verified.release()
            await may_go_on.wait()
            return fits

        accounts._passwords.verify = slowly  # type: ignore[method-assign]
        body = {"password": PASSWORD, "new_password": "mallory's own words"}
        waiting = [asyncio.create_task(one) for one in (sign_in(world), accounts.change_password(ann, body))]
        for _ in waiting:
            await verified.acquire()
        await accounts.set_password("ann", "battery staple")
        may_go_on.set()
        for one in waiting:
            with expect_api_error(400, 50035):
                await one
        assert await world.service.logins.of(ann, "") == []
        await accounts.login({"login": "ann", "password": "battery staple"})


async def test_a_token_expires_when_it_is_not_used() -> None:
    async with running_service() as world:
        ann, bot = await world.person("ann"), await world.bot("robo")
        used, unused = await sign_in(world), await sign_in(world)
        for _ in range(3):
            world.clock.now += LOGIN_LIFETIME / 2
            assert await is_known(world, used)
        assert not await is_known(world, unused)
        assert world.heard.signed_out == [(ann.user_id, token_digest(unused))]
        assert bot.bot
        world.clock.now += 100 * LOGIN_LIFETIME
        await world.service.logins.expire()
        assert not await is_known(world, used)
        (row,) = [one for one in await world.service.accounts.list_accounts() if one["username"] == "robo"]
        assert row["logins"] == 1


async def test_a_token_that_is_connected_does_not_expire() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        connected, idle = await sign_in(world), await sign_in(world)
        world.heard.connected = frozenset({token_digest(connected)})
        world.clock.now += LOGIN_LIFETIME
        await world.service.logins.expire()
        assert (await is_known(world, connected), await is_known(world, idle)) == (True, False)
        assert (ann.user_id, token_digest(idle)) in world.heard.signed_out
        assert (ann.user_id, token_digest(connected)) not in world.heard.signed_out


async def test_the_owner_of_the_server_sets_passwords_and_lists_accounts() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        token = await sign_in(world)
        await world.bot("robo")
        listed = await world.service.accounts.list_accounts()
        assert [(one["username"], one["bot"], one["logins"]) for one in listed] == [
            ("ann", False, 2),
            ("robo", True, 1),
        ]
        await world.service.accounts.set_password("ANN", "battery staple")
        assert not await is_known(world, token)
        await world.service.accounts.login({"login": "ann", "password": "battery staple"})
        assert listed[0]["id"] == str(ann.user_id)
        for wrong in (("nobody", "battery staple"), ("robo", "battery staple"), ("ann", "short")):
            with expect_api_error(400, 50035):
                await world.service.accounts.set_password(*wrong)


async def test_who_is_removed_is_gone_and_what_they_wrote_stays() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        token = await sign_in(world)
        channel = await world.general(ann)
        await world.say(ann, channel, "hello")
        world.heard.take()
        await world.service.accounts.remove("Ann")
        assert not await is_known(world, token)
        assert (ann.user_id, None) in world.heard.signed_out
        heard = world.heard.take()
        (left,) = [event.data["user"]["username"] for event in heard if event.name == "GUILD_MEMBER_REMOVE"]
        assert left == "ann"
        assert [event.data["owner_id"] for event in heard if event.name == "GUILD_UPDATE"] == [str(bob.user_id)]
        (message,) = await world.service.messages.history(bob, channel)
        assert (message["content"], message["author"]["username"]) == ("hello", f"deleted user {ann.user_id}")
        with expect_api_error(400, 50035):
            await sign_in(world)
        await world.person("ann")  # the name is free
        for nobody in ("nobody", "onesocket"):
            with expect_api_error(400, 50035):
                await world.service.accounts.remove(nobody)


async def test_the_last_person_leaves_the_guild_to_its_caretaker() -> None:
    async with running_service() as world:
        await world.person("ann")
        await world.service.accounts.remove("ann")
        bob = await world.person("bob")  # the first person takes it over again
        assert (await world.service.guilds.get(bob, world.service.default_guild))["owner_id"] == str(bob.user_id)


@pytest.mark.parametrize("kind", ["person", "bot"])
async def test_accounts_are_who_they_were(kind: str) -> None:
    async with running_service() as world:
        made = await (world.person("ann") if kind == "person" else world.bot("ann"))
        assert made == Account(made.user_id, "ann", kind == "bot")
