"""Records: frozen dataclasses whose methods are shared."""

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from onesocket._record import record


@record
class Point:
    x: int
    y: int = 0
    secret: str = dataclasses.field(default="", repr=False)
    note: list[int] = dataclasses.field(default_factory=list[int], repr=False, compare=False)


@record
class Step:
    x: int
    y: int = 0


@record
class LongStep(Step):
    z: int = 0


@record(kw_only=True)
class Named:
    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"


def test_equal_fields_make_equal_records_of_one_kind() -> None:
    assert Point(1, 2, note=[1]) == Point(1, 2)
    assert hash(Point(1, 2, note=[1])) == hash(Point(1, 2))
    assert Point(1, 2) != Point(1, 3)
    assert {Point(1), Point(1), Point(2)} == {Point(2), Point(1)}
    assert Point(1, 2) != Step(1, 2)  # type: ignore[comparison-overlap]
    assert Step(1, 2) != LongStep(1, 2)
    assert Point(1) != (1, 0, "")  # type: ignore[comparison-overlap]


def test_a_record_is_frozen_and_has_slots() -> None:
    point: Any = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    assert not hasattr(point, "__dict__")


def test_a_record_shows_its_fields_but_no_secret_and_keeps_a_repr_of_its_own() -> None:
    assert repr(Point(1, 2, "hidden")) == "Point(x=1, y=2)"
    assert repr(LongStep(1, z=3)) == "LongStep(x=1, y=0, z=3)"
    assert repr(Named(name="own")) == "<own>"
    assert Named(name="own") == Named(name="own")
    with pytest.raises(TypeError, match="positional"):
        Named("own")  # type: ignore[call-arg]


def test_what_works_on_dataclasses_works_on_records() -> None:
    point = Point(1, 2, "hidden")
    assert dataclasses.replace(point, y=3) == Point(1, 3, "hidden")
    assert [each.name for each in dataclasses.fields(point)] == ["x", "y", "secret", "note"]
    assert pickle.loads(pickle.dumps(point)) == point == copy.copy(point)  # noqa: S301 - our own
    match point:
        case Point(x, y):
            assert (x, y) == (1, 2)
