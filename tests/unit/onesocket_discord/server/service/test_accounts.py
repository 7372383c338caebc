"""Accounts: registering, signing in and out, names, bots."""

import asyncio
import base64

import pytest
from sqlalchemy import select

from onesocket_discord.server._api_error import ApiError
from onesocket_discord.server._ports import Account
from onesocket_discord.server.store._tables import METADATA
from tests.unit.onesocket_discord.server.service_fixture import (
    ServiceFixture,
    expect_api_error,
    quick_passwords,
    running_service,
)


async def test_somebody_registers_and_signs_in() -> None:
    async with running_service() as world:
        made = await world.service.accounts.register({"username": "Ann", "password": "correct horse"})
        again = await world.service.accounts.login({"login": "ann", "password": "correct horse"})
        assert again["user_id"] == made["user_id"]
        assert again["token"] != made["token"]
        for token in (made["token"], again["token"]):
            assert await world.service.authenticate(token) == Account(int(made["user_id"]), "Ann", bot=False)


async def test_a_wrong_password_and_an_unknown_name_are_the_same_error_and_the_same_work() -> None:
    async with running_service() as world:
        await world.person("ann")
        passwords = world.service.accounts._passwords
        checked: list[bool] = []
        fits = passwords._verify

        def counted(hashed: str, password: str) -> bool:
            checked.append(hashed.startswith("$argon2id$"))
            return fits(hashed, password)

        passwords._verify = counted  # type: ignore[method-assign]
        with expect_api_error(400, 50035) as wrong:
            await world.service.accounts.login({"login": "ann", "password": "wrong"})
        with expect_api_error(400, 50035) as nobody:
            await world.service.accounts.login({"login": "nobody", "password": "wrong"})
        assert wrong.value.body == nobody.value.body
        assert checked == [True, True]


async def test_nobody_signs_in_as_the_caretaker_or_as_a_bot() -> None:
    async with running_service() as world:
        await world.bot("helper")
        for name in ("onesocket", "helper"):
            for password in ("", "nobody has this password"):
                with expect_api_error(400, 50035):
                    await world.service.accounts.login({"login": name, "password": password})


@pytest.mark.parametrize(
    ("username", "password", "fields"),
    [
        ("a", "correct horse", {"username"}),
        ("a" * 33, "correct horse", {"username"}),
        (" ann", "correct horse", {"username"}),
        ("a@b", "correct horse", {"username"}),
        ("a\nb", "correct horse", {"username"}),
        ("a\0b", "correct horse", {"username"}),
        (5, "correct horse", {"username"}),
        ("ann", "short", {"password"}),
        ("ann", "x" * 257, {"password"}),
        (None, None, {"username", "password"}),
    ],
)
async def test_what_no_account_can_be_made_from(username: object, password: object, fields: set[str]) -> None:
    async with running_service() as world:
        with expect_api_error(400, 50035) as wrong:
            await world.service.accounts.register({"username": username, "password": password})
        assert set(wrong.value.body["errors"]) == fields


async def test_a_name_is_taken_in_whatever_letters() -> None:
    async with running_service() as world:
        await world.person("Straße")
        for name in ("straße", "STRASSE", "ｓtrasse"):
            with expect_api_error(400, 50035):
                await world.person(name)
        with expect_api_error(400, 50035):
            await world.bot("strasse")


async def test_of_many_who_want_one_name_one_gets_it() -> None:
    async with running_service() as world:
        results = await asyncio.gather(*(world.person("ann") for _ in range(8)), return_exceptions=True)
        assert sum(isinstance(result, Account) for result in results) == 1
        assert all(isinstance(result, Account | ApiError) for result in results)


async def test_no_secret_is_stored_or_shown() -> None:
    async with running_service() as world:
        made = await world.service.accounts.register({"username": "ann", "password": "correct horse"})
        async with world.service._context.store.reading() as connection:
            rows = [(await connection.execute(select(table))).all() for table in METADATA.sorted_tables]
        dump = repr(rows)
        assert "$argon2id$" in dump
        assert made["token"] not in dump
        assert "correct horse" not in dump
        shown = repr((world.service, world.service.accounts, world.service.accounts._passwords))
        assert made["token"] not in shown


async def test_a_bot_comes_with_a_token_that_says_who_it_is() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        world.heard.take()
        token, bot_id = await world.service.accounts.create_bot("helper", owner=ann.user_id)
        whose = token.split(".")
        assert len(whose) == 3
        assert int(base64.urlsafe_b64decode(whose[0] + "==")) == bot_id
        bot = await world.account(token)
        assert bot == Account(bot_id, "helper", bot=True)
        joined = world.heard.one("GUILD_MEMBER_ADD")
        assert set(joined.recipients) == {ann.user_id}
        assert joined.data["user"]["username"] == "helper"
        application = await world.service.bots.application(bot)
        assert application["id"] == str(bot_id)
        assert application["owner"]["id"] == str(ann.user_id)


