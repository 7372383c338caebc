"""The type of messages, from the protocol to the reader, as type checkers see it. Never run: `make check` reads it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict, assert_type

import msgspec
from pydantic import BaseModel, TypeAdapter

from onesocket import Client, Gap, Json, Msgpack, Provider, Raw, SharedClient, Subscription, blocking, join
from onesocket.client import MessageClient
from onesocket.protocols import CodecProtocol, Protocol
from onesocket.sharing import JoinRequest

URL = "wss://example.org"


class Trade(msgspec.Struct, tag="trade"):
    """A message."""

    price: float


class Quote(msgspec.Struct, tag="quote"):
    """Another one."""

    bid: float


@dataclass
class Candle:
    """A message as a dataclass."""

    high: float


class Book(TypedDict):
    """A message as a dict."""

    bids: list[float]


class Model(BaseModel):
    """A message as a model of pydantic."""

    price: float


class Lines(CodecProtocol[list[str]]):
    """A codec of the program's own."""

    name = "lines"

    def decode(self, data: str | bytes) -> list[str]:
        """Split it."""
        return str(data).splitlines()

    def encode(self, message: Any) -> str:
        """Join it."""
        return "\n".join(message)


def check_protocols() -> None:
    """A protocol has the type that it decodes into."""
    assert_type(Json(), Json[Any])
    assert_type(Json(event="t", subprotocols=["v1"]), Json[Any])
    assert_type(Json(type=Trade), Json[Trade])
    assert_type(Msgpack(type=Trade, event="t"), Msgpack[Trade])
    assert_type(Json(type=Candle), Json[Candle])
    assert_type(Json(type=Book), Json[Book])
    assert_type(Json(type=list[int]), Json[list[int]])
    assert_type(Json(type=Trade, many=True), Json[Trade])
    assert_type(Json(decode=len), Json[int])
    assert_type(Json(decode=lambda frame: frame[:1]), Json[str | bytes])
    assert_type(Json(decode=Model.model_validate_json), Json[Model])
    assert_type(Json(decode=TypeAdapter(list[Model]).validate_json, many=True), Json[list[Model]])
    # These need a checker that knows TypeForm; with others they are `Any`, and an annotation says it:
    assert_type(Json(type=Trade | Quote), Json[Trade | Quote])
    assert_type(Json(type=Trade | None), Json[Trade | None])
    assert_type(Json(type=Annotated[int, msgspec.Meta(ge=0)]), Json[int])
    assert_type(Json(type=Literal["up", "down"]), Json[Literal["up", "down"]])
    annotated: Json[Trade | Quote] = Json(type=Trade | Quote)
    assert_type(Client(URL, protocol=annotated), Client[Trade | Quote])
    several: list[Protocol[Trade | Quote]] = [Json(type=Trade), Json(type=Quote)]
    assert_type(Client(URL, protocol=several[0]), Client[Trade | Quote])


def check_bare(protocol: Protocol, client: Client, shared: SharedClient, either: MessageClient) -> None:
    """Without a parameter each class means any messages."""
    assert_type(Client(URL, protocol=protocol), Client[Any])
    assert_type(client.subscribe(), Subscription[Any | Gap])
    assert_type(shared.subscribe(gaps=False), Subscription[Any])
    assert_type(either.subscribe(gaps=False), Subscription[Any])
    client = Client(URL, protocol=Json(type=Trade))
    either = client


