"""Embeds, components and forwards, against the limits that Discord documents."""

from typing import Any

import pytest

from onesocket_discord.server._api_error import ApiError
from tests.unit.onesocket_discord.server.service_fixture import ServiceFixture, expect_api_error, running_service

V2 = 1 << 15
FIELD = {"name": "n", "value": "v"}


def row(*inside: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": list(inside)}


def button(**changes: Any) -> dict[str, Any]:
    return {"type": 2, "style": 1, "label": "x", "custom_id": "a", **changes}


def select(**changes: Any) -> dict[str, Any]:
    return {"type": 3, "custom_id": "s", "options": [{"label": "l", "value": "v"}], **changes}


def text(content: str = "hi") -> dict[str, Any]:
    return {"type": 10, "content": content}


def media(url: str = "https://example.org/a.png") -> dict[str, Any]:
    return {"media": {"url": url}}


async def errors_of(world: ServiceFixture, **body: Any) -> dict[str, Any]:
    """Posts it: the errors by field; none if it was stored, and its components came back as they were sent."""
    ann = await world.person("ann")
    channel = await world.general(ann)
    try:
        posted = await world.say(ann, channel, body.pop("content", "c"), **body)
    except ApiError as error:
        return error.errors or {"code": error.code}
    assert posted["components"] == body.get("components", [])
    return {}


@pytest.mark.parametrize(
    ("embeds", "path"),
    [
        ([{"title": "t" * 256, "description": "d" * 4096}], None),
        ([{"title": "t", "fields": [FIELD] * 25, "color": 0xFFFFFF, "timestamp": "2026-11-28T00:00:00Z"}], None),
        ([{"image": {"url": "attachment://a.png"}, "author": {"name": "a", "url": "https://example.org"}}], None),
        ([{"title": "t"}] * 10, None),
        ([{"description": "d" * 3000}] * 2, None),
        ([{"title": "t"}] * 11, "embeds"),
        ([{"description": "d" * 3001}, {"description": "d" * 3000}], "embeds"),
        ([{}], "embeds.0.description"),
        ([{"color": 1}], "embeds.0.description"),
        ([{"title": "t" * 257}], "embeds.0.title"),
        ([{"title": "t"}, {"description": "d" * 4097}], "embeds.1.description"),
        ([{"title": "t", "fields": [FIELD] * 26}], "embeds.0.fields"),
        ([{"fields": [FIELD, {"name": "n"}]}], "embeds.0.fields.1.value"),
        ([{"fields": [{"name": "", "value": "v"}]}], "embeds.0.fields.0.name"),
        ([{"fields": [{"name": "n", "value": "v" * 1025}]}], "embeds.0.fields.0.value"),
        ([{"fields": [{"name": "n" * 257, "value": "v"}]}], "embeds.0.fields.0.name"),
        ([{"footer": {"text": "f" * 2049}}], "embeds.0.footer.text"),
        ([{"footer": {}}], "embeds.0.footer.text"),
        ([{"author": {"name": "a" * 257}}], "embeds.0.author.name"),
        ([{"title": "t", "color": 0x1000000}], "embeds.0.color"),
        ([{"title": "t", "color": -1}], "embeds.0.color"),
        ([{"title": "t", "url": "nope"}], "embeds.0.url"),
        ([{"title": "t", "url": "javascript:alert(1)"}], "embeds.0.url"),
        ([{"title": "t", "url": "attachment://a.png"}], "embeds.0.url"),
        ([{"title": "t", "url": "https://"}], "embeds.0.url"),
        ([{"title": "t", "url": "http://[::1"}], "embeds.0.url"),
        ([{"image": {}}], "embeds.0.image.url"),
        ([{"title": "t", "timestamp": "yesterday"}], "embeds.0.timestamp"),
        ([{"title": 5}], "embeds.0.title"),
        (["t"], "embeds"),
    ],
)
async def test_embeds_are_checked(embeds: list[Any], path: str | None) -> None:
    async with running_service() as world:
        check(await errors_of(world, embeds=embeds), path)


@pytest.mark.parametrize(
    ("components", "path"),
    [
        (
            [row(*[button(custom_id=str(n)) for n in range(5)])] + [row(select(custom_id=f"s{n}")) for n in range(4)],
            None,
        ),
        ([row(button(style=5, custom_id=None, url="https://example.org"))], None),
        ([row(select(options=[{"label": str(n), "value": str(n)} for n in range(25)], max_values=25))], None),
        ([row({"type": kind, "custom_id": str(kind)}) for kind in (5, 6, 7, 8)], None),
        ([row(*[button(custom_id=str(n)) for n in range(6)])], "components.0.components"),
        ([row(button(custom_id=str(n))) for n in range(6)], "components"),
        ([row()], "components.0.components"),
        ([row(select(), select(custom_id="t"))], "components.0.components"),
        ([row(button(), select())], "components.0.components.1.type"),
        ([row(button()), row(button())], "components.1.components.0.custom_id"),
        ([row(button(custom_id="c" * 101))], "components.0.components.0.custom_id"),
        ([row({"type": 2, "style": 1, "label": "x"})], "components.0.components.0.custom_id"),
        ([row(button(style=5, url="https://example.org"))], "components.0.components.0.custom_id"),
        ([row({"type": 2, "style": 5, "label": "x"})], "components.0.components.0.url"),
        ([row(button(url="https://example.org"))], "components.0.components.0.url"),
        ([row(button(style=9))], "components.0.components.0.style"),
        ([row(button(label="x" * 81))], "components.0.components.0.label"),
        ([row(select(options=[]))], "components.0.components.0.options"),
        ([row(select(options=[{"label": "l", "value": "v"}] * 2))], "components.0.components.0.options"),
        ([row(select(options=[{"label": "l" * 101, "value": "v"}]))], "components.0.components.0.options.0.label"),
        ([row(select(min_values=2))], "components.0.components.0.min_values"),
        ([row(select(placeholder="p" * 151))], "components.0.components.0.placeholder"),
        ([button()], "components.0.type"),
        ([text()], "components.0.type"),  # without the flag
        ([row(row())], "components.0.components.0.type"),
        ([{"type": 4, "custom_id": "x"}], "components.0.type"),
        (5, "components"),
        ([{**row(button()), "unread": "x" * (128 << 10)}], "components"),
        ([row({**button(), "emoji": {"name": "x" * (128 << 10)}})], "components"),
    ],
)
async def test_components_are_checked(components: Any, path: str | None) -> None:
    async with running_service() as world:
        check(await errors_of(world, components=components), path)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"components": [text()]}, None),
        ({"components": [{"type": 17, "components": [text(), row(button()), {"type": 14, "spacing": 2}]}]}, None),
        ({"components": [{"type": 9, "components": [text()], "accessory": {"type": 11, **media()}}]}, None),
        ({"components": [{"type": 12, "items": [media()] * 10}]}, None),
        ({"components": [{"type": 13, "file": {"url": "attachment://a.txt"}}]}, None),
        ({"components": [text()], "content": "legacy"}, "content"),
        ({"components": [text()], "embeds": [{"title": "t"}]}, "embeds"),
        ({"components": [text("")]}, "components.0.content"),
        ({"components": [text("x" * 2001), text("x" * 2000)]}, "components"),
        ({"components": [text() for _ in range(41)]}, "components"),
        ({"components": [{"type": 17, "components": [text() for _ in range(40)]}]}, "components"),
        (
            {"components": [{"type": 17, "components": [{"type": 17, "components": [text()]}]}]},
            "components.0.components.0.type",
        ),
        ({"components": [{"type": 9, "components": [text()]}]}, "components.0.accessory"),
        ({"components": [{"type": 12, "items": []}]}, "components.0.items"),
        ({"components": [{"type": 12, "items": [{}]}]}, "components.0.items.0.media"),
        ({"components": [{"type": 14, "spacing": 3}]}, "components.0.spacing"),
    ],
)
async def test_layout_components_are_checked(body: dict[str, Any], path: str | None) -> None:
    async with running_service() as world:
        check(await errors_of(world, **{"content": "", "flags": V2, **body}), path)


