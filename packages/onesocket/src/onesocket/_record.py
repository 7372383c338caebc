"""Frozen dataclasses that cost less to define: an import of the library makes dozens of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(kind: type[T], /) -> type[T]: ...
@overload
def record(*, kw_only: bool) -> Callable[[type[T]], type[T]]: ...
def record(kind: type[T] | None = None, /, *, kw_only: bool = False) -> type[T] | Callable[[type[T]], type[T]]:
    """Make a class a frozen dataclass with slots, in two thirds of the time.

    Its equality, hash and repr are functions that all records share, unless the class defines its own; generating them
    for each class is a third of the time.
    """

    def make(kind: type[T]) -> type[T]:
        made = dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=kw_only)(kind)
        for method in (__eq__, __hash__, __repr__):
            if method.__name__ not in made.__dict__:
                setattr(made, method.__name__, method)
        return made

    return make if kind is None else make(kind)


def __eq__(self: Any, other: object) -> bool:  # noqa: N807 - a method
    if other.__class__ is not self.__class__:
        return NotImplemented
    return _values(self) == _values(other)


def __hash__(self: Any) -> int:  # noqa: N807 - a method
    return hash(_values(self))


def __repr__(self: Any) -> str:  # noqa: N807 - a method
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _values(record: Any) -> tuple[Any, ...]:
    return tuple(getattr(record, each.name) for each in fields(record) if each.compare)
