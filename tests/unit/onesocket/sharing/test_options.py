"""Comparison of the options of two requests for one connection."""

import ssl
from typing import Any

import pytest

from onesocket import Json, Login, Msgpack, Provider, Raw, ReconnectPolicy, TokenQuery, blocking, join
from onesocket.blocking._join import BlockingJoinOptions
from onesocket.client import OutboxLimits
from onesocket.client._client import Client
from onesocket.client._client_options import ClientOptions, ConnectionOptions
from onesocket.errors import InvalidOption, OptionConflict
from onesocket.provider._provider import ProviderOptions
from onesocket.sharing._connection_key import ConnectionKey
from onesocket.sharing._option_digests import DIAL_OPTIONS
from onesocket.sharing._options import OPTION_NAMES, JoinOptions, RequestedOptions
from onesocket.transports._memory import MemoryServer, MemoryTransport

KEY = ConnectionKey.of("ws://h/?q=s3cret")
NAMED = ConnectionKey.of("ws://h/?q=s3cret", key="us")
CONTEXT = ssl.create_default_context()


def agree(one: dict[str, Any], other: dict[str, Any], key: ConnectionKey = KEY) -> bool:
    try:
        RequestedOptions(one, scope="process").check(RequestedOptions(other, scope="process"), key)
    except OptionConflict as conflict:
        text, option = str(conflict), conflict.option
    else:
        return True
    assert f"{option}=" in text
    assert "s3cret" not in text
    return False


def by_name(name: str) -> Any:
    return lambda message: message[name]


EVENT = by_name("a")
LOGIN = Login(request=lambda token: {"token": token})


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"protocol": Json(event=by_name("a"))},
        lambda: {"protocol": Json(login=Login(request=lambda token: {"token": token}))},
        lambda: {"ssl": ssl.create_default_context()},
        lambda: {"client_factory": by_name("a")},
    ],
)
def test_functions_and_tls_contexts_made_anew_need_a_key(make: Any) -> None:
    assert not agree(make(), make())
    assert agree(make(), make(), NAMED)
    with pytest.raises(OptionConflict, match="pass the same key= where they mean the same account"):
        RequestedOptions(make(), scope="process").check(RequestedOptions(make(), scope="process"), KEY)


