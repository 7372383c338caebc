"""Messages: what is stored, who may change it, how it is read."""

import asyncio
from typing import Any

import pytest

from onesocket_discord.protocol._snowflakes import iso_timestamp, snowflake_at
from tests.unit.onesocket_discord.server.service_fixture import START, expect_api_error, running_service

GUILD_MESSAGES, DIRECT_MESSAGES = 1 << 9, 1 << 12

HOSTILE = [
    "'; DROP TABLE messages; --",
    '" OR 1=1 --',
    "<script>alert(1)</script>&amp;",
    "  kept as it is \n",
    "👩‍👩‍👧‍👦 \u202e gnirts \u0001",
    "%s %(x)s {0} :name ?",
    "\ud7ff\ue000\uffff\U0010ffff",
    "x" * 2000,
]


@pytest.mark.parametrize("content", HOSTILE)
async def test_content_is_stored_and_returned_as_it_is(content: str) -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        channel = await world.general(ann)
        posted = await world.say(ann, channel, content)
        (read,) = await world.service.messages.history(ann, channel)
        assert posted == read
        assert read["content"] == content
        assert world.heard.one("MESSAGE_CREATE").data["content"] == content


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({}, 50006, None),
        ({"content": ""}, 50006, None),
        ({"content": " \n\t"}, 50006, None),
        ({"content": "\u200b \u2800\u3164\ufe0f\u202e"}, 50006, None),
        ({"content": "x" * 2001}, 50035, "content"),
        ({"content": "a\0b"}, 50035, "content"),
        ({"content": 5}, 50035, "content"),
        ({"content": "x", "tts": "yes"}, 50035, "tts"),
        ({"content": "x", "embeds": {}}, 50035, "embeds"),
        ({"content": "x", "embeds": [1]}, 50035, "embeds"),
        ({"embeds": [{}] * 11}, 50035, "embeds"),
        ({"content": "x", "nonce": "n" * 26}, 50035, "nonce"),
        ({"content": "x", "nonce": ["n"]}, 50035, "nonce"),
        ({"content": "x", "nonce": True}, 50035, "nonce"),
        ({"content": "x", "message_reference": 5}, 50035, "message_reference"),
        ({"content": "x", "message_reference": {}}, 50035, "message_reference"),
        ({"content": "x", "message_reference": {"message_id": "1"}}, 50035, "message_reference"),
        ([], 50035, "_errors"),
        ("content", 50035, "_errors"),
    ],
)
async def test_what_is_no_message(body: Any, code: int, field: str | None) -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        channel = await world.general(ann)
        world.heard.take()
        with expect_api_error(400, code) as wrong:
            await world.service.messages.post(ann, channel, body)
        assert set(wrong.value.body.get("errors", ())) == ({field} if field else set())
        assert await world.service.messages.history(ann, channel) == []
        assert world.heard.events == []


async def test_a_message_has_all_that_libraries_insist_on() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        channel = await world.general(ann)
        world.heard.take()
        posted = await world.say(ann, channel, f"hello <@{bob.user_id}> <@!{bob.user_id}> <@1> <@99999999999999999999>")
        required = (
            "id channel_id author content timestamp edited_timestamp tts mention_everyone mentions mention_roles "
            "attachments embeds pinned type flags"
        )
        assert set(required.split()) <= set(posted)
        assert posted["timestamp"] == iso_timestamp(START)
        assert [user["id"] for user in posted["mentions"]] == [str(bob.user_id)]
        event = world.heard.one("MESSAGE_CREATE")
        assert event.data["guild_id"] == str(world.service.default_guild)
        assert {"roles", "joined_at"} <= set(event.data["member"])
        assert (set(event.recipients), event.intents) == ({ann.user_id, bob.user_id}, GUILD_MESSAGES)
        assert event.content_of == ann.user_id


