"""A route: method, template and parameters, checked so that no parameter can lead elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from onesocket.errors import InvalidOption

from ..protocol._snowflakes import parse_snowflake

METHODS = ("GET", "PUT", "DELETE", "POST", "PATCH")
IDEMPOTENT = ("GET", "PUT", "DELETE")
_LITERAL = re.compile(r"[A-Za-z0-9@_-]+(?:\.[A-Za-z0-9]+)?")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_INVITE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CUSTOM_EMOJI = re.compile(r"(?:<a?:)?([A-Za-z0-9_]{2,32}):([0-9]{1,20})>?")
_MAX_ID = 2**64 - 1
_MAX_PARAMETER_LENGTH = 512
_MAX_EMOJI_LENGTH = 32


@dataclass(frozen=True, slots=True)
class Route:
    """One checked call: `path` is ready for the URL, `key` and `major` determine its rate limit."""

    method: str
    template: str
    path: str
    major: str
    """The values of the top-level parameters (channel, guild, webhook) that split a bucket."""

    def __str__(self) -> str:
        return f"{self.method} {self.template}"

    @property
    def key(self) -> tuple[str, str]:
        """Method and template, which all calls of this kind share."""
        return self.method, self.template

    @property
    def in_order(self) -> bool:
        """True if calls must be sent in order, such as a chat's messages."""
        return self.method == "POST"


def make_route(method: str, template: str, parameters: Mapping[str, object]) -> Route:
    """Check a call and build its route. Raises `InvalidOption`. A parameter called `…_id` must be a snowflake."""
    if method not in METHODS:
        raise InvalidOption(f"the method must be one of {', '.join(METHODS)}, not {method!r}")
    if template[:1] != "/":
        raise InvalidOption(f"the route {template!r} must begin with /")
    unused = dict(parameters)
    segments: list[str] = []
    names: list[str | None] = []
    for part in template[1:].split("/"):
        placeholder = _PLACEHOLDER.fullmatch(part)
        if placeholder is not None:
            name = placeholder[1]
            if name not in unused:
                raise InvalidOption(f"the route {template!r} needs the parameter {name!r}, once")
            segments.append(_parameter(name, unused.pop(name)))
            names.append(name)
        elif _LITERAL.fullmatch(part) is not None:
            segments.append(part)
            names.append(None)
        else:
            raise InvalidOption(
                f"{part!r} can't stand in the route {template!r}: give what varies as {{name}} and a parameter, "
                "and the query as query="
            )
    if unused:
        raise InvalidOption(f"the route {template!r} has no place for {', '.join(sorted(unused))}")
    return Route(method, template, "/" + "/".join(segments), _major_parameter(segments, names))


def _major_parameter(segments: list[str], names: list[str | None]) -> str:
    if len(segments) < 2 or names[1] is None or segments[0] not in ("channels", "guilds", "webhooks"):
        return ""
    if segments[0] == "webhooks" and len(segments) > 2 and names[2] is not None:
        return f"webhooks/{segments[1]}/{segments[2]}"
    return f"{segments[0]}/{segments[1]}"


def _parameter(name: str, value: object) -> str:
    if name.endswith("_id"):
        return checked_snowflake(value, name)
    text = str(value) if isinstance(value, int) else value
    if not isinstance(text, str) or not 0 < len(text) <= _MAX_PARAMETER_LENGTH:
        raise InvalidOption(f"{name} must be a text of 1 to {_MAX_PARAMETER_LENGTH} characters")
    if text in (".", "..") or not text.isprintable() or "/" in text or "\\" in text:
        # Its value isn't shown: it may be a webhook's token.
        raise InvalidOption(f"{name} holds a slash, dots alone or control characters, which have no place in a path")
    return _quoted(text, name)


def _quoted(text: str, name: str) -> str:
    try:
        return quote(text, safe="@")
    except UnicodeError:
        raise InvalidOption(f"{name} can't be sent as UTF-8") from None


def checked_snowflake(value: object, name: str = "id") -> str:
    """Return an id, given as an int or its digits, as digits. Raises `InvalidOption`."""
    if parse_snowflake(value, _MAX_ID) is None:
        shown = repr(value) if len(repr(value)) <= 40 else f"{type(value).__name__} of that length"
        raise InvalidOption(f"{name} must be a Discord id (a number of up to 20 digits), not {shown}")
    return str(value)


def checked_emoji(value: str) -> str:
    """Return a Unicode emoji, or a custom one as ``name:id`` (also from ``<:name:id>``). Raises `InvalidOption`."""
    custom = _CUSTOM_EMOJI.fullmatch(value)
    if custom is not None:
        return f"{custom[1]}:{custom[2]}"
    # Keycaps begin with a plain digit, # or *; no other ASCII character is part of any emoji.
    plain = [character for character in value if character.isascii()]
    controls = any(character.isspace() or 0x80 <= ord(character) < 0xA0 for character in value)
    if (
        not value
        or len(value) > _MAX_EMOJI_LENGTH
        or len(plain) == len(value)
        or controls
        or set(plain) - set("0123456789#*")
    ):
        raise InvalidOption(
            f"{value[:40]!r} is no emoji: give it as a character (👍), or as name:id if it is a custom one"
        )
    return value


def parse_invite_code(value: str) -> str:
    """Return an invite's code, also from a link. Raises `InvalidOption`."""
    code = value.rpartition("/")[2]
    if _INVITE.fullmatch(code) is None:
        raise InvalidOption(f"{value[:80]!r} is neither an invite code nor a link that ends with one")
    return code
