"""Equality of the fingerprints of two protocols, in one process and in two."""

import enum
import functools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from onesocket import Json, Login, Msgpack, Raw, TokenHeader, TokenQuery
from onesocket.hub import JsonMerge, MergedRaw
from onesocket.protocols import Protocol
from onesocket.protocols._fingerprint import comparable_form, digest, name_of
from onesocket_discord.protocol._gateway import DiscordGateway
from onesocket_discord.protocol._identification import Identification
from onesocket_discord.protocol._intents import Intents


class Color(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    y: int = 0


def make_login() -> Login:
    return Login(request=lambda token: {"account": "alice", "token": token})


def test_functions_count_by_name_and_are_handed_out_to_be_compared_by_identity() -> None:
    login = make_login()
    one, same, other = Json(login=login), Json(login=login), Json(login=make_login())
    assert one.fingerprint == same.fingerprint == other.fingerprint
    assert one.opaque_arguments == same.opaque_arguments == (login.request,)
    assert one.opaque_arguments != other.opaque_arguments
    assert Json(event=ascii).fingerprint != Json(event=repr).fingerprint
    assert Json(event=functools.partial(ascii)).fingerprint == Json(event=functools.partial(repr)).fingerprint


class CustomLogin(Json):
    """A login of its own."""

    greeting = "hello"

    def __init__(self, account: str, *, retries: int = 3, **options: Any) -> None:
        super().__init__(**options)
        self.account = account
        self.retries = retries


class LoginMadeInside(Json):
    """A login that its one argument tells."""

    def __init__(self, account: str) -> None:
        super().__init__(login=Login(request=lambda _: {"account": account}))


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
        (LoginMadeInside("a"), LoginMadeInside("a")),
        (CustomLogin("a"), CustomLogin(account="a", retries=3)),
        (InheritedFingerprint(), DeclaredFingerprint()),
        (MergedRaw(JsonMerge(key="a.b")), MergedRaw(JsonMerge(key="a.b"))),
        (DiscordGateway(Identification(intents=Intents(1))), DiscordGateway(Identification(intents=Intents(1)))),
    ],
)
def test_alike(one: Protocol, other: Protocol) -> None:
    assert one.fingerprint == other.fingerprint
    assert one.opaque_arguments == other.opaque_arguments == ()


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
        (LoginMadeInside("a"), LoginMadeInside("b")),
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


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ((None, True, 1, 1.5, "a", b"b", 2j), [None, True, 1, 1.5, "a", b"b", 2j], (None, True, 1, 1.5, "a", b"c", 2j)),
        ({"b": {2, 1}, "a": frozenset({3})}, {"a": {3}, "b": {1, 2}}, {"a": {3}, "b": {1}}),
        (Point(1), Point(1, 0), Point(2)),
        (Color.RED, Color.RED, Color.BLUE),
        (list[Point], list[Point], list[Color]),
        (int, int, str),
        (type("Text", (str,), {})("a"), "a", "b"),
        (JsonMerge(key="a"), JsonMerge(key="a"), JsonMerge()),
    ],
)
def test_data_is_compared_by_its_value(one: Any, same: Any, other: Any) -> None:
    opaque: list[object] = []
    assert digest(comparable_form(one, opaque)) == digest(comparable_form(same, opaque))
    assert digest(comparable_form(one, opaque)) != digest(comparable_form(other, opaque))
    assert not opaque


def test_an_object_that_is_no_data_counts_by_its_class_and_is_opaque() -> None:
    one, other = object(), object()
    opaque: list[object] = []
    assert comparable_form([one], opaque) == comparable_form([other], opaque) == ("builtins:object",)
    assert opaque == [one, other]


_PROGRAM = """
import multiprocessing, sys
from onesocket import Json, Login

REQUESTS = {"a": lambda token: {"account": token}}


class Own(Json):
    def __init__(self, account):
        super().__init__(login=Login(request=REQUESTS["a"]))


def tell(out=None):
    told = [Json(login=Login(request=REQUESTS["a"]), subprotocols={"a"}).fingerprint, Own("alice").fingerprint]
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
    (tmp_path / "other.py").write_text(_PROGRAM.replace("alice", "bob"))

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
    assert name_of(Point) == f"{__name__}:Point"
    assert name_of(Point(1)) == f"{__name__}:Point"
