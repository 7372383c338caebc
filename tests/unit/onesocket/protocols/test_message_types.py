"""Types of messages: what `Json` and `Msgpack` decode into, and what they refuse when they are made."""

from __future__ import annotations

import enum
import functools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from onesocket import Json, Login, Msgpack, Raw, TokenHeader
from onesocket.errors import DecodeError, EncodeError, InvalidOption
from onesocket.protocols import CodecProtocol
from onesocket.protocols._codec_options import CodecOptions
from onesocket.protocols._typed_codec import TypedCodec
from onesocket.wire._handshake import Data

Number = NewType("Number", int)


class Side(enum.Enum):
    BUY = "buy"


class DecodedTrade(msgspec.Struct, tag="trade"):
    price: float


class DecodedQuote(msgspec.Struct, tag="quote"):
    bid: float


@dataclass
class DecodedCandle:
    high: float


@attrs.define
class Level:
    price: float


class DecodedBook(TypedDict):
    bids: list[float]


class Tree(msgspec.Struct):
    children: list[Tree] = []


class DecodedModel(pydantic.BaseModel):
    price: float
    side: Side = Side.BUY


class Handmade:
    price: float


class Wrapper(msgspec.Struct):
    inner: dict[str, list[Handmade]]


class ModelWrapper(msgspec.Struct):
    inner: DecodedModel | None


TYPES: list[tuple[Any, Any, Any]] = [
    (Any, {"a": [1]}, {"a": [1]}),
    (DecodedTrade, {"type": "trade", "price": 1.5}, DecodedTrade(1.5)),
    (DecodedTrade | DecodedQuote, {"type": "quote", "bid": 1.5}, DecodedQuote(1.5)),
    (DecodedCandle, {"high": 2.0}, DecodedCandle(2.0)),
    (Level, {"price": 2.0}, Level(2.0)),
    (DecodedBook, {"bids": [1.0]}, {"bids": [1.0]}),
    (Tree, {"children": [{}]}, Tree([Tree()])),
    (list[int], [1, 2], [1, 2]),
    (Annotated[int, msgspec.Meta(ge=0)], 3, 3),
    (Literal["up", "down"], "up", "up"),
    (Number, 3, 3),
    (Side | None, "buy", Side.BUY),
]


def codec_frames(codec: TypedCodec[Any], value: Any) -> Iterable[Data]:
    frame = codec.encode(value)
    return (frame, frame.encode()) if isinstance(frame, str) else (frame,)


@pytest.mark.parametrize("make", [Json, Msgpack])
@pytest.mark.parametrize(("kind", "value", "message"), TYPES, ids=lambda each: str(each)[:40])
def test_messages_are_of_the_type(make: Any, kind: Any, value: Any, message: Any) -> None:
    codec = make(type=kind)
    assert [codec.decode(frame) for frame in codec_frames(codec, value)] == [message] * (1 + (make is Json))


