"""Routes of the chat server: their operations' arguments are found in the request."""

import re

import pytest

from onesocket_discord.server.rest._route import RouteDefinition
from onesocket_discord.server.rest._routes import ROUTES
from tests.unit.onesocket_discord.server.service_fixture import running_service


async def test_every_argument_of_every_operation_is_found() -> None:
    async with running_service() as world:
        handlers = [route.bind(world.service) for route in ROUTES]
    assert len({(route.method, route.path) for route in ROUTES}) == len(handlers)


async def test_an_argument_that_the_request_does_not_have_is_an_error_at_the_start() -> None:
    route = RouteDefinition("GET", "/guilds/{id}", lambda service: service.guilds.get)
    async with running_service() as world:
        with pytest.raises(TypeError, match=re.escape("GET /guilds/{id} has no 'guild_id'")):
            route.bind(world.service)