def check(errors: dict[str, Any], path: str | None) -> None:
    """Exactly the field of this path is wrong; None: nothing is."""
    if path is None:
        assert errors == {}
        return
    at = errors
    for name in path.split("."):
        assert list(at) == [name], errors
        at = at[name]
    assert list(at) == ["_errors"], errors


async def test_an_edit_is_checked_too_and_a_layout_stays_one() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        channel = await world.general(ann)
        edit = world.service.messages.edit
        plain = int((await world.say(ann, channel, "x"))["id"])
        with expect_api_error(400, 50035):
            await edit(ann, channel, plain, {"embeds": [{"title": "t" * 257}]})
        with expect_api_error(400, 50035):
            await edit(ann, channel, plain, {"components": [button()]})
        laid_out = int((await world.say(ann, channel, "", flags=V2, components=[text()]))["id"])
        assert (await edit(ann, channel, laid_out, {"flags": 0}))["flags"] == V2
        with expect_api_error(400, 50035):
            await edit(ann, channel, laid_out, {"content": "legacy"})
        assert (await edit(ann, channel, laid_out, {"components": [text("new")]}))["components"] == [text("new")]


async def test_a_forward_shows_its_original_as_it_was() -> None:
    async with running_service() as world:
        ann, bob, eve = await world.person("ann"), await world.person("bob"), await world.person("eve")
        channel, private = await world.general(ann), await world.dm(ann, bob)
        original = await world.say(ann, private, "secret", embeds=[{"title": "t"}])
        reference = {"type": 1, "message_id": original["id"], "channel_id": str(private)}
        posted = await world.say(ann, channel, "", message_reference=reference)
        assert posted["type"] == 0
        assert posted["message_reference"] == reference
        (snapshot,) = posted["message_snapshots"]
        for name in ("content", "embeds", "timestamp"):
            assert snapshot["message"][name] == original[name]
        await world.service.messages.edit(ann, private, int(original["id"]), {"content": "changed"})
        await world.service.messages.delete(ann, private, int(original["id"]))
        (read,) = await world.service.messages.history(bob, channel)
        assert read["message_snapshots"] == posted["message_snapshots"]
        again = {"type": 1, "message_id": posted["id"], "channel_id": str(channel)}
        assert (await world.say(bob, channel, "", message_reference=again))["message_snapshots"] == [snapshot]
        with expect_api_error(404, 10008):
            await world.say(ann, channel, "", message_reference=reference)
        other = await world.say(ann, private, "another")
        with expect_api_error(403, 50001):
            await world.say(eve, channel, "", message_reference={**reference, "message_id": other["id"]})