async def test_people_have_no_application() -> None:
    async with running_service() as world:
        with expect_api_error(403, 20002):
            await world.service.bots.application(await world.person("ann"))


async def test_a_bots_new_token_voids_the_old_one() -> None:
    async with running_service() as world:
        old, bot_id = await world.service.accounts.create_bot("helper")
        await world.account(old)
        new, same = await world.service.accounts.renew_bot_token("Helper")
        assert same == bot_id
        assert await world.service.authenticate(old) is None
        assert (await world.account(new)).user_id == bot_id
        assert world.heard.signed_out == [(bot_id, None)]
        with expect_api_error(400, 50035):
            await world.service.accounts.renew_bot_token("nobody")


async def test_a_new_name_reaches_everybody_and_the_next_look() -> None:
    async with running_service() as world:
        made = await world.service.accounts.register({"username": "ann", "password": "correct horse"})
        ann, bob = await world.account(made["token"]), await world.person("bob")
        world.heard.take()
        assert (await world.service.accounts.rename(ann, {"username": "Anna"}))["username"] == "Anna"
        mine, theirs = world.heard.take()
        assert (mine.name, set(mine.recipients)) == ("USER_UPDATE", {ann.user_id})
        assert (theirs.name, set(theirs.recipients)) == ("GUILD_MEMBER_UPDATE", {ann.user_id, bob.user_id})
        assert theirs.data["user"]["username"] == "Anna"
        assert (await world.account(made["token"])).username == "Anna"
        assert (await world.service.accounts.user(ann.user_id))["username"] == "Anna"
        with expect_api_error(400, 50035):
            await world.service.accounts.rename(bob, {"username": "ANNA"})
        await world.service.accounts.rename(await world.account(made["token"]), {"username": "ANNA"})


async def test_the_first_person_takes_over_the_default_guild_and_bots_do_not() -> None:
    async with running_service() as world:
        bot = await world.bot("helper")
        before = await world.service.guilds.get(bot, world.service.default_guild)
        world.heard.take()
        ann = await world.person("ann")
        update = world.heard.events[0]
        assert (update.name, set(update.recipients)) == ("GUILD_UPDATE", {bot.user_id})
        await world.person("bob")
        after = await world.service.guilds.get(bot, world.service.default_guild)
        assert before["owner_id"] != str(ann.user_id) == after["owner_id"]


async def test_too_many_who_sign_in_are_told_so() -> None:
    passwords = await quick_passwords().prepare()
    results = await asyncio.gather(*(passwords.hash("correct horse") for _ in range(40)), return_exceptions=True)
    errors = [result for result in results if isinstance(result, ApiError)]
    assert [error.status for error in errors] == [503] * 8
    assert await passwords.verify(await passwords.hash("correct horse"), "correct horse")


async def test_an_unknown_user_is_unknown() -> None:
    async with running_service() as world:
        with expect_api_error(404, 10013):
            await world.service.accounts.user(1)


async def test_the_helper_that_makes_worlds_closes_them() -> None:
    async with running_service() as world:
        pass
    assert isinstance(world, ServiceFixture)
    with expect_api_error(503, 0):
        await world.bot("ann")


# --- who may register, and how ---------------------------------------------------------------------------------


def refused_codes(error: ApiError, field: str) -> list[str]:
    errors: list[dict[str, str]] = (error.errors or {})[field]["_errors"]
    return [one["code"] for one in errors]


async def test_a_closed_server_takes_only_those_whom_its_owner_adds() -> None:
    async with running_service(registration="closed") as world:
        with expect_api_error(403, 40006):
            await world.service.accounts.register({"username": "eve", "password": "correct horse"})
        added = await world.service.accounts.add_person("ann", "correct horse", signs_in=False)
        assert set(added) == {"user_id"}
        ann = await world.account((await world.service.accounts.login(sign_in("ann")))["token"])
        assert (await world.service.guilds.get(ann, world.service.default_guild))["owner_id"] == added["user_id"]


def sign_in(name: str) -> dict[str, str]:
    return {"login": name, "password": "correct horse"}


async def test_an_invite_lets_as_many_in_as_it_may_and_into_its_guild() -> None:
    async with running_service(registration="invite") as world:
        accounts, body = world.service.accounts, {"username": "eve", "password": "correct horse"}
        for more, code in (({}, "INVITE_REQUIRED"), ({"invite": "wrong"}, "INVITE_INVALID")):
            with expect_api_error(400, 50035) as refused:
                await accounts.register({**body, **more})
            assert refused_codes(refused.value, "invite") == [code]
        first = await world.service.invites.create_for_server(world.service.default_guild, max_age=60, max_uses=1)
        ann = await world.account(
            (await accounts.register({**body, "username": "ann", "invite": first["code"]}))["token"]
        )
        club = await world.service.guilds.create(ann, {"name": "club"})
        made = await world.service.invites.create(ann, int(club["channels"][0]["id"]), {"max_uses": 1})

        async def try_to_register(name: str) -> object:
            return await accounts.register({**body, "username": name, "invite": made["code"]})

        tries = await asyncio.gather(*map(try_to_register, ("bob", "cat", "dan", "eve")), return_exceptions=True)
        entered = [one for one in tries if not isinstance(one, BaseException)]
        assert len(entered) == 1
        refusals = [one for one in tries if isinstance(one, ApiError)]
        assert [refused_codes(one, "invite") for one in refusals] == [["INVITE_INVALID"]] * 3
        assert len(await world.service.guilds.members(ann, int(club["id"]), limit=10)) == 2
        assert len(await world.service.guilds.members(ann, world.service.default_guild, limit=10)) == 2
        assert (await accounts.list_accounts())[0]["username"] == "ann"


