"""Equality of the fingerprints of two protocols, in one process and in two."""

import asyncio
import enum
import functools
import operator
import subprocess
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from onesocket import Json, Login, Msgpack, Raw, TokenHeader, TokenQuery
from onesocket.hub import JsonMerge, MergedRaw
from onesocket.protocols import Protocol
from onesocket.protocols._fingerprint import ByIdentity, ProcessLocal, comparable_form, digest, name_of
from onesocket_discord.protocol._gateway import DiscordGateway
from onesocket_discord.protocol._identification import Identification
from onesocket_discord.protocol._intents import Intents

ACCOUNT = "alice"
STATEFUL_DICT = {"account": "alice", "uses": 0}


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0


class Quote(msgspec.Struct):
    price: float


class StatefulObject:
    """An object of the program, whose state changes."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.uses = 0

    def request(self, token: str | None) -> Any:
        self.uses += 1
        return {"account": self.account, "token": token}


def closed_over(account: str) -> Any:
    return lambda token: {"account": account, "token": token}


def by_default(account: str) -> Any:
    return lambda token, who=account: {"account": who, "token": token}


def keyword_only(account: str) -> Any:
    def request(token: str | None, *, who: str = account) -> Any:
        return {"account": who, "token": token}

    return request


def in_a_dict(account: str) -> Any:
    config = {"account": account, "worker": object()}
    return lambda token: {"account": config["account"], "token": token}


def in_an_object(account: str) -> Any:
    book = StatefulObject(account)
    return lambda token: {"account": book.account, "token": token}


def by_another(account: str) -> Any:
    inner = closed_over(account)
    return lambda token: [inner(token)]


def in_a_tuple(account: str) -> Any:
    parts = (account, 1)
    return lambda token: {"account": parts[0], "token": token}


def by_a_method(account: str) -> Any:
    return StatefulObject(account).request


def by_partial(account: str) -> Any:
    return functools.partial(closed_over("x"), account)


CAPTURE_WAYS = [
    closed_over, by_default, keyword_only, in_a_dict, in_an_object, by_another, in_a_tuple, by_a_method, by_partial,
]  # fmt: skip


def login(request: Any) -> str:
    return Json(login=Login(request=request)).fingerprint


@pytest.mark.parametrize("way", CAPTURE_WAYS)
def test_the_account_in_a_login_counts_wherever_it_stands(way: Any) -> None:
    assert login(way("alice")) == login(way("alice"))
    assert login(way("alice")) != login(way("bob"))


def test_so_do_globals_and_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os  # noqa: PLC0415 - as a program's function would see it

    def by_global(token: str | None) -> Any:
        return {"account": ACCOUNT, "token": token}

    def by_book(token: str | None) -> Any:
        return {"account": STATEFUL_DICT["account"], "token": token}

    def by_environment(token: str | None) -> Any:
        return {"account": os.environ["TEST_ACCOUNT"], "token": token}

    monkeypatch.setenv("TEST_ACCOUNT", "alice")
    before = [login(way) for way in (by_global, by_book, by_environment)]
    monkeypatch.setitem(STATEFUL_DICT, "uses", 7)
    monkeypatch.setenv("TEST_OTHER", "bob")
    assert [login(way) for way in (by_global, by_book, by_environment)] == before
    monkeypatch.setenv("TEST_ACCOUNT", "bob")
    monkeypatch.setitem(STATEFUL_DICT, "account", "bob")
    monkeypatch.setattr(sys.modules[__name__], "ACCOUNT", "bob")
    after = [login(way) for way in (by_global, by_book, by_environment)]
    assert all(one != other for one, other in zip(before, after, strict=True))


def test_what_an_object_counts_does_not() -> None:
    book = StatefulObject("alice")
    before = login(book.request)
    book.request(None)
    assert login(book.request) == before


class CustomLogin(Json):
    """A login of its own."""

    greeting = "hello"

    def __init__(self, account: str, *, retries: int = 3, **options: Any) -> None:
        super().__init__(**options)
        self.account = account
        self.retries = retries


class RenamedLogin(CustomLogin):
    greeting = "hi"


class InheritedFingerprint(Raw):
    def __init__(self) -> None:
        super().__init__()
        self.fingerprint = "acme feed, 1"


class DeclaredFingerprint(Json):
    @functools.cached_property
    def fingerprint(self) -> str:
        return "acme feed, 1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Raw(), Raw()),
        (Json(), Json(login=None, event=None, subprotocols=[], type=Any)),
        (Json(type=list[int]), Json(type=list[int])),
        (Json(subprotocols=["a", "b"]), Json(subprotocols=("a", "b"))),
        (Json(event=operator.itemgetter("t")), Json(event=operator.itemgetter("t"))),
        (CustomLogin("a"), CustomLogin(account="a", retries=3)),
        (InheritedFingerprint(), DeclaredFingerprint()),
        (MergedRaw(JsonMerge(key="a.b")), MergedRaw(JsonMerge(key="a.b"))),
        (DiscordGateway(Identification(intents=Intents(1))), DiscordGateway(Identification(intents=Intents(1)))),
    ],
)
def test_alike(one: Protocol, other: Protocol) -> None:
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Raw(), Json()),
        (Json(), Msgpack()),
        (Json(), Json(token_place=None)),
        (Json(token_place=TokenHeader("A")), Json(token_place=TokenHeader("B"))),
        (Json(token_place=TokenQuery("a")), Json(token_place=TokenHeader("a"))),
        (Json(type=int), Json(type=list[int])),
        (Json(type=int | None), Json(type=str | None)),
        (Json(type=Literal["a"]), Json(type=Literal["b"])),
        (Json(event="a"), Json(event="b")),
        (Json(event=lambda m: m["a"]), Json(event=lambda m: m["b"])),
        (CustomLogin("a"), CustomLogin("b")),
        (CustomLogin("a"), CustomLogin("a", retries=4)),
        (CustomLogin("a"), RenamedLogin("a")),
        (InheritedFingerprint(), Raw()),
        (MergedRaw(JsonMerge(key="a.b")), MergedRaw(JsonMerge(key="a"))),
        (DiscordGateway(Identification(intents=Intents(1))), DiscordGateway(Identification(intents=Intents(3)))),
    ],
)
def test_not_alike(one: Protocol, other: Protocol) -> None:
    assert one.fingerprint != other.fingerprint


def test_no_secret_is_in_it() -> None:
    assert "s3cret" not in CustomLogin("s3cret").fingerprint + repr(CustomLogin("s3cret"))


def test_a_protocol_takes_no_arguments_that_it_does_not_know() -> None:
    class Bare(Protocol):
        def received(self, data: Any, now: float) -> Any:
            return ()

        def encode(self, message: Any) -> Any:
            return message

    made: Any = Bare
    with pytest.raises(TypeError, match="takes no arguments"):
        made(1)
    assert Bare().fingerprint == Bare().fingerprint


class CyclicObject:
    def __init__(self) -> None:
        self.ring = self


@pytest.mark.parametrize(
    "make",
    [
        lambda: (None, True, 1, 1.5, "a", b"b", 2j),
        lambda: {"b": {2, 1}, "a": frozenset({3})},
        lambda: [Point(1), Quote(2.0), Color.RED, Decimal("1.5"), Path("/x"), len, "".join, sys, int],
        lambda: [StatefulObject("a"), type("Text", (str,), {})("a"), type("Number", (int,), {})(1)],
    ],
)
def test_data_is_compared_by_its_value(make: Any) -> None:
    assert comparable_form(make()) == comparable_form(make())
    assert digest(comparable_form(make())) == digest(comparable_form(make()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Point(1), Point(2)),
        (Quote(1.0), Quote(2.0)),
        (Color.RED, Color.BLUE),
        (Decimal("1.5"), Decimal("1.6")),
        (Path("/x"), Path("/y")),
        (StatefulObject("a"), StatefulObject("b")),
        (len, print),
        ({"a": 1}, {"a": 2}),
    ],
)
def test_and_differs_with_it(one: Any, other: Any) -> None:
    assert comparable_form(one) != comparable_form(other)
    assert digest(comparable_form(one)) != digest(comparable_form(other))


async def test_what_can_not_be_read_is_itself_here_and_one_of_its_kind_elsewhere() -> None:
    one, other = object(), object()
    assert comparable_form(one) == comparable_form(one)
    assert comparable_form(one) != comparable_form(other)
    assert digest(comparable_form(one)) == digest(comparable_form(other))
    assert comparable_form(asyncio.get_running_loop()) is not None  # however much hangs on it
    assert len({comparable_form(one), comparable_form(one)}) == 1
    assert digest(comparable_form(CyclicObject())) == digest(comparable_form(CyclicObject()))
    assert ProcessLocal(1, 2) != 1
    assert ByIdentity(1) != 1


_PROGRAM = """
import multiprocessing, sys
from onesocket import Json, Login

