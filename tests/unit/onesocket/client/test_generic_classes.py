"""Classes with a type parameter for type checkers are the same classes at run time, with it and without."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from onesocket import Client, Json, Msgpack, Raw, SharedClient, Subscription, blocking
from onesocket.client import MessageClient
from onesocket.errors import UsageError
from onesocket.protocols import CodecProtocol, Protocol
from onesocket.sharing import JoinRequest

CLASSES: list[Any] = [
    Client,
    SharedClient,
    JoinRequest,
    MessageClient,
    Subscription,
    blocking.SharedClient,
    blocking.Subscription,
    Protocol,
    CodecProtocol,
    Json,
    Msgpack,
]


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_each_takes_one_parameter(kind: Any) -> None:
    assert kind[int].__origin__ is kind


def test_a_client_made_with_a_parameter_is_like_one_made_without() -> None:
    plain, typed = Client("ws://h/", protocol=Json(type=int)), Client[int]("ws://h/", protocol=Json[int](type=int))
    assert type(typed) is type(plain) is Client
    assert repr(typed) == repr(plain)
    with pytest.raises(UsageError, match="a Client can't be pickled"):
        pickle.dumps(typed)


@pytest.mark.parametrize("kind", [Json, Msgpack])
def test_a_protocol_made_with_a_parameter_is_like_one_made_without(kind: Any) -> None:
    plain, typed = kind(type=list[int]), kind[list[int]](type=list[int])
    assert type(typed) is type(plain)
    assert repr(typed) == repr(plain)
    assert typed.fingerprint == plain.fingerprint
    assert isinstance(typed, Protocol)


def test_a_subclass_of_a_class_with_its_parameter_given_is_a_plain_subclass() -> None:
    class Upper(CodecProtocol[str]):
        name = "upper"

        def decode(self, data: str | bytes) -> str:
            return str(data).upper()

        def encode(self, message: Any) -> str:
            return str(message)

    assert Upper().decode("a") == "A"
    assert Upper().fingerprint == Upper().fingerprint != Raw().fingerprint