async def test_allowed_mentions_narrow_who_is_mentioned() -> None:
    async with running_service() as world:
        ann, bob, eve = [await world.person(name) for name in ("ann", "bob", "eve")]
        channel = await world.general(ann)
        text = f"@everyone <@{bob.user_id}> <@{eve.user_id}>"

        async def mentioned(allowed: object) -> tuple[list[str], bool]:
            posted = await world.say(ann, channel, text, allowed_mentions=allowed)
            return [user["username"] for user in posted["mentions"]], posted["mention_everyone"]

        assert await mentioned(None) == (["bob", "eve"], True)
        assert await mentioned({"parse": []}) == ([], False)
        assert await mentioned({"parse": ["users"]}) == (["bob", "eve"], False)
        assert await mentioned({"parse": ["everyone"], "users": [str(eve.user_id)]}) == (["eve"], True)
        assert await mentioned({"parse": 5, "users": "x"}) == ([], False)
        for both in (
            {"parse": ["users"], "users": ["1"]},
            {"parse": ["roles"], "roles": ["1"]},
            {"users": ["1"] * 101},
        ):
            with expect_api_error(400, 50035):
                await mentioned(both)


@pytest.mark.parametrize("nonce", ["a", "1", 1, 2**63, "ü"])
async def test_the_same_nonce_is_the_same_message(nonce: str | int) -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        channel = await world.general(ann)
        world.heard.take()
        several = [world.say(ann, channel, f"hello {n}", nonce=nonce, enforce_nonce=True) for n in range(5)]
        posted = await asyncio.gather(*several)
        assert posted == [posted[0]] * 5
        assert posted[0]["nonce"] == nonce
        assert len(world.heard.take("MESSAGE_CREATE")) == 1
        assert len(await world.service.messages.history(ann, channel)) == 1
        # Somebody else's nonce, another channel's and another kind's are others.
        await world.say(bob, channel, "mine", nonce=nonce)
        await world.say(ann, await world.dm(ann, bob), "here", nonce=nonce)
        await world.say(ann, channel, "kind", nonce=str(nonce) if isinstance(nonce, int) else 7)
        assert len(await world.service.messages.history(ann, channel)) == 3


@pytest.mark.parametrize("more", [{}, {"enforce_nonce": False}])
async def test_a_nonce_that_is_not_enforced_may_be_used_twice(more: dict[str, Any]) -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        channel = await world.general(ann)
        await world.say(ann, channel, "enforced", nonce="n", enforce_nonce=True)
        world.heard.take()
        posted = [await world.say(ann, channel, "hi", nonce="n", **more) for _ in range(2)]
        assert [event.data["nonce"] for event in world.heard.take("MESSAGE_CREATE")] == ["n", "n"]
        assert posted[0]["id"] != posted[1]["id"]
        assert [message["nonce"] for message in posted] == ["n", "n"]


async def test_a_nonce_is_enforced_for_minutes() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        channel = await world.general(ann)
        posted: list[str] = []
        for passed in (0, 300, 301, 599):
            world.clock.now += passed
            posted.append((await world.say(ann, channel, "hi", nonce="n", enforce_nonce=True))["id"])
        assert posted == [posted[0], posted[0], posted[2], posted[2]]
        assert posted[0] != posted[2]


async def test_replies_carry_what_they_reply_to() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        channel = await world.general(ann)
        first = await world.say(ann, channel, "question")
        to = {"message_id": first["id"]}
        reply = await world.say(bob, channel, "answer", message_reference=to)
        assert reply["type"] == 19
        assert reply["referenced_message"]["content"] == "question"
        assert reply["message_reference"]["guild_id"] == str(world.service.default_guild)
        assert [user["username"] for user in reply["mentions"]] == ["ann"]
        quiet = {"parse": [], "replied_user": False}
        assert (await world.say(bob, channel, "x", message_reference=to, allowed_mentions=quiet))["mentions"] == []
        await world.service.messages.delete(ann, channel, int(first["id"]))
        read = await world.service.messages.get(bob, channel, int(reply["id"]))
        assert read["referenced_message"] is None
        lenient = {**to, "fail_if_not_exists": False}
        assert (await world.say(bob, channel, "plain", message_reference=lenient))["type"] == 0


async def test_nobody_replies_into_another_channel() -> None:
    async with running_service() as world:
        ann, bob, eve = [await world.person(name) for name in ("ann", "bob", "eve")]
        secret = await world.say(ann, await world.dm(ann, bob), "secret")
        with expect_api_error(400, 50035):
            await world.say(eve, await world.general(eve), "x", message_reference={"message_id": secret["id"]})


