"""Checks of the arguments and of the answers of API calls."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from onesocket.errors import InvalidOption

from ..protocol._limits import MAX_CONTENT_LENGTH
from ..protocol.models import JsonObject
from ._errors import BadAnswer

Json = JsonObject
_MAX_EMBEDS = 10
_MAX_NONCE_LENGTH = 25


def expect_object(value: Any, what: str) -> Json:
    """Return an answer that is an object. Raises `BadAnswer`."""
    if not isinstance(value, dict):
        raise BadAnswer(f"{what}: the answer is not a JSON object", status=200)
    return value  # pyright: ignore[reportUnknownVariableType] - JSON


def expect_list(value: Any, what: str) -> list[Json]:
    """Return an answer that is a list of objects. Raises `BadAnswer`."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):  # pyright: ignore[reportUnknownVariableType]
        raise BadAnswer(f"{what}: the answer is not a list of JSON objects", status=200)
    return value  # pyright: ignore[reportUnknownVariableType] - JSON


def message_body(
    content: str | None, embeds: Sequence[Json] | None, allowed_mentions: Json | None, *, editing: bool = False
) -> Json:
    """Build the body for sending or editing a message. Raises `InvalidOption` for values that the API would refuse."""
    body: Json = {}
    if content is not None:
        if not isinstance(content, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers without a type checker
            raise InvalidOption(f"the content must be a str, not {type(content).__name__}")
        if len(content) > MAX_CONTENT_LENGTH:
            raise InvalidOption(
                f"the content has {len(content)} characters, and a message takes {MAX_CONTENT_LENGTH}: send it in parts"
            )
        body["content"] = content
    if embeds is not None:
        if len(embeds) > _MAX_EMBEDS:
            raise InvalidOption(f"{len(embeds)} embeds were given, and a message takes {_MAX_EMBEDS}")
        body["embeds"] = list(embeds)
    keeps_content = editing and content is None and embeds is not None
    if not (content or "").strip() and not embeds and not keeps_content:
        raise InvalidOption("the message is empty: give it a content that isn't white space alone, or an embed")
    if allowed_mentions is not None:
        body["allowed_mentions"] = allowed_mentions
    return body


def checked_nonce(nonce: str | int | None) -> str | int:
    """Return the nonce by which the API recognises a repeated message. Raises `InvalidOption`."""
    if nonce is None:
        return secrets.token_hex(12)
    if not 0 < len(str(nonce)) <= _MAX_NONCE_LENGTH:
        raise InvalidOption(f"the nonce has {len(str(nonce))} characters; it takes 1 to {_MAX_NONCE_LENGTH}")
    return nonce


def checked_page_size(limit: int, largest: int, name: str = "limit") -> int:
    """Return a page size that is in range. Raises `InvalidOption`."""
    if not 1 <= limit <= largest:
        raise InvalidOption(f"{name} must be from 1 to {largest}, not {limit!r}")
    return limit


def checked_name(name: str, longest: int = 100, shortest: int = 1) -> str:
    """Return a valid name of a guild or channel. Raises `InvalidOption`."""
    if not shortest <= len(name.strip()) or len(name) > longest:
        raise InvalidOption(f"the name {name[:40]!r} must have {shortest} to {longest} characters")
    return name
