"""Search in messages, on both kinds of database."""

from onesocket_discord.server.service._search import MessageQuery
from tests.unit.onesocket_discord.server.service_fixture import running_service


async def test_letters_of_every_script_are_found_in_any_case() -> None:
    async with running_service() as world:
        ann = await world.person("ann")
        channel = await world.general(ann)
        for text in ("Über den Wolken", "ПРИВЕТ", "Ωμέγα", "plain ASCII", "100 % _sure_"):
            await world.say(ann, channel, text)

        async def found(content: str) -> list[str]:
            answer = await world.service.search.in_channel(ann, channel, MessageQuery(content))
            return [message["content"] for (message,) in answer["messages"]]

        assert await found("über") == ["Über den Wolken"]
        assert await found("ÜBER") == ["Über den Wolken"]
        assert await found("привет") == ["ПРИВЕТ"]
        assert await found("ωΜΈΓΑ") == ["Ωμέγα"]
        assert await found("PLAIN ascii") == ["plain ASCII"]
        assert await found("0 %") == ["100 % _sure_"]
        assert await found("_sURE_") == ["100 % _sure_"]
        assert await found("0%") == []
        assert await found("plain\0") == []
