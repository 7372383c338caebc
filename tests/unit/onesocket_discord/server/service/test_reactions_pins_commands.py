"""Reactions, pins, and the commands that bots register."""

from typing import Any

import pytest

from onesocket_discord.server.service._emoji import emoji_key, emoji_object
from tests.unit.onesocket_discord.server.service_fixture import expect_api_error, running_service


async def test_reactions_are_counted_and_mine_are_marked() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        channel = await world.general(ann)
        at = channel, int((await world.say(ann, channel, "x"))["id"])
        world.heard.take()
        for account, emoji in ((ann, "👍"), (bob, "👍"), (bob, "👍"), (bob, "blob:123")):
            world.clock.now += 1
            await world.service.reactions.add(account, *at, emoji)
        heard = world.heard.take()
        assert [event.name for event in heard] == ["MESSAGE_REACTION_ADD"] * 3
        assert heard[0].data["emoji"] == {"id": None, "name": "👍"}
        assert heard[2].data["emoji"] == {"id": "123", "name": "blob"}
        assert heard[0].data["member"]["user"]["id"] == str(ann.user_id)
        read = (await world.service.messages.get(ann, *at))["reactions"]
        assert [(one["emoji"]["name"], one["count"], one["me"]) for one in read] == [
            ("👍", 2, True),
            ("blob", 1, False),
        ]
        (edited,) = [await world.service.messages.edit(ann, *at, {"content": "y"})]
        assert edited["reactions"][0]["me"]
        assert not world.heard.one("MESSAGE_UPDATE").data["reactions"][0]["me"]
        assert [one["username"] for one in await world.service.reactions.list_users(ann, *at, "👍")] == ["ann", "bob"]
        after = await world.service.reactions.list_users(ann, *at, "👍", after=ann.user_id)
        assert [one["username"] for one in after] == ["bob"]
        await world.service.reactions.remove(bob, *at, "👍", user_id=bob.user_id)
        with expect_api_error(404, 10014):
            await world.service.reactions.remove(bob, *at, "👍", user_id=bob.user_id)
        with expect_api_error(403, 50013):
            await world.service.reactions.remove(bob, *at, "👍", user_id=ann.user_id)
        await world.service.reactions.remove(ann, *at, "blob:123", user_id=bob.user_id)  # ann owns the guild
        await world.service.reactions.clear(ann, *at, "👍")
        names = [event.name for event in world.heard.take()]
        assert names == ["MESSAGE_REACTION_REMOVE"] * 2 + ["MESSAGE_REACTION_REMOVE_EMOJI"]
        assert "reactions" not in await world.service.messages.get(ann, *at)
        with expect_api_error(404, 10014):
            await world.service.reactions.list_users(ann, *at, "👍")


async def test_a_message_has_room_for_twenty_kinds_of_reactions() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        channel = await world.general(ann)
        at = channel, int((await world.say(ann, channel, "x"))["id"])
        for n in range(20):
            await world.service.reactions.add(ann, *at, chr(0x1F600 + n))
        with expect_api_error(400, 30010):
            await world.service.reactions.add(ann, *at, "👍")
        await world.service.reactions.add(ann, *at, chr(0x1F600))


@pytest.mark.parametrize("text", ["👍", "👩‍👩‍👧‍👦", "❤️", "1️⃣", "🇩🇪", "blob:123", "a:blob:123"])
def test_these_are_emojis(text: str) -> None:
    assert emoji_object(emoji_key(text))["name"] in {text, "blob"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "12",
        "ä",
        " ",
        "👍 ",
        "👍x",
        "blob:",
        "b:1",
        ":1",
        "x:y",
        "👍" * 33,
        "\0",
        "'",
        "\u200b",
        "\u202e👍",
        "\ufe0f",
    ],
)
def test_these_are_none(text: str) -> None:
    with expect_api_error(404, 10014):
        emoji_key(text)


async def test_pins() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        channel = await world.general(ann)
        mine, theirs = [int((await world.say(one, channel, one.username))["id"]) for one in (bob, ann)]
        world.heard.take()
        for message_id, by in ((mine, bob), (theirs, ann), (theirs, ann)):
            world.clock.now += 1
            await world.service.pins.set(by, channel, message_id, pinned=True)
        assert [event.name for event in world.heard.take()] == ["MESSAGE_UPDATE", "CHANNEL_PINS_UPDATE"] * 2
        pins = await world.service.pins.all(bob, channel)
        assert [pin["message"]["content"] for pin in pins] == ["ann", "bob"]
        assert all(pin["message"]["pinned"] for pin in pins)
        assert (await world.service.channels.get(bob, channel))["last_pin_timestamp"] == pins[0]["pinned_at"]
        with expect_api_error(403, 50013):
            await world.service.pins.set(bob, channel, theirs, pinned=False)
        await world.service.pins.set(ann, channel, mine, pinned=False)
        assert len(await world.service.pins.all(bob, channel)) == 1
        private = await world.dm(ann, bob)
        await world.service.pins.set(bob, private, int((await world.say(ann, private, "x"))["id"]), pinned=True)


async def test_commands_are_kept_by_name_type_and_place() -> None:
    async with running_service() as world:
        bot, other = await world.bot("helper"), await world.bot("other")
        guild = world.service.default_guild
        commands, own = world.service.commands, bot.user_id
        ping = {"name": "ping", "description": "pong", "options": [{"type": 3, "name": "n", "description": "d"}]}
        first, new = await commands.put(bot, own, None, ping)
        again, replaced = await commands.put(bot, own, None, {**ping, "description": "PONG"})
        assert (new, replaced) == (True, False)
        assert again["id"] == first["id"]
        assert int(again["version"]) > int(first["version"])
        await commands.put(bot, own, None, {"name": "ping", "type": 3})
        local, _ = await commands.put(bot, own, guild, ping)
        assert local["guild_id"] == str(guild)
        assert [one["type"] for one in await commands.all(bot, own, None)] == [1, 3]
        kept = await commands.replace(bot, own, None, [ping, {"name": "new", "description": "n"}])
        assert [one["name"] for one in kept] == ["ping", "new"]
        assert kept[0]["id"] == first["id"]
        assert len(await commands.all(bot, own, None)) == 2
        assert len(await commands.all(bot, own, guild)) == 1
        edited = await commands.edit(bot, own, None, int(first["id"]), body={"description": "changed"})
        assert (edited["name"], edited["description"], edited["options"]) == ("ping", "changed", ping["options"])
        await commands.delete(bot, own, None, int(first["id"]))
        with expect_api_error(404, 10063):
            await commands.get(bot, own, None, int(first["id"]))
        with expect_api_error(403, 20012):
            await commands.all(other, own, None)
        bodies: list[Any] = [{}, {"name": "x" * 33}, {"name": "x", "type": 9}, [], {"name": "x", "options": {}}]
        for wrong in bodies:
            with expect_api_error(400, 50035):
                await commands.put(bot, own, None, wrong)
        with expect_api_error(400, 50035):
            await commands.replace(bot, own, None, {"name": "x"})
        assert await commands.replace(bot, own, None, []) == []