async def test_who_is_banned_from_the_servers_guild_makes_no_accounts_by_an_invite() -> None:
    async with running_service(registration="invite") as world:
        accounts, guild = world.service.accounts, world.service.default_guild
        olga, mallory = [
            await world.account((await accounts.add_person(name, "correct horse"))["token"])
            for name in ("olga", "mallory")
        ]
        own = await world.service.guilds.create(mallory, {"name": "mine"})
        made = await world.service.invites.create(mallory, int(own["channels"][0]["id"]), {})
        body = {"username": "sock", "password": "correct horse", "invite": made["code"]}
        await world.service.bans.ban(olga, guild, mallory.user_id, {}, reason=None)
        with expect_api_error(400, 50035) as refused:
            await accounts.register(body)
        assert refused_codes(refused.value, "invite") == ["INVITE_INVALID"]
        await world.service.bans.lift(olga, guild, mallory.user_id)
        await accounts.register(body)


async def test_invites_of_a_removed_person_let_nobody_in() -> None:
    async with running_service(registration="open") as world:
        ann = await world.person("ann")
        made = await world.service.invites.create(ann, await world.general(ann), {"max_age": 0})
        await world.service.accounts.remove("ann")
        for code in (made["code"], "a\0"):
            with expect_api_error(404, 10006):
                await world.service.invites.get(code)


async def test_what_looks_like_a_taken_name_is_refused_when_registering_and_renaming() -> None:
    async with running_service() as world:
        await world.person("Bill")
        await world.person("сосо")  # in Cyrillic
        eve = await world.person("eve")
        for name, code in (
            ("BILL", "USERNAME_ALREADY_TAKEN"),
            ("Bi11", "USERNAME_LOOKS_TAKEN"),
            ("coco", "USERNAME_LOOKS_TAKEN"),
            ("onesocket", "USERNAME_RESERVED"),
            ("аdmin", "USERNAME_MIXED_SCRIPTS"),
            ("Deleted User 7", "USERNAME_RESERVED"),
        ):
            with expect_api_error(400, 50035) as registering:
                await world.service.accounts.register({"username": name, "password": "correct horse"})
            with expect_api_error(400, 50035) as renaming:
                await world.service.accounts.rename(eve, {"username": name})
            for refused in (registering, renaming):
                assert refused_codes(refused.value, "username") == [code], name
        assert (await world.service.accounts.rename(eve, {"username": "EVE"}))["username"] == "EVE"


async def test_of_names_that_look_alike_one_is_registered_however_many_ask_at_once() -> None:
    async with running_service() as world:
        register = world.service.accounts.register
        names = ("Bill", "Bi11", "BiIl", "bi1l")
        bodies = [{"username": name, "password": "correct horse"} for name in names]
        results = await asyncio.gather(*map(register, bodies), return_exceptions=True)
        assert len([one for one in results if isinstance(one, dict)]) == 1
        assert {one.code for one in results if isinstance(one, ApiError)} == {50035}


async def test_the_servers_owner_gives_away_reserved_names_but_no_mentions() -> None:
    async with running_service() as world:
        await world.service.accounts.add_person("Admin", "correct horse")
        await world.bot("moderator")
        for name in ("everyone", "here", "deleted user 1"):
            with expect_api_error(400, 50035):
                await world.service.accounts.add_person(name, "correct horse")


async def test_a_guessed_password_is_refused_wherever_one_is_set() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        accounts = world.service.accounts
        for password, code in (("Password1!", "PASSWORD_TOO_COMMON"), ("ann-2026", "PASSWORD_IS_NAME")):
            for field, setting in (
                ("password", accounts.add_person("Ann2", password.replace("ann", "Ann2"))),
                (
                    "new_password",
                    accounts.change_password(ann, {"password": "correct horse", "new_password": password}),
                ),
                ("password", accounts.set_password("ann", password)),
            ):
                with expect_api_error(400, 50035) as refused:
                    await setting
                assert refused_codes(refused.value, field) == [code]
        await world.service.accounts.login(sign_in("ann"))


async def test_the_caretaker_of_the_guild_gets_no_token() -> None:
    async with running_service() as world:
        with expect_api_error(400, 50035):
            await world.service.accounts.renew_bot_token("onesocket")
        await world.person("ann")
        with expect_api_error(400, 50035):
            await world.service.accounts.remove("ann", only_bot=True)