async def check_client() -> None:
    """A client has the type of its protocol, and its streams, too."""
    assert_type(Client(URL), Client[str | bytes])
    assert_type(Client(URL, protocol=Raw(), max_size=None), Client[str | bytes])
    assert_type(Client(URL, protocol=Json(), token="t"), Client[Any])
    assert_type(Client(URL, protocol=Lines()), Client[list[str]])
    client = Client(URL, protocol=Json(type=Trade))
    assert_type(client, Client[Trade])
    assert_type(client.subscribe(), Subscription[Trade | Gap])
    assert_type(client.subscribe("trade"), Subscription[Trade | Gap])
    assert_type(client.subscribe(keys=["a"]), Subscription[Trade | Gap])
    assert_type(client.subscribe(gaps=False), Subscription[Trade])
    assert_type(client.subscribe(gaps=False, where=lambda trade: trade.price > 1, limit=1), Subscription[Trade])
    async for item in client:
        assert_type(item, Trade | Gap)
        if not isinstance(item, Gap):
            assert_type(item.price, float)
    async for trade in client.subscribe(gaps=False):
        assert_type(trade, Trade)
    assert_type(await client.request({"get": "trade"}), Trade)
    wider: list[Subscription[Trade | Quote]] = [client.subscribe(gaps=False)]
    assert_type(await anext(wider[0]), Trade | Quote)
    async with Client(URL) as raw:
        assert_type(raw.subscribe(gaps=False), Subscription[str | bytes])


def check_callbacks(client: Client[Trade], both: Client[Trade | Quote]) -> None:
    """A callback for all messages takes their type; one for an event may take a narrower one."""
    assert_type(client.on(lambda trade: trade.price), Callable[[Trade], float])
    assert_type(client.on(lambda item: isinstance(item, Gap), gaps=True), Callable[[Trade | Gap], bool])

    @client.on
    async def _on_trade(_trade: Trade) -> None: ...

    @both.on("trade", where=lambda trade: trade.price > 1)
    def _on_some(_trade: Trade, *, _note: str = "") -> None: ...

    _on_some(Trade(1.0), _note="its own signature")
    both.on(_on_some)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    client.on(_on_trade, gaps=True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def check_shared() -> None:
    """A request to join has the type of its protocol, or of the client that its factory makes."""
    assert_type(join(URL), JoinRequest[str | bytes])
    assert_type(join(URL, protocol=Json(type=Trade), scope="host"), JoinRequest[Trade])
    assert_type(join(URL, client_factory=lambda: Client(URL, protocol=Json(type=Trade))), JoinRequest[Trade])
    async with join(URL, protocol=Json(type=Trade)) as shared:
        assert_type(shared, SharedClient[Trade])
        assert_type(shared.subscribe(keys=["a"]), Subscription[Trade | Gap])
        assert_type(shared.subscribe(keys=["a"], gaps=False), Subscription[Trade])
        assert_type(shared.on(lambda trade: trade.price), Callable[[Trade], float])
        either: MessageClient[Trade] = shared
        assert_type(either.subscribe(), Subscription[Trade | Gap])
        assert_type(either.subscribe(keys=["a"], gaps=False), Subscription[Trade])
        either = Client(URL, protocol=Json(type=Trade))
        assert_type(either.subscribe(gaps=False), Subscription[Trade])
        assert_type(either.on(lambda trade: trade.price), Callable[[Trade], float])
    assert_type(await join(URL), SharedClient[str | bytes])
    assert_type(join(URL, protocol=Msgpack()).client(), SharedClient[Any])


def check_blocking() -> None:
    """The clients of threads, too."""
    assert_type(blocking.join(URL), blocking.SharedClient[str | bytes])
    with blocking.join(URL, protocol=Json(type=Trade), timeout=5, limit=10) as client:
        assert_type(client, blocking.SharedClient[Trade])
        assert_type(client.receive(timeout=1), Trade | Gap)
        assert_type(iter(client), Iterator[Trade | Gap])
        assert_type(client.subscribe(), blocking.Subscription[Trade | Gap])
        assert_type(client.subscribe(gaps=False), blocking.Subscription[Trade])
        assert_type(client.on(lambda trade: trade.price), Callable[[Trade], float])


def check_provider() -> None:
    """A provider has the type of its client."""
    assert_type(Provider(URL, auth=lambda: "t"), Provider[Client[str | bytes]])
    own = Provider(lambda token: Client(URL, token=token, protocol=Json(type=Trade)), auth=lambda: "t")
    assert_type(own.client, Client[Trade] | None)
    shared = Provider(lambda token: join(URL, token=token, protocol=Json(type=Trade)), auth=lambda: "t")
    assert_type(shared.client, SharedClient[Trade] | None)