ACCOUNT = "alice"
REQUESTS = {"a": lambda token: {"account": ACCOUNT, "in": sorted({"x", "y", "z"})}}


class Own(Json):
    def opened(self, token, now):
        return [x for x in (ACCOUNT, "b")]


def tell(out=None):
    told = [Json(login=Login(request=REQUESTS["a"], ready=lambda m: m in {"a", "b", 3})).fingerprint, Own().fingerprint]
    (out.put if out is not None else print)(told)


if __name__ == "__main__":
    if sys.argv[1:] == ["spawn"]:
        context = multiprocessing.get_context("spawn")
        out = context.Queue()
        child = context.Process(target=tell, args=(out,))
        child.start()
        print(out.get())
        child.join()
    else:
        tell()
"""


def test_it_is_the_same_however_a_process_was_started(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(_PROGRAM)
    (tmp_path / "other.py").write_text(_PROGRAM.replace('ACCOUNT = "alice"', 'ACCOUNT = "bob"'))

    def run(*arguments: str, seed: str) -> str:
        done = subprocess.run(  # noqa: S603 - our own program
            [sys.executable, *arguments], cwd=tmp_path, env={"PYTHONHASHSEED": seed}, capture_output=True, check=True
        )
        return done.stdout.decode()

    ways = [["program.py"], ["-m", "program"], ["program.py", "spawn"], ["-c", "import program; program.tell()"]]
    told = {run(*way, seed=str(seed)) for seed, way in enumerate([*ways, ["-OO", "program.py"]])}
    assert len(told) == 1
    assert run("other.py", seed="0") not in told


def test_names_of_things() -> None:
    assert name_of(sys) == "sys"
    assert name_of(Point) == f"{__name__}:Point"
    assert name_of(Point(1)) == f"{__name__}:Point"
