"""Handles on a connection can't be pickled: the token would go along."""

import copy
import multiprocessing.reduction
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from onesocket import Client, Provider, blocking, join
from onesocket.errors import UsageError
from onesocket.testing import FaultyServer, ThreadedServer
from onesocket_discord import DiscordClient, Intents
from onesocket_discord.rest import Rest

COPIES = [pickle.dumps, copy.copy, copy.deepcopy, multiprocessing.reduction.ForkingPickler.dumps]


@pytest.mark.parametrize("dump", COPIES)
def test_objects_with_a_token_are_refused_by_name(dump: Callable[[Any], object]) -> None:
    with pytest.raises(UsageError, match="a Client can't be pickled"):
        dump(Client("ws://127.0.0.1:9/", token="s3cret"))
    with pytest.raises(UsageError, match="a Provider can't be pickled"):
        dump(Provider("ws://127.0.0.1:9/", auth=lambda: None))
    with pytest.raises(UsageError, match="a JoinRequest can't be pickled"):
        dump(join("ws://127.0.0.1:9/", token="s3cret"))
    with pytest.raises(UsageError, match="a Rest can't be pickled"):
        dump(Rest("s3cret"))
    with pytest.raises(UsageError, match="a DiscordClient can't be pickled"):
        dump(DiscordClient("s3cret", intents=Intents(0)))


async def test_a_shared_client_is_refused_by_name() -> None:
    async with FaultyServer() as server, join(server.url, token="s3cret") as shared:
        with pytest.raises(UsageError, match="a SharedClient can't be pickled"):
            pickle.dumps(shared)


def test_a_blocking_client_is_refused_by_name() -> None:
    with (
        ThreadedServer(FaultyServer()) as server,
        blocking.join(server.server.url) as shared,
        pytest.raises(UsageError, match="a SharedClient can't be pickled"),
    ):
        pickle.dumps(shared)
