"""Makes values comparable, within a process and between processes. Pure.

`comparable_form(value)` is compared by ``==`` within a process. Between processes its repr counts, which is the same
in each of them and in each version of Python; only digests of it leave a process.
"""

from __future__ import annotations

import dis
import enum
import functools
import hashlib
import inspect
import os
import sys
import typing
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, Final, cast

_MAX_DEPTH: Final = 6
_MAX_NAMED_DEPTH: Final = 3
_POSITIONAL: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
# Their classes are what the release makes them; those of a program may send a login of their own.
_VERSIONED_PACKAGES: Final = frozenset({"onesocket", "builtins", "abc", "typing"})
# Beside the functions of a program these are counters and caches as often as not.
_MUTABLE_STATE: Final = (int, float, complex, list, dict, set, type(None))


class ProcessLocal:
    """Stands for a value that other processes can't have: `here` is compared within a process, `there` between them."""

    __slots__ = ("_here", "_there")

    def __init__(self, here: Any, there: Any) -> None:
        self._here = here
        self._there = there

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProcessLocal) and bool(self._here == other._here)

    def __hash__(self) -> int:
        return hash(repr(self))

    def __repr__(self) -> str:
        return repr(self._there)


class ByIdentity:
    """An object that equals itself alone, unless its class defines equality."""

    __slots__ = ("_value",)

    def __init__(self, value: object) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ByIdentity):
            return False
        return self._value is other._value or (_defines_equality(self._value) and bool(self._value == other._value))

    def __hash__(self) -> int:
        return hash(type(self._value))


def comparable_form(value: object) -> Any:
    """The comparable form of `value`.

    Data is compared by its value, a class by its name, a function as `_Normalizer.function` says, any other object by
    its class and attributes. An object without attributes (a socket, a lock) equals itself alone within a process, and
    every one of its class in another process.
    """
    return _Normalizer().value(value, _MAX_DEPTH)


def digest(comparable: Any) -> str:
    """64 hexadecimal digits, the same in every process for what has the same repr."""
    return hashlib.sha256(repr(comparable).encode(errors="surrogatepass")).hexdigest()


def comparable_class(kind: type) -> Any:
    """The comparable form of a class: its names, and the functions and data of those classes that are the program's."""
    walk = _Normalizer()
    parts: list[Any] = []
    for base in kind.__mro__:
        parts.append(name_of(base))
        if base.__module__.partition(".")[0] in _VERSIONED_PACKAGES:
            continue
        for name, member in sorted(vars(base).items()):
            inner = getattr(member, "__func__", getattr(member, "fget", member))  # of a class method, or a property
            if isinstance(inner, FunctionType):
                parts.append((name, walk.function(inner, _MAX_DEPTH)))
            elif not name.startswith("_") and not isinstance(inner, _MUTABLE_STATE):
                parts.append((name, walk.value(inner, _MAX_DEPTH)))
    return tuple(parts)


