"""Reads the fields of a request's JSON object, and collects all errors into one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeGuard, TypeVar, cast

from ..protocol._snowflakes import parse_snowflake
from ._api_error import field_error, invalid_form
from ._names import title_problem
from ._ports import Json

T = TypeVar("T")

_REQUIRED_ERROR = ("BASE_TYPE_REQUIRED", "This field is required")


def as_list(value: object) -> list[Any] | None:
    """Return the value if it is a list."""
    return value if _is_list(value) else None


def as_object(value: object) -> Json | None:
    """Return the value if it is a JSON object."""
    return cast("Json", value) if isinstance(value, dict) else None


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


class FieldReader:
    """The fields of one object. An absent (or null) optional field reads as None."""

    def __init__(self, body: object) -> None:
        known = as_object(body)
        if known is None:
            raise invalid_form(field_error("DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType"))
        self._body = known
        self._errors: Json = {}

    @property
    def body(self) -> Json:
        """The object itself."""
        return self._body

    def __contains__(self, name: str) -> bool:
        """True if the field is there, even if null."""
        return name in self._body

    def text(self, name: str, *, least: int = 0, most: int, required: bool = False) -> str | None:
        """Read a string of `least` to `most` characters, without NUL."""
        return self._checked_text(name, self._value(name, required=required), least, most)

    def title(self, name: str, *, least: int = 1, most: int, required: bool = False) -> str | None:
        """Read the name of a thing that a list shows: one line with something to see, without outer spaces."""
        value = self._value(name, required=required)
        text = self._checked_text(name, value.strip() if isinstance(value, str) else value, least, most)
        problem = None if text is None else title_problem(text)
        if problem is not None:
            self.add_error(name, *problem)
            return None
        return text

    def _checked_text(self, name: str, value: Any, least: int, most: int) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            self.add_error(name, "STRING_TYPE_CONVERT", "Could not interpret value as string.")
            return None
        if not least <= len(value) <= most:
            text = f"Must be between {least} and {most} in length." if least else f"Must be {most} or fewer in length."
            self.add_error(name, "BASE_TYPE_BAD_LENGTH" if least else "BASE_TYPE_MAX_LENGTH", text)
            return None
        if "\0" in value:
            self.add_error(name, "STRING_TYPE_NUL", "Must not contain NUL characters.")
            return None
        return value

    def snowflake(self, name: str, *, required: bool = False) -> int | None:
        """Read an id."""
        value = self._value(name, required=required)
        if value is None:
            return None
        number = parse_snowflake(value)
        if number is None:
            self.add_error(name, "NUMBER_TYPE_COERCE", "Value is not snowflake.")
            return None
        return number

    def snowflakes(self, name: str, *, least: int, most: int) -> list[int]:
        """Read a list of ids, each of them once."""
        value = as_list(self._body.get(name))
        if value is None:
            self.add_error(name, *_REQUIRED_ERROR)
            return []
        numbers = [parse_snowflake(item) for item in value]
        found = list(dict.fromkeys(number for number in numbers if number is not None))
        if None in numbers:
            self.add_error(name, "NUMBER_TYPE_COERCE", "Value is not snowflake.")
        elif not least <= len(found) <= most:
            self.add_error(name, "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length.")
        return found

    def texts(self, name: str, *, most: int) -> list[str] | None:
        """Read a list of strings; None if it is absent."""
        value = self._body.get(name)
        items = as_list(value)
        if value is None:
            return None
        if items is None or not all(isinstance(one, str) for one in items):
            self.add_error(name, "LIST_TYPE_CONVERT", "Only iterables of strings may be used.")
        elif len(items) > most:
            self.add_error(name, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
        return [str(one) for one in items or ()]

    def integer(self, name: str, *, least: int, most: int, required: bool = False) -> int | None:
        """Read a whole number in a range."""
        value = self._value(name, required=required)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            self.add_error(name, "NUMBER_TYPE_COERCE", "Value is not int.")
            return None
        if not least <= value <= most:
            self.add_error(name, "NUMBER_TYPE_RANGE", f"int value should be between {least} and {most}.")
            return None
        return value

    def bits(self, name: str, *, most: int) -> int | None:
        """Read a bit set: a number, or, as it may have more bits than numbers of JSON, a text of its decimal digits."""
        value = self._body.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            self.add_error(name, "NUMBER_TYPE_COERCE", "Value is not a set of permissions.")
            return None
        return value

    def flag(self, name: str) -> bool:
        """Read a boolean; absent is false."""
        value = self._body.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.add_error(name, "BOOLEAN_TYPE_CONVERT", "Must be either true or false.")
        return False

    def one_of(self, name: str, allowed: Iterable[int], default: int) -> int:
        """Read one of a few numbers."""
        value = self._body.get(name, default)
        known = sorted(allowed)
        if isinstance(value, bool) or value not in known:
            self.add_error(name, "BASE_TYPE_CHOICES", f"Value must be one of {{{', '.join(map(str, known))}}}.")
            return default
        return int(value)

    def objects(self, name: str, *, most: int) -> list[Json]:
        """Read a list of objects."""
        value = self._body.get(name)
        if value is None:
            return []
        items = as_list(value)
        found = [item for item in map(as_object, items or ()) if item is not None]
        if items is None or len(found) < len(items):
            self.add_error(name, "LIST_TYPE_CONVERT", "Only iterables of objects may be used.")
        elif len(found) > most:
            self.add_error(name, "BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")
        return found

    def each(self, name: str, read: Callable[[FieldReader], T], *, most: int, least: int = 0) -> list[T]:
        """Read a list of objects with `read`; errors of an item are reported under its index."""
        items = self.objects(name, most=most)
        if len(items) < least:
            self.add_error(name, "BASE_TYPE_MIN_LENGTH", f"Must be {least} or more in length.")
        found: list[T] = []
        errors: Json = {}
        for index, item in enumerate(items):
            fields = FieldReader(item)
            found.append(read(fields))
            if fields._errors:
                errors[str(index)] = fields._errors
        if errors:
            self.nest(name, errors)
        return found

    def one(self, name: str, read: Callable[[FieldReader], T], *, required: bool = False) -> T | None:
        """Read a nested object with `read`; errors in it are reported under its name."""
        body = self.inner(name)
        if body is None:
            if required:
                self.add_error(name, *_REQUIRED_ERROR)
            return None
        fields = FieldReader(body)
        found = read(fields)
        if fields._errors:
            self.nest(name, fields._errors)
        return found

    def inner(self, name: str) -> Json | None:
        """Read a nested object as it is."""
        value = self._body.get(name)
        found = as_object(value)
        if value is not None and found is None:
            self.add_error(name, "DICT_TYPE_CONVERT", "Only dictionaries may be used in a DictType")
        return found

    def add_error(self, name: str, code: str, text: str) -> None:
        """Add an error of a field; the first one counts."""
        self.nest(name, field_error(code, text))

    def nest(self, name: str, errors: Json) -> None:
        """Add the errors of a nested object."""
        self._errors.setdefault(name, errors)

    def check(self) -> None:
        """Raise `ApiError` if there is an error."""
        if self._errors:
            raise invalid_form(self._errors)

    def _value(self, name: str, *, required: bool) -> Any:
        value = self._body.get(name)
        if value is None and required:
            self.add_error(name, *_REQUIRED_ERROR)
        return value