@pytest.mark.parametrize("make", [Json, Msgpack])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Handmade, "can't decode the class Handmade; use a msgspec.Struct, a dataclass"),
        (list[Handmade], "the class Handmade; .* give decode= a function"),
        (Wrapper, "type=Wrapper: .* the class Handmade"),
        (OrderedDict, "the class OrderedDict"),
        (object, "the class object"),
        (Callable, "the class Callable"),
        (Annotated[Handmade, msgspec.Meta(title="t")], "the class Handmade"),
        (DecodedModel, "the class DecodedModel, a model of pydantic; leave type= out, and give decode="),
        (ModelWrapper, "type=ModelWrapper: .* the class DecodedModel, a model of pydantic"),
        (5, "type=5 is no type that msgspec can decode"),
        ("DecodedTrade", "type='DecodedTrade' is no type"),
        (DecodedTrade | DecodedCandle, "no type that msgspec can decode: Type unions"),
        (list[int] | tuple[int, ...], "no type that msgspec can decode: Type unions"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_a_type_that_msgspec_cannot_decode_is_refused_when_the_codec_is_made(make: Any, kind: Any, reason: str) -> None:
    with pytest.raises(InvalidOption, match=reason):
        make(type=kind)


def test_models_of_pydantic_are_decoded_by_their_own_function() -> None:
    one = Json(decode=DecodedModel.model_validate_json)
    assert one.decode('{"price": 1}') == one.decode(b'{"price": 1}') == DecodedModel(price=1)
    adapter = pydantic.TypeAdapter(list[DecodedModel] | DecodedModel)
    assert Json(decode=adapter.validate_json).decode('[{"price": 1}]') == [DecodedModel(price=1)]
    packed = Msgpack(decode=lambda frame: DecodedModel.model_validate(msgspec.msgpack.decode(as_bytes(frame))))
    assert packed.decode(packed.encode({"price": 1})) == DecodedModel(price=1)
    assert one.encode(DecodedModel(price=1.5).model_dump(mode="json")) == '{"price":1.5,"side":"buy"}'
    for codec in (one, packed):
        with pytest.raises(EncodeError, match=r"type DecodedModel can't be sent as .* send its model_dump"):
            codec.encode(DecodedModel(price=1.5))


def as_bytes(data: Data) -> bytes:
    return data.encode() if isinstance(data, str) else data


@pytest.mark.parametrize("make", [Json, Msgpack])
def test_an_exception_of_decode_is_a_decode_error_without_the_message_in_its_text(make: Any) -> None:
    def decode(frame: Data) -> Any:
        raise failure

    frame = make().encode("s3cret")
    failure: Exception
    for failure in (ValueError("s3cret"), KeyError("s3cret"), RuntimeError("s3cret")):
        with pytest.raises(DecodeError, match=type(failure).__name__) as caught:
            make(decode=decode).decode(frame)
        assert caught.value.__cause__ is failure
        assert "s3cret" not in f"{caught.value} {caught.value!r}"
    with pytest.raises(DecodeError, match="ValidationError") as caught:
        Json(decode=DecodedModel.model_validate_json).decode('{"price": "s3cret"}')
    assert "s3cret" not in f"{caught.value} {caught.value!r}"
    failure = DecodeError("its own")
    with pytest.raises(DecodeError, match="its own"):
        make(decode=decode).decode(frame)


async def coroutine_function(*_: Any) -> Any:
    pass


class CalledLater:
    async def __call__(self, *_: Any) -> Any:
        pass


@pytest.mark.parametrize("make", [Json, Msgpack, Raw])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"login": {"op": "login"}}, "login must be a Login, such as Login.*, not dict"),
        ({"login": Login}, "login must be a Login"),
        ({"event": 5}, "event must be the key of the event name .* not int"),
        ({"event": coroutine_function}, "event must be .* a plain function of the message, not a coroutine function"),
        ({"event": CalledLater()}, "event must be .* not a coroutine function"),
        ({"subprotocols": "v1"}, r"subprotocols must be a list of names, such as \['v1'\], not one str"),
        ({"subprotocols": 5}, "subprotocols must be a list of names, not 5"),
        ({"subprotocols": ["a b"]}, "'a b' is not a sub-protocol name"),
        ({"subprotocols": ["a", "a"]}, "subprotocols names one twice"),
        ({"token_place": "query"}, r"token_place must be a place such as TokenHeader\('X-Key'\)"),
        ({"token_place": TokenHeader}, "token_place must be .* not the class TokenHeader"),
        ({"pace": 5}, "pace must be a Pace, such as"),
        ({"on_ready": [{"op": "subscribe"}]}, "on_ready must be a plain function"),
        ({"on_ready": coroutine_function}, "on_ready must be a plain function"),
        ({"on_ready": CalledLater()}, "on_ready must be a plain function"),
    ],
)
def test_options_of_the_wrong_kind_are_refused_when_the_codec_is_made(make: Any, options: Any, reason: str) -> None:
    with pytest.raises(InvalidOption, match=reason):
        make(**options)


@pytest.mark.parametrize("make", [Json, Msgpack])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"many": 1}, "many must be True or False, not 1"),
        ({"many": "yes"}, "many must be True or False, not 'yes'"),
        ({"decode": 5}, "decode must be a plain function that makes a message of a frame, not int"),
        ({"decode": coroutine_function}, "decode must be a plain function .* not a coroutine function"),
        ({"type": DecodedTrade, "decode": len}, "give type= or decode=, not both"),
    ],
)
def test_options_of_typed_codecs_of_the_wrong_kind_are_refused(make: Any, options: Any, reason: str) -> None:
    with pytest.raises(InvalidOption, match=reason):
        make(**options)


