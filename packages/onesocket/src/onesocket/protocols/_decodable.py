"""The check that msgspec can decode into a type: made with a codec, not at the first message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import inspect

from ..errors import InvalidOption


def checked_decoder(kind: object, make: Callable[[Any], Any], pydantic_remedy: str) -> Any:
    """The decoder that `make` makes for this type; raises `InvalidOption`, which names the remedy."""
    if kind is Any:
        return make(Any)
    try:
        decoder = make(kind)
        stranger = _find_custom_class(inspect.type_info(kind), set())
    except Exception as error:
        raise InvalidOption(f"type={_name_of(kind)} is no type that msgspec can decode: {error}") from error
    if stranger is None:
        return decoder
    text = f"type={_name_of(kind)}: msgspec can't decode the class {stranger.__qualname__}"
    if hasattr(stranger, "__pydantic_validator__"):
        raise InvalidOption(f"{text}, a model of pydantic; leave type= out, and give {pydantic_remedy}")
    raise InvalidOption(
        f"{text}; use a msgspec.Struct, a dataclass, a TypedDict or an attrs class, or leave type= out and give "
        "decode= a function that makes a message of a frame"
    )


def _find_custom_class(info: inspect.Type | inspect.Field, seen: set[int]) -> type | None:
    """The first class in a type that msgspec knows nothing of."""
    if isinstance(info, inspect.CustomType):
        return info.cls
    seen.add(id(info))  # a type may contain itself
    for name in info.__struct_fields__:
        value: Any = getattr(info, name)
        parts: tuple[Any, ...] = value if isinstance(value, tuple) else (value,)  # pyright: ignore[reportUnknownVariableType]
        for part in parts:
            if isinstance(part, inspect.Type | inspect.Field) and id(part) not in seen:
                found = _find_custom_class(part, seen)
                if found is not None:
                    return found
    return None


def _name_of(kind: object) -> str:
    return kind.__qualname__ if isinstance(kind, type) else repr(kind)