async def test_pages() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        channel, other = await world.general(ann), await world.dm(ann, await world.person("bob"))
        ids = []
        for n in range(10):
            ids.append(int((await world.say(ann, channel, str(n)))["id"]))
            await world.say(ann, other, "elsewhere")

        async def read(**asked: int) -> str:
            return "".join(one["content"] for one in await world.service.messages.history(ann, channel, **asked))

        assert await read() == "9876543210"
        assert await read(limit=3) == "987"
        assert await read(before=ids[4], limit=3) == "321"
        assert await read(before=ids[0]) == ""
        assert await read(before=1) == ""
        assert await read(before=ids[9] + 1, limit=1) == "9"
        assert await read(after=ids[4], limit=3) == "765"
        assert await read(after=ids[9]) == ""
        assert await read(after=0, limit=2) == "10"
        assert await read(around=ids[5], limit=5) == "76543"
        assert await read(around=ids[5], limit=4) == "6543"
        assert await read(around=ids[5], limit=1) == "5"
        assert await read(around=ids[0], limit=4) == "10"
        assert await read(around=ids[9], limit=4) == "987"
        assert await read(around=ids[4] + 1, limit=2) == "54"


async def test_only_the_author_edits() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        channel = await world.general(ann)
        posted = await world.say(bob, channel, "first")
        snowflake_at = channel, int(posted["id"])
        world.heard.take()
        world.clock.now += 60
        with expect_api_error(403, 50005):
            await world.service.messages.edit(ann, *snowflake_at, {"content": "owner's"})
        edited = await world.service.messages.edit(bob, *snowflake_at, {"content": f"second <@{ann.user_id}>"})
        assert edited["edited_timestamp"] == iso_timestamp(START + 60)
        assert edited["timestamp"] == posted["timestamp"]
        assert [user["username"] for user in edited["mentions"]] == ["ann"]
        event = world.heard.one("MESSAGE_UPDATE")
        assert event.data["content"].startswith("second")
        assert await world.service.messages.get(ann, *snowflake_at) == edited
        for nothing in ("", "\u200b"):
            with expect_api_error(400, 50006):
                await world.service.messages.edit(bob, *snowflake_at, {"content": nothing})
        with expect_api_error(400, 50035):
            await world.service.messages.edit(bob, *snowflake_at, {"content": "x" * 2001})
        with expect_api_error(404, 10008):
            await world.service.messages.edit(bob, channel, 1, {"content": "x"})
        with expect_api_error(404, 10008):
            await world.service.messages.edit(bob, await world.dm(ann, bob), snowflake_at[1], {"content": "x"})


async def test_authors_and_the_owner_delete() -> None:
    async with running_service() as world:
        ann, bob, eve = [await world.person(name) for name in ("ann", "bob", "eve")]
        channel = await world.general(ann)
        first, second = [int((await world.say(bob, channel, "x"))["id"]) for _ in range(2)]
        with expect_api_error(403, 50013):
            await world.service.messages.delete(eve, channel, first)
        world.heard.take()
        await world.service.messages.delete(ann, channel, second)
        deleted = world.heard.one("MESSAGE_DELETE")
        guild_id = str(world.service.default_guild)
        assert deleted.data == {"id": str(second), "channel_id": str(channel), "guild_id": guild_id}
        assert (await world.service.channels.get(ann, channel))["last_message_id"] == str(first)
        await world.service.messages.delete(bob, channel, first)
        assert (await world.service.channels.get(ann, channel))["last_message_id"] is None
        with expect_api_error(404, 10008):
            await world.service.messages.delete(bob, channel, first)


