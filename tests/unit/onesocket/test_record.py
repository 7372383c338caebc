"""Records: frozen dataclasses whose methods are shared."""

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from onesocket._record import record


@record
class RecordedPoint:
    x: int
    y: int = 0
    secret: str = dataclasses.field(default="", repr=False)
    note: list[int] = dataclasses.field(default_factory=list[int], repr=False, compare=False)


@record
class RecordedStep:
    x: int
    y: int = 0


@record
class RecordedLongStep(RecordedStep):
    z: int = 0


@record(kw_only=True)
class RecordedName:
    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"


def test_equal_fields_make_equal_records_of_one_kind() -> None:
    assert RecordedPoint(1, 2, note=[1]) == RecordedPoint(1, 2)
    assert hash(RecordedPoint(1, 2, note=[1])) == hash(RecordedPoint(1, 2))
    assert RecordedPoint(1, 2) != RecordedPoint(1, 3)
    assert {RecordedPoint(1), RecordedPoint(1), RecordedPoint(2)} == {RecordedPoint(2), RecordedPoint(1)}
    assert RecordedPoint(1, 2) != RecordedStep(1, 2)  # type: ignore[comparison-overlap]
    assert RecordedStep(1, 2) != RecordedLongStep(1, 2)
    assert RecordedPoint(1) != (1, 0, "")  # type: ignore[comparison-overlap]


def test_a_record_is_frozen_and_has_slots() -> None:
    point: Any = RecordedPoint(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    assert not hasattr(point, "__dict__")


def test_a_record_shows_its_fields_but_no_secret_and_keeps_a_repr_of_its_own() -> None:
    assert repr(RecordedPoint(1, 2, "hidden")) == "RecordedPoint(x=1, y=2)"
    assert repr(RecordedLongStep(1, z=3)) == "RecordedLongStep(x=1, y=0, z=3)"
    assert repr(RecordedName(name="own")) == "<own>"
    assert RecordedName(name="own") == RecordedName(name="own")
    with pytest.raises(TypeError, match="positional"):
        RecordedName("own")  # type: ignore[call-arg]


def test_what_works_on_dataclasses_works_on_records() -> None:
    point = RecordedPoint(1, 2, "hidden")
    assert dataclasses.replace(point, y=3) == RecordedPoint(1, 3, "hidden")
    assert [each.name for each in dataclasses.fields(point)] == ["x", "y", "secret", "note"]
    assert pickle.loads(pickle.dumps(point)) == point == copy.copy(point)  # noqa: S301 - our own
    match point:
        case RecordedPoint(x, y):
            assert (x, y) == (1, 2)