def test_a_key_takes_nothing_for_the_same_that_can_be_compared() -> None:
    assert not agree({"protocol": Json(event=by_name("a"))}, {"protocol": Raw()}, NAMED)
    assert not agree({"protocol": Json(event=by_name("a"))}, {"protocol": Json(event="a")}, NAMED)
    assert not agree({"ssl": CONTEXT}, {}, NAMED)
    assert not agree({"headers": {"A": "1"}}, {}, NAMED)
    assert not agree({"client_factory": EVENT}, {}, NAMED)


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"protocol": Raw()},
        lambda: {"protocol": Json(event="t", type=list[int])},
        lambda: {"protocol": Json(event=EVENT)},
        lambda: {"protocol": Msgpack(token_place=TokenQuery("t"))},
        lambda: {"protocol": Json(login=LOGIN)},
        lambda: {"headers": [("A", "1")], "subprotocols": ["x"]},
        lambda: {"reconnect": ReconnectPolicy(cap=3), "outbox": OutboxLimits(messages=3)},
        lambda: {"reconnect": None, "outbox": None, "max_size": None, "ping_interval": None},
        lambda: {"ssl": CONTEXT, "proxy": "http://u:s3cret@p/", "compression": "deflate"},
        lambda: {"proxy": None, "local_address": "127.0.0.1"},
        lambda: {"ssl": CONTEXT, "server_hostname": "a.example"},
        lambda: {"token": "s3cret"},
    ],
)
def test_made_in_the_same_way(make: Any) -> None:
    assert agree(make(), make())
    assert agree({"client_factory": EVENT}, {"client_factory": EVENT})
    dialled = {name: value for name, value in make().items() if name in DIAL_OPTIONS}
    assert agree(make(), dialled)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"headers": {"A": "1"}}),
        ({"headers": {"A": "1"}}, {"headers": None}),
        ({"headers": {"A": "1"}}, {}),
        ({"headers": [("A", "1"), ("a", "2")]}, {"headers": [("A", "2"), ("a", "1")]}),
        ({"subprotocols": ["a"]}, {}),
        ({"subprotocols": ["a"]}, {"protocol": Raw(subprotocols=["b"])}),
        ({"protocol": Json()}, {}),
        ({"ssl": CONTEXT}, {}),
        ({"proxy": "http://u:s3cret@p/"}, {}),
        ({"proxy": None}, {}),
        ({"local_address": "127.0.0.1"}, {}),
        ({"server_hostname": "a.example"}, {"server_hostname": "b.example"}),
        ({"client_factory": by_name("a")}, {}),
        ({"client_factory": by_name("a"), "protocol": Json()}, {"client_factory": by_name("a"), "protocol": Raw()}),
        ({"subprotocols": ["a"]}, {"subprotocols": ["b"]}),
        ({"protocol": Raw()}, {"protocol": Json()}),
        ({"protocol": Json(type=int)}, {"protocol": Json(type=str)}),
        ({"protocol": Json(event=by_name("a"))}, {"protocol": Json(event=by_name("b"))}),
        ({"protocol": Json(login=Login(request=lambda _: 1))}, {"protocol": Json(login=Login(request=lambda _: 2))}),
        ({"protocol": Json(token_place=TokenQuery("a"))}, {"protocol": Json(token_place=TokenQuery("b"))}),
        ({"ssl": CONTEXT}, {"ssl": ssl.create_default_context()}),
        ({"proxy": "http://u:s3cret@p/"}, {"proxy": "http://p/"}),
        ({"ping_interval": 20.0}, {"ping_interval": None}),
        ({"reconnect": ReconnectPolicy(cap=3)}, {}.fromkeys(["reconnect"], ReconnectPolicy(cap=4))),
        ({"transport": MemoryTransport(MemoryServer())}, {}.fromkeys(["transport"])),
        ({"token": "s3cret"}, {"token": "other"}),
    ],
)
def test_made_in_another_way(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert not agree(one, other)


def test_what_is_left_out_has_its_default() -> None:
    assert agree(
        {}, {"open_timeout": 10, "reconnect": ReconnectPolicy(), "protocol": Raw(), "headers": {}, "proxy": True}
    )
    assert not agree({}, {"open_timeout": 11})


def test_the_order_of_options_and_the_case_of_header_names_do_not_count() -> None:
    assert agree({"headers": {"A": "1", "B": "2"}, "proxy": None}, {"proxy": None, "headers": [("b", "2"), ("a", "1")]})
    assert agree({"subprotocols": ["a"]}, {"protocol": Raw(subprotocols=["x"]), "subprotocols": ["a"]}) is False
    assert agree({"protocol": Json(subprotocols=["a"])}, {"protocol": Json(subprotocols=("a",)), "subprotocols": ["a"]})


def test_what_a_client_brings_is_known_once_it_is_made() -> None:
    make = by_name("a")
    first = RequestedOptions({"client_factory": make}, scope="process")
    first.set_protocol(Json(event="t"))
    first.check(RequestedOptions({"client_factory": make, "protocol": Json(event="t")}, scope="process"), KEY)
    with pytest.raises(OptionConflict, match="protocol="):
        first.check(RequestedOptions({"client_factory": make, "protocol": Json()}, scope="process"), KEY)


def test_accounts_that_only_one_option_tells_apart_need_a_key_each() -> None:
    with pytest.raises(OptionConflict, match="a key= of its own to each account") as conflict:
        RequestedOptions({"headers": {"Key": "s3cret"}}, scope="loop").check(RequestedOptions({}, scope="loop"), KEY)
    assert "s3cret" not in str(conflict.value)


@pytest.mark.parametrize("fingerprint", [7, property(lambda _: 1 / 0)])
def test_a_fingerprint_that_is_none_is_a_typed_error(fingerprint: Any) -> None:
    odd = type("Odd", (Raw,), {"fingerprint": fingerprint})
    with pytest.raises(InvalidOption, match="the fingerprint of the protocol Odd"):
        RequestedOptions({"protocol": odd()}, scope="process")
    with pytest.raises(InvalidOption, match="must be a Protocol"):
        RequestedOptions({"protocol": Raw}, scope="process")


def test_another_scope_is_a_conflict() -> None:
    with pytest.raises(OptionConflict, match="scope="):
        RequestedOptions({}, scope="process").check(RequestedOptions({}, scope="host"), KEY)


def test_every_option_of_a_client_is_one_of_join() -> None:
    names = set(Client.__init__.__annotations__) - {"return", "url", "token", "on_error"}
    assert names == OPTION_NAMES == {"protocol", *ConnectionOptions.__annotations__}
    assert {*names, "token", "on_error"} == {"protocol", *ClientOptions.__annotations__}


def test_type_checkers_know_every_option_of_both_joins() -> None:
    own = {"url", "protocol", "client_factory", "options", "return"}
    for function, options in ((join, JoinOptions), (blocking.join, BlockingJoinOptions)):
        assert {*function.__annotations__} - own | OPTION_NAMES == {"protocol", *options.__annotations__}


def test_type_checkers_know_every_option_of_a_provider() -> None:
    assert {*Provider.__init__.__annotations__} == {"make_client", "return", *ProviderOptions.__annotations__}


class EqualByName:
    """Whose state changes, but not what it's equal to."""

    def __init__(self) -> None:
        self.uses = 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EqualByName)

    def __hash__(self) -> int:
        return 1

    def make(self) -> Any:
        raise NotImplementedError


def test_what_changes_as_it_is_used_is_still_the_same() -> None:
    transport = EqualByName()
    before = RequestedOptions({"transport": transport, "client_factory": transport.make}, scope="process")
    transport.uses += 1
    before.check(RequestedOptions({"transport": transport, "client_factory": transport.make}, scope="process"), KEY)
    assert agree({"transport": EqualByName()}, {"transport": EqualByName()})
    assert not agree({"client_factory": EqualByName().make}, {"client_factory": by_name})


def test_what_refers_to_itself_can_be_compared() -> None:
    class Ring:
        def __init__(self) -> None:
            self.ring: Any = self
            self.rings = [self]

    ring = Ring()
    assert agree({"transport": ring}, {"transport": ring})
    assert not agree({"transport": ring}, {"transport": Ring()})


def test_whether_there_is_a_token_source_counts_but_not_which() -> None:
    assert agree({"token": lambda: "a"}, {"token": lambda: "b"})
    assert not agree({}, {"token": lambda: "b"})
    assert not agree({"token": "a"}, {"token": lambda: "a"})