async def test_the_owner_deletes_many_at_once() -> None:
    async with running_service() as world:
        ann, bob = await world.person("ann"), await world.person("bob")
        channel, private = await world.general(ann), await world.dm(ann, bob)
        ids = [(await world.say(bob, channel, "x"))["id"] for _ in range(3)]
        elsewhere = (await world.say(bob, private, "x"))["id"]
        with expect_api_error(403, 50013):
            await world.service.messages.delete_many(bob, channel, {"messages": ids})
        with expect_api_error(403, 50003):
            await world.service.messages.delete_many(bob, private, {"messages": ids})
        for wrong in ([], ids[:1], ["x", "y"], [str(n) for n in range(101)], "12", None):
            with expect_api_error(400, 50035):
                await world.service.messages.delete_many(ann, channel, {"messages": wrong})
        with expect_api_error(400, 50034):
            await world.service.messages.delete_many(
                bob, channel, {"messages": [ids[0], str(snowflake_at(START - 15 * 86_400))]}
            )
        world.heard.take()
        await world.service.messages.delete_many(ann, channel, {"messages": [*ids[:2], elsewhere, ids[0][:-1] + "9"]})
        assert set(world.heard.one("MESSAGE_DELETE_BULK").data["ids"]) == set(ids[:2])
        assert [one["id"] for one in await world.service.messages.history(ann, channel)] == ids[2:]
        assert len(await world.service.messages.history(ann, private)) == 1


async def test_events_come_in_the_order_of_ids_however_many_write() -> None:
    async with running_service() as world:
        people = [await world.person(f"person {n}") for n in range(4)]
        channel = await world.general(people[0])
        world.heard.take()
        await asyncio.gather(*(world.say(people[n % 4], channel, str(n)) for n in range(100)))
        heard = [int(event.data["id"]) for event in world.heard.take("MESSAGE_CREATE")]
        stored = [int(one["id"]) for one in await world.service.messages.history(people[0], channel, limit=100)]
        assert heard == sorted(heard) == stored[::-1]
        assert len(heard) == 100


async def test_direct_messages_are_between_two() -> None:
    async with running_service() as world:
        ann, bob, eve = [await world.person(name) for name in ("ann", "bob", "eve")]
        bot = await world.bot("helper")
        world.heard.take()
        private = await world.dm(ann, bob)
        opened_for = world.heard.take("CHANNEL_CREATE")
        assert [(set(event.recipients), event.data["recipients"][0]["username"]) for event in opened_for] == [
            ({ann.user_id}, "bob"),
            ({bob.user_id}, "ann"),
        ]
        assert await world.dm(bob, ann) == private
        assert world.heard.take() == []
        await world.say(ann, private, "psst")
        event = world.heard.one("MESSAGE_CREATE")
        assert (set(event.recipients), event.intents, event.content_of) == (
            {ann.user_id, bob.user_id},
            DIRECT_MESSAGES,
            ann.user_id,
        )
        assert "guild_id" not in event.data
        assert "member" not in event.data
        with expect_api_error(403, 50001):
            await world.service.messages.history(eve, private)
        with expect_api_error(403, 50001):
            await world.say(eve, private, "me too")
        with expect_api_error(403, 50003):
            mine = int((await world.say(ann, private, "mine"))["id"])
            await world.service.messages.delete(bob, private, mine)
        world.heard.take()
        await world.dm(bot, ann)
        assert [set(event.recipients) for event in world.heard.take("CHANNEL_CREATE")] == [{ann.user_id}]
        assert [one["recipients"][0]["username"] for one in await world.service.channels.dms(ann)] == ["helper", "bob"]
        with expect_api_error(400, 50007):
            await world.dm(ann, ann)
        with expect_api_error(404, 10013):
            await world.service.channels.open_dm(ann, {"recipient_id": "1"})


async def test_embeds_alone_are_a_message() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        channel = await world.general(ann)
        embed = {"title": "t", "fields": [{"name": "n", "value": "'; --"}]}
        posted = await world.say(ann, channel, "", embeds=[embed], flags=1 << 6 | 1 << 12)
        assert posted["flags"] == 1 << 12
        assert posted["embeds"] == [
            {"type": "rich", "title": "t", "fields": [{"name": "n", "value": "'; --", "inline": False}]}
        ]
        edited = await world.service.messages.edit(ann, channel, int(posted["id"]), {"content": "text", "embeds": []})
        assert (edited["embeds"], edited["content"]) == ([], "text")


@pytest.mark.parametrize(
    ("content", "mentioned"),
    [("@everyone", True), ("hello @here!", True), ("@hereby", False), ("here and everyone", False), ("@access", False)],
)
async def test_everyone_and_here_mention_everyone(content: str, mentioned: bool) -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        message = await world.say(ann, await world.general(ann), content)
    assert message["mention_everyone"] is mentioned