def constructor_arguments(instance: object, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that `instance` was made with, by name; those that repeat a default are left out."""
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
        if name not in defaults or comparable_form(value) != comparable_form(defaults[name])
    }


def name_of(thing: Any) -> str:
    """``module:qualname`` of a class or function, or a module's name; a program's main module by its file."""
    if isinstance(thing, ModuleType):
        return _module(thing.__name__)
    name: object = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    if not isinstance(name, str):
        return name_of(type(thing))
    return f"{_module(getattr(thing, '__module__', None))}:{name}"


def _module(name: object) -> str:
    # A module has another name where it is run, and another one in the children of `multiprocessing`.
    if name not in ("__main__", "__mp_main__"):
        return str(name)
    main = sys.modules.get(str(name))
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    return spec.name if spec is not None else PurePath(file).stem if file else "__main__"


class _Normalizer:
    """Goes through one value. Each function and object is looked into once: they may refer to each other."""

    def __init__(self) -> None:
        self._seen: dict[int, object] = {}

    def _enter(self, value: object) -> bool:
        """Record an object, and return whether it is new; it is kept, so that no other object gets its id meanwhile."""
        is_new = id(value) not in self._seen
        self._seen[id(value)] = value
        return is_new

    def value(self, value: Any, depth: int) -> Any:
        """Any value."""
        match value:
            case None | bool():
                return value
            case enum.Enum():
                return name_of(type(value)), value.name
            case str():
                return str.__str__(value)
            case bytes():
                return bytes(value)
            case int() | float() | complex():
                return value
            case FunctionType():
                return self.function(value, depth)
            case type() if typing.get_origin(value) is None:
                return name_of(value)
            case _:
                return self._whole(value, depth - 1) if depth > 0 else _opaque(value)

    def _whole(self, value: Any, depth: int) -> Any:
        if typing.get_origin(value) is not None:  # list[int] and the like
            return name_of(typing.get_origin(value)), self.value(typing.get_args(value), depth)
        match value:
            case list() | tuple():
                return tuple([self.value(item, depth) for item in cast("Iterable[Any]", value)])
            case set() | frozenset():
                items = [self.value(item, depth) for item in cast("Iterable[Any]", value)]
                return "set", tuple(sorted(items, key=repr))
            case Mapping():
                pairs = [
                    (self.value(name, depth), self.value(item, depth))
                    for name, item in cast("Mapping[object, Any]", value).items()
                ]
                return "mapping", tuple(sorted(pairs, key=repr))
            case ModuleType():
                return name_of(value)
            case MethodType():
                return self._method(value, depth)
            case BuiltinFunctionType():
                owner = value.__self__
                return value.__qualname__, self.value(owner, depth)
            case functools.partial():
                call = cast("functools.partial[object]", value)
                return "partial", self.value((call.func, call.args, call.keywords), depth)
            case _:
                return self._object(value, depth)

    def _object(self, value: Any, depth: int) -> Any:
        attributes = _attributes(value)
        if not attributes or not self._enter(value):
            return _opaque(value)
        there = (
            name_of(type(value)),
            tuple([(name, self.value(attributes[name], depth)) for name in sorted(attributes)]),
        )
        return ProcessLocal(ByIdentity(value), there) if _defines_equality(value) else there

    # --- functions --------------------------------------------------------------------------------------------------

    def function(self, function: FunctionType, depth: int) -> Any:
        """A function, by its name, the constants and names in its code, and the values around it that it uses.

        Those are its defaults and the variables that it refers to: constants by value; of a dict, an object or the
        environment the texts that the code names (``config["account"]``, ``self.account``); functions of the same
        module in the same way. So one lambda that sends two accounts is two functions.
        """
        if depth <= 0 or not self._enter(function):
            return name_of(function)
        code = _CodeSummary(function.__code__)
        defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
        variables: dict[str, Any] = {name: function.__globals__.get(name) for name in code.globals}
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                variables[name] = cell.cell_contents
            except ValueError:  # not bound yet
                variables[name] = None
        return (
            name_of(function),
            ProcessLocal(function.__code__, (sorted(code.constants), sorted(code.names))),
            tuple([self._used(value, code, function, depth) for value in defaults]),
            tuple([(name, self._used(variables[name], code, function, depth)) for name in sorted(variables)]),
            code.environment,
        )

    def _method(self, method: MethodType, depth: int) -> Any:
        function: Any = method.__func__
        if not isinstance(function, FunctionType):
            return method.__name__, self.value(function, depth)
        return self.function(function, depth), self._used(
            method.__self__, _CodeSummary(function.__code__), function, depth
        )

    def _used(self, value: Any, code: _CodeSummary, user: FunctionType, depth: int) -> Any:
        """The parts of a value that a function around it can see."""
        if depth <= 0:
            return name_of(type(value))
        match value:
            case None | str() | bytes() | int() | float() | complex() | ModuleType() | functools.partial():
                return self.value(value, depth)
            case FunctionType() if value.__module__ == user.__module__:
                return self.function(value, depth - 1)
            case FunctionType() | type():
                return name_of(value)
            case MethodType():
                return self._method(value, depth - 1)
            case tuple():
                return tuple([self._used(item, code, user, depth - 1) for item in cast("tuple[object, ...]", value)])
            case _:
                return self._named(value, code, user, min(depth - 1, _MAX_NAMED_DEPTH))

    def _named(self, value: Any, code: _CodeSummary, user: FunctionType, depth: int) -> ProcessLocal:
        """Of a dict or an object, what a function's code names."""
        whole: Any = value
        attributes: Any = whole if isinstance(value, dict) else _attributes(whole)
        found: dict[str, Any] = {
            name: attributes[name] for name in sorted(code.texts | code.names) if name in attributes
        }
        parts = [
            (name, self._used(item, code, user, depth))
            for name, item in found.items()
            if isinstance(item, dict) or not isinstance(item, _MUTABLE_STATE)
        ]
        return ProcessLocal(ByIdentity(whole), (name_of(type(whole)), parts))


class _CodeSummary:
    """The constants and names in a function's code, and in that of the functions within it.

    They are sets of what is loaded, which is what compilers of different Pythons agree on.
    """

    def __init__(self, code: CodeType) -> None:
        self.constants: set[str] = set()
        self.texts: set[str] = set()
        self.names: set[str] = set()
        self.globals: set[str] = set()
        self._read(code)

    @property
    def environment(self) -> tuple[tuple[str, str], ...]:
        """The environment variables that the code names, if it looks at the environment."""
        if self.names.isdisjoint(("environ", "getenv")):
            return ()
        return tuple([(name, os.environ[name]) for name in sorted(self.texts) if name in os.environ])

    def _read(self, code: CodeType) -> None:
        self.names.update(code.co_names)
        for step in dis.get_instructions(code):
            if step.opname == "LOAD_SMALL_INT":
                self._constant(step.arg)
            elif step.opcode in dis.hasconst and step.arg is not None:
                self._constant(code.co_consts[step.arg])
            elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                self.globals.add(step.argval)

    def _constant(self, constant: object) -> None:
        if isinstance(constant, CodeType):
            self._read(constant)
        elif isinstance(constant, tuple | frozenset):
            for item in cast("Iterable[object]", constant):
                self._constant(item)
        elif constant is not None:
            self.constants.add(repr(constant))
            if isinstance(constant, str):
                self.texts.add(constant)


def _opaque(value: object) -> ProcessLocal:
    """A value without attributes; those of the standard library (a `Path`, a `Decimal`) say what they are."""
    kind = type(value)
    tells = _defines_equality(value) and kind.__module__.partition(".")[0] in sys.stdlib_module_names
    return ProcessLocal(ByIdentity(value), (name_of(kind), repr(value)) if tells else name_of(kind))


def _attributes(value: object) -> dict[str, Any]:
    found: dict[str, Any] = dict(getattr(value, "__dict__", {}))
    names = [*getattr(type(value), "__struct_fields__", ())]  # of a msgspec.Struct
    for kind in type(value).__mro__:
        slots: object = vars(kind).get("__slots__", ())
        names += [slots] if isinstance(slots, str) else cast("Iterable[str]", slots)
    for name in names:
        if not name.startswith("__") and hasattr(value, name):
            found.setdefault(name, getattr(value, name))
    return found


def _defines_equality(value: object) -> bool:
    kind = type(value)
    return kind.__eq__ is not object.__eq__ and kind.__hash__ not in (None, object.__hash__)
