"""Subscriptions whose messages are requests: ids shared with all requests, answers by id, as the server sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from onesocket import Client, Json, Pace, ReconnectPolicy, Requests, Rotation, Subscriptions
from onesocket.errors import InvalidOption, SubscriptionRefused
from onesocket.testing import MemoryPeer, MemoryServer

from ...virtual_time import make_client, on_virtual_time, settle

NOW = ReconnectPolicy(initial=0.0, cap=0.0)
REQUESTS = Requests(
    refused=lambda answer: answer.get("error"), stop=lambda request: {"op": "stop", "of": request["id"]}
)


def declared(**options: Any) -> Subscriptions:
    given: dict[str, Any] = {"subscribe": lambda keys: {"op": "start", "keys": keys}, "key": key_of, "requests": True}
    return Subscriptions(**given | options)


def key_of(message: Any) -> Any:
    return message.get("key")


class IdVenue:
    """Takes subscriptions by id, as long as ids increase; `x` is refused."""

    def __init__(self) -> None:
        self.server = MemoryServer(on_message=self._take)
        self.views: dict[MemoryPeer, dict[int, list[str]]] = {}
        self.wrong: list[Any] = []
        self._newest: dict[MemoryPeer, int] = {}

    @property
    def keys(self) -> list[str]:
        view = self.views.get(self.server.peers[-1], {})
        return sorted(key for keys in view.values() for key in keys)

    def _take(self, peer: MemoryPeer, data: str | bytes) -> None:
        message = json.loads(data)
        number, view = message.get("id", 0), self.views.setdefault(peer, {})
        if number <= self._newest.get(peer, 0):
            self.wrong.append(message)
        self._newest[peer] = number
        answer: dict[str, Any] = {"id": number}
        match message["op"]:
            case "start" if "x" in message["keys"]:
                answer["error"] = "unknown"
            case "start":
                view[number] = message["keys"]
            case "stop":
                view.pop(message["of"], None)  # what was refused may be ended by a client that doesn't know it yet
            case "end":
                for keys in view.values():
                    keys[:] = [key for key in keys if key not in message["keys"]]
            case _:
                assert message["op"] == "ask"
        peer.send(json.dumps(answer))

    def push(self, key: str) -> None:
        peer = self.server.peers[-1]
        for number, keys in self.views[peer].items():
            if key in keys:
                peer.send(json.dumps({"id": number, "key": key}))


def open_client(venue: IdVenue, subscriptions: Subscriptions, **options: Any) -> Client[Any]:
    return make_client(venue.server, protocol=Json(requests=REQUESTS, subscriptions=subscriptions), **options)


@on_virtual_time
@pytest.mark.parametrize("pace", [None, Pace(1, per=1.0)])
async def test_subscriptions_and_requests_have_their_ids_from_one_counter(pace: Pace | None) -> None:
    venue = IdVenue()
    async with open_client(venue, declared(pace=pace), reconnect=NOW) as client:
        everything = client.subscribe(gaps=False)
        stream = client.subscribe(keys=["a", "b", "x", "c"], gaps=False)
        for _ in range(3):
            await client.request({"op": "ask"})
        await asyncio.sleep(5)
        assert venue.keys == ["a", "b", "c"]
        with pytest.raises(SubscriptionRefused, match=r"'x' was refused \(unknown\)"):
            await anext(stream)
        venue.push("a")
        assert (await anext(stream))["key"] == "a" == (await anext(everything))["key"], "answers are no messages"
        other = client.subscribe(keys=["d"])
        stream.close()
        await asyncio.sleep(5)
        assert venue.keys == ["d"]
        waiting = [asyncio.ensure_future(client.request({"op": "ask"}, resend=True)) for _ in range(2)]
        venue.server.peers[-1].drop()
        await asyncio.sleep(5)
        assert venue.keys == ["d"]
        await asyncio.gather(*waiting)
        other.close()
        await asyncio.sleep(5)
        assert venue.keys == []
        assert len(everything) == 0
    assert not venue.wrong, "ids increase on each connection"


@on_virtual_time
async def test_messages_of_several_keys_are_refused_in_parts_and_ended_by_their_own_message() -> None:
    venue = IdVenue()
    subscriptions = declared(unsubscribe=lambda keys: {"op": "end", "keys": keys}, batch=3)
    async with open_client(venue, subscriptions) as client:
        stream, other = client.subscribe(keys=["a", "x", "b", "c"]), client.subscribe(keys=["a"])
        await settle()
        await asyncio.sleep(1)
        assert venue.keys == ["a", "b", "c"]
        with pytest.raises(SubscriptionRefused):
            await anext(stream)
        stream.close()
        await asyncio.sleep(1)
        assert venue.keys == ["a"]
        other.close()
        await asyncio.sleep(1)
        assert venue.keys == []
    assert not venue.wrong


@on_virtual_time
async def test_answers_of_a_successor_are_found_by_their_ids() -> None:
    venue = IdVenue()
    rotation = Rotation(identity=lambda message: None, overlap=1.0)
    async with open_client(venue, declared(), rotation=rotation) as client:
        stream = client.subscribe(keys=["a", "b"], gaps=False)
        await settle()
        subscriptions = client.internals.subscriptions()
        rotating = asyncio.ensure_future(client.rotate())
        await asyncio.sleep(0.5)
        late = client.subscribe(keys=["x", "c"], gaps=False)
        await rotating
        await asyncio.sleep(5)
        assert venue.keys == ["a", "b", "c"]
        with pytest.raises(SubscriptionRefused):
            await anext(late)
        settled: list[bool] = []
        subscriptions.when_settled(lambda: settled.append(True))
        assert settled
        stream.close()
        await asyncio.sleep(1)
        assert venue.keys == ["c"]


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: declared(ack=lambda _: None), "leave ack= out"),
        (lambda: declared(requests=1), "requests must be True or False, not 1"),
        (lambda: Subscriptions(subscribe=list), "unsubscribe must be a plain function, not NoneType"),
        (lambda: Json(subscriptions=declared()), r"needs requests=Requests\(…\) beside it"),
        (lambda: Json(subscriptions=declared(), requests=Requests()), r"needs unsubscribe=…, or a stop=…"),
    ],
)
def test_a_declaration_without_what_it_needs_names_the_remedy(make: Callable[[], object], text: str) -> None:
    with pytest.raises(InvalidOption, match=text):
        make()