def test_type_checkers_know_every_option_of_a_codec() -> None:
    assert {*CodecProtocol.__init__.__annotations__} - {"return"} == {*CodecOptions.__annotations__}
    own = {*TypedCodec.__init__.__annotations__} - {"return", "options"}
    assert own == {"type", "decode", "many"}


@pytest.mark.parametrize("make", [Json, Msgpack, Raw])
def test_an_option_that_no_codec_has_is_an_error(make: Any) -> None:
    with pytest.raises(TypeError, match="logn"):
        make(logn=None)


@pytest.mark.parametrize("name", ["request", "ready", "refused"])
@pytest.mark.parametrize("function", [5, "ready", coroutine_function, CalledLater()])
def test_a_login_takes_plain_functions_only(name: str, function: Any) -> None:
    options: dict[str, Any] = {name: function}
    with pytest.raises(InvalidOption, match=f"Login: {name} must be a plain function or None, not "):
        Login(**options)
    options = {name: functools.partial(min, 1)}
    assert Login(**options) is not None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda value: value,
        lambda value: {"price": value},
        lambda value: {"a": None, "b": [1, {"c": (2.0, value)}]},
        lambda value: {"set": {value}},
        DecodedTrade,
        DecodedCandle,
        Level,
        lambda value: [None, DecodedQuote(value)],
        lambda value: [2**70, value],
    ],
)
def test_json_has_no_nan_and_no_infinity(value: float, wrap: Callable[[float], Any]) -> None:
    with pytest.raises(EncodeError, match="with a NaN or an infinity can't be sent as JSON"):
        Json().encode(wrap(value))
    if not isinstance(wrap(value), list) or wrap(value)[0] is None:
        assert Msgpack().encode(wrap(value))  # MessagePack has them
    assert Json().encode(wrap(1.5))


@pytest.mark.parametrize(
    "message",
    [
        None,
        {"a": None},
        [None, 1.5],
        {"text": "null"},
        "null",
        {"null": 1},
        [None, 2**70],
        [None, "\x00", 0x7FF0000000000000, 0xCB7FF000],  # looks like an infinity in MessagePack
    ],
)
def test_what_is_null_in_json_is_sent(message: Any) -> None:
    assert msgspec.json.decode(Json().encode(message)) == message


def test_types_are_compared_by_name_between_processes() -> None:
    for kind in [each for each, *_ in TYPES]:
        codec = Json(type=kind)
        assert codec.fingerprint == Json(type=kind).fingerprint
        assert codec.opaque_arguments == ()
    kinds = [
        DecodedTrade,
        DecodedQuote,
        DecodedTrade | DecodedQuote,
        DecodedTrade | None,
        list[DecodedTrade],
        dict[str, DecodedTrade],
        Annotated[int, msgspec.Meta(ge=0)],
        Annotated[int, msgspec.Meta(ge=1)],
        Literal["up"],
        Literal["down"],
        Number,
    ]
    fingerprints = {Json(type=kind).fingerprint for kind in kinds}
    fingerprints |= {Json().fingerprint, Json(many=True).fingerprint, Msgpack().fingerprint}
    assert len(fingerprints) == len(kinds) + 3


def test_a_class_method_is_compared_by_name_and_other_functions_by_identity() -> None:
    class Other(pydantic.BaseModel):
        pass

    one, same, other = (Json(decode=kind.model_validate_json) for kind in (DecodedModel, DecodedModel, Other))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.opaque_arguments == ()
    adapter = pydantic.TypeAdapter(DecodedModel)
    one, same, other = (
        Json(decode=each.validate_json) for each in (adapter, adapter, pydantic.TypeAdapter(DecodedModel))
    )
    assert one.fingerprint == same.fingerprint == other.fingerprint
    assert one.opaque_arguments == same.opaque_arguments != other.opaque_arguments
