"""Embeds, checked against the limits that Discord documents (message resource, "Embed Limits")."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from .._field_reader import FieldReader
from .._ports import Json

MAX_EMBEDS = 10
_MAX_TOTAL_LENGTH = 6000
"""Characters of all embeds of a message together: titles, descriptions, fields, footers and authors."""
_MAX_URL_LENGTH = 2048
_MAX_COLOR = 0xFFFFFF
_VISIBLE_PARTS = ("title", "description", "footer", "image", "thumbnail", "author", "fields")
"""One of them is required."""
_SCHEMES = ("http", "https")
_FILE_SCHEMES = (*_SCHEMES, "attachment")


def read_embeds(fields: FieldReader) -> list[Json]:
    """Read ``embeds`` as they are stored; adds errors to `fields`."""
    found = fields.each("embeds", _embed, most=MAX_EMBEDS)
    if sum(map(len, (text for embed in found for text in _texts(embed)))) > _MAX_TOTAL_LENGTH:
        text = f"Embed size exceeds maximum size of {_MAX_TOTAL_LENGTH}"
        fields.add_error("embeds", "MAX_EMBED_SIZE_EXCEEDED", text)
    return found


def read_url(fields: FieldReader, name: str, *, files: bool = False, required: bool = False) -> str | None:
    """Read a web address, or with `files` the name of an attachment."""
    url = fields.text(name, most=_MAX_URL_LENGTH, required=required)
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    schemes = _FILE_SCHEMES if files else _SCHEMES
    if parts.scheme not in schemes:
        fields.add_error(name, "URL_TYPE_INVALID_SCHEME", f"Scheme must be one of {schemes}.")
    elif not parts.netloc or " " in url:
        fields.add_error(name, "URL_TYPE_INVALID_URL", "Not a well formed URL.")
    return url


def _embed(fields: FieldReader) -> Json:
    embed: Json = {
        "type": "rich",
        "title": fields.text("title", most=256),
        "description": fields.text("description", most=4096),
        "url": read_url(fields, "url"),
        "timestamp": _timestamp(fields),
        "color": fields.integer("color", least=0, most=_MAX_COLOR),
        "footer": fields.one("footer", _footer),
        "image": fields.one("image", _image),
        "thumbnail": fields.one("thumbnail", _image),
        "author": fields.one("author", _author),
        "fields": fields.each("fields", _field, most=25),
    }
    if all(fields.body.get(part) in (None, "", []) for part in _VISIBLE_PARTS):
        fields.add_error("description", "BASE_TYPE_REQUIRED", "This field is required")
    return _without_empty(embed)


def _footer(fields: FieldReader) -> Json:
    text = fields.text("text", most=2048, required=True)
    return _without_empty({"text": text, "icon_url": read_url(fields, "icon_url", files=True)})


def _author(fields: FieldReader) -> Json:
    name = fields.text("name", most=256, required=True)
    return _without_empty(
        {"name": name, "url": read_url(fields, "url"), "icon_url": read_url(fields, "icon_url", files=True)}
    )


def _image(fields: FieldReader) -> Json:
    return _without_empty({"url": read_url(fields, "url", files=True, required=True)})


def _field(fields: FieldReader) -> Json:
    return {
        "name": fields.text("name", least=1, most=256, required=True),
        "value": fields.text("value", least=1, most=1024, required=True),
        "inline": fields.flag("inline"),
    }


def _timestamp(fields: FieldReader) -> str | None:
    text = fields.text("timestamp", most=64)
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).isoformat()
    except ValueError:
        fields.add_error("timestamp", "DATE_TIME_TYPE_PARSE", f"Could not parse {text[:40]}. Should be ISO8601.")
        return None


def _texts(embed: Json) -> Iterator[str]:
    footer: Json = embed.get("footer") or {}
    author: Json = embed.get("author") or {}
    parts: list[Any] = [embed.get("title"), embed.get("description"), footer.get("text"), author.get("name")]
    for field in embed.get("fields", ()):
        parts += [field["name"], field["value"]]
    return (part for part in parts if isinstance(part, str))


def _without_empty(body: Json) -> Json:
    return {name: value for name, value in body.items() if value not in (None, [])}
