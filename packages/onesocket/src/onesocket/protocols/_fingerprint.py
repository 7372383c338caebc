"""Fingerprints of protocols: a class and its constructor arguments, made comparable between processes. Pure."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import inspect
import sys
import typing
from collections.abc import Iterable, Mapping
from types import MethodType
from typing import Any, Final, cast

_NAMED_TYPES: Final[tuple[Any, ...]] = (typing.NewType, *filter(None, (getattr(typing, "TypeAliasType", None),)))
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def digest(comparable: Any) -> str:
    """64 hexadecimal digits, the same in every process for values with the same repr."""
    return hashlib.sha256(repr(comparable).encode(errors="surrogatepass")).hexdigest()


def comparable_form(value: Any, opaque: list[object]) -> Any:
    """A form of `value` whose repr is the same in every process: data by value, classes by name.

    Data is built from numbers, texts, bytes, enums, sequences, sets, mappings, types, class methods, dataclasses, and
    objects with a `fingerprint` (a str). Any other object (a function, a TLS context) is represented by its name, and
    appended to `opaque`.
    """
    match value:
        case enum.Enum():
            return name_of(type(value)), comparable_form(value.value, opaque)
        case None | bool() | int() | float() | complex():
            return value
        case str():
            return str.__str__(value)
        case bytes():
            return bytes(value)
        case list() | tuple():
            return tuple([comparable_form(item, opaque) for item in cast("Iterable[Any]", value)])
        case set() | frozenset():
            items = [comparable_form(item, opaque) for item in cast("Iterable[Any]", value)]
            return "set", tuple(sorted(items, key=repr))
        case Mapping():
            items = cast("Any", value).items()
            forms = [(comparable_form(name, opaque), comparable_form(item, opaque)) for name, item in items]
            return "mapping", tuple(sorted(forms, key=repr))
        case _ if typing.get_origin(value) is not None:  # list[int] and the like
            return name_of(typing.get_origin(value)), comparable_form(typing.get_args(value), opaque)
        case type():
            return name_of(value)
        case _:
            return _object_form(value, opaque)


def _object_form(value: Any, opaque: list[object]) -> Any:
    if isinstance(value, MethodType) and isinstance(value.__self__, type):  # a class method
        return name_of(value.__self__), value.__name__
    if isinstance(value, _NAMED_TYPES):
        return name_of(value)
    if name_of(type(value)) == "msgspec:Meta":  # in `Annotated`; its repr has its data
        return "msgspec:Meta", repr(value)
    fingerprint: object = getattr(value, "fingerprint", None)
    if isinstance(fingerprint, str):
        return name_of(type(value)), fingerprint
    if dataclasses.is_dataclass(value):
        fields = [getattr(value, field.name) for field in dataclasses.fields(value)]
        return name_of(type(value)), comparable_form(fields, opaque)
    opaque.append(value)
    return name_of(value)


def constructor_arguments(instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that `instance` was made with, by name; arguments equal to their defaults are left out."""
    given = dict(kwargs)
    defaults: dict[str, Any] = {}
    makers = [vars(kind)["__init__"] for kind in type(instance).__mro__[:-1] if "__init__" in vars(kind)]
    for make in reversed(makers):  # the nearest class has the last word on a default
        parameters = list(inspect.signature(make).parameters.values())[1:]
        defaults |= {each.name: each.default for each in parameters if each.default is not each.empty}
        if make is makers[0]:
            names = [each.name for each in parameters if each.kind in _POSITIONAL]
            given |= dict(zip([*names, *map(str, range(len(names), len(args)))], args, strict=False))
    return {
        name: value
        for name, value in given.items()
        if name not in defaults or comparable_form(value, []) != comparable_form(defaults[name], [])
    }


def name_of(thing: Any) -> str:
    """``module:qualname`` of a class or function (of any other object, of its class); a main module by its file."""
    name: object = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    if not isinstance(name, str):
        return name_of(type(thing))
    return f"{_module_name(getattr(thing, '__module__', None))}:{name}"


def _module_name(name: object) -> str:
    # A module has another name where it is run, and another one in the children of `multiprocessing`.
    if name not in ("__main__", "__mp_main__"):
        return str(name)
    main = sys.modules.get(str(name))
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None or not file:
        return "__main__" if spec is None else spec.name
    from pathlib import PurePath  # noqa: PLC0415 - most programs with one client need it for nothing else

    return PurePath(file).stem
