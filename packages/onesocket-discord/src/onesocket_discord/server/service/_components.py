"""Message components, checked against the limits that Discord documents (components reference)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from .._field_reader import FieldReader, as_list, as_object
from .._ports import Json
from ._embeds import read_url

IS_COMPONENTS_V2: Final = 1 << 15
"""The message's flag: layout components instead of content and embeds."""
_MAX_COMPONENTS: Final = 40
"""Components of a message, nested ones included (Components V2)."""
_MAX_ACTION_ROWS: Final = 5
_MAX_TEXT_TOTAL: Final = 4000
"""Characters of all text displays together."""
_MAX_SIZE: Final = 128 << 10
"""Bytes of all components, with the fields in them that nobody reads: history and events repeat them."""
_LINK, _PREMIUM = 5, 6


class ComponentType(enum.IntEnum):
    """Types of the components that a message can hold."""

    ACTION_ROW = 1
    BUTTON = 2
    STRING_SELECT = 3
    USER_SELECT = 5
    ROLE_SELECT = 6
    MENTIONABLE_SELECT = 7
    CHANNEL_SELECT = 8
    SECTION = 9
    TEXT_DISPLAY = 10
    THUMBNAIL = 11
    MEDIA_GALLERY = 12
    FILE = 13
    SEPARATOR = 14
    CONTAINER = 17


_SELECTS: Final = frozenset({3, 5, 6, 7, 8})
_LAYOUT: Final = frozenset({1, 9, 10, 12, 13, 14})
"""Types of the components that may stand in a container, and, with containers, at the top of a message."""


def read_components(fields: FieldReader, *, v2: bool) -> list[Json]:
    """Read ``components`` as they are stored; adds errors to `fields`."""
    reader = _ComponentReader()
    top = _LAYOUT | {ComponentType.CONTAINER} if v2 else frozenset({ComponentType.ACTION_ROW})
    found = fields.each(
        "components", lambda one: reader.read(one, top), most=_MAX_COMPONENTS if v2 else _MAX_ACTION_ROWS
    )
    if reader.count > _MAX_COMPONENTS:
        fields.add_error(
            "components", "COMPONENT_MAX_TOTAL_COMPONENTS_EXCEEDED", f"Must be {_MAX_COMPONENTS} or fewer in total."
        )
    if reader.texts > _MAX_TEXT_TOTAL:
        text = f"The text displays hold more than {_MAX_TEXT_TOTAL} characters together"
        fields.add_error("components", "COMPONENT_DISPLAYABLE_TEXT_SIZE_EXCEEDED", text)
    if len(msgspec.json.encode(found)) > _MAX_SIZE:
        fields.add_error("components", "BASE_TYPE_MAX_LENGTH", f"Must be {_MAX_SIZE} or fewer bytes together.")
    return found


class _ComponentReader:
    """Reads the components of one message, and counts those limited per message."""

    def __init__(self) -> None:
        self.count = 0
        self.texts = 0
        self._custom_ids: set[str] = set()

    def read(self, fields: FieldReader, allowed: frozenset[int]) -> Json:
        kind = fields.one_of("type", allowed, default=0)
        if kind == 0:
            return {}
        self.count += 1
        _COMPONENT_READERS.get(kind, _ComponentReader.select)(self, fields)
        return fields.body

    def row(self, fields: FieldReader) -> None:
        inside = as_list(fields.body.get("components")) or []
        are_buttons = any((as_object(one) or {}).get("type") == ComponentType.BUTTON for one in inside)
        kinds = frozenset({int(ComponentType.BUTTON)}) if are_buttons else _SELECTS
        fields.each("components", lambda one: self.read(one, kinds), least=1, most=5 if are_buttons else 1)

    def button(self, fields: FieldReader) -> None:
        style = fields.one_of("style", range(1, 7), default=0)
        fields.text("label", most=80)
        fields.flag("disabled")
        if style == _LINK:
            read_url(fields, "url", required=True)
        elif style == _PREMIUM:
            fields.snowflake("sku_id", required=True)
        else:
            self._custom_id(fields)
            if fields.body.get("url") is not None:
                fields.add_error("url", "BUTTON_COMPONENT_INVALID_URL", "Only buttons of style 5 may have a URL.")
        if style in {_LINK, _PREMIUM} and fields.body.get("custom_id") is not None:
            text = "A button of this style can't have a custom id."
            fields.add_error("custom_id", "BUTTON_COMPONENT_CUSTOM_ID_NOT_ALLOWED", text)

    def select(self, fields: FieldReader) -> None:
        self._custom_id(fields)
        fields.text("placeholder", most=150)
        fields.flag("disabled")
        least = fields.integer("min_values", least=0, most=25)
        most = fields.integer("max_values", least=1, most=25)
        if least is not None and least > (1 if most is None else most):
            fields.add_error("min_values", "BASE_TYPE_BAD_LENGTH", "min_values must not be more than max_values.")
        if fields.body["type"] == ComponentType.STRING_SELECT:
            values = fields.each("options", _select_option, least=1, most=25)
            if len(set(values)) < len(values):
                fields.add_error(
                    "options", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", "The specified option value is used."
                )

    def section(self, fields: FieldReader) -> None:
        fields.each("components", lambda one: self.read(one, frozenset({10})), least=1, most=3)
        fields.one("accessory", lambda one: self.read(one, frozenset({2, 11})), required=True)

    def text(self, fields: FieldReader) -> None:
        self.texts += len(fields.text("content", least=1, most=_MAX_TEXT_TOTAL, required=True) or "")

    def thumbnail(self, fields: FieldReader) -> None:
        fields.one("media", _media_item_url, required=True)
        fields.text("description", most=1024)
        fields.flag("spoiler")

    def gallery(self, fields: FieldReader) -> None:
        fields.each("items", _gallery_item, least=1, most=10)

    def file(self, fields: FieldReader) -> None:
        fields.one("file", _media_item_url, required=True)
        fields.flag("spoiler")

    def separator(self, fields: FieldReader) -> None:
        fields.one_of("spacing", (1, 2), default=1)
        if "divider" in fields:
            fields.flag("divider")

    def container(self, fields: FieldReader) -> None:
        fields.each("components", lambda one: self.read(one, _LAYOUT), least=1, most=_MAX_COMPONENTS)
        fields.integer("accent_color", least=0, most=0xFFFFFF)
        fields.flag("spoiler")

    def _custom_id(self, fields: FieldReader) -> None:
        custom_id = fields.text("custom_id", least=1, most=100, required=True)
        if custom_id is None:
            return
        if custom_id in self._custom_ids:
            fields.add_error("custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated")
        self._custom_ids.add(custom_id)


_COMPONENT_READERS: Final[Mapping[int, Callable[[_ComponentReader, FieldReader], None]]] = {
    ComponentType.ACTION_ROW: _ComponentReader.row,
    ComponentType.BUTTON: _ComponentReader.button,
    ComponentType.SECTION: _ComponentReader.section,
    ComponentType.TEXT_DISPLAY: _ComponentReader.text,
    ComponentType.THUMBNAIL: _ComponentReader.thumbnail,
    ComponentType.MEDIA_GALLERY: _ComponentReader.gallery,
    ComponentType.FILE: _ComponentReader.file,
    ComponentType.SEPARATOR: _ComponentReader.separator,
    ComponentType.CONTAINER: _ComponentReader.container,
}
"""Readers by type; all other types are selects."""


def _select_option(fields: FieldReader) -> Any:
    fields.text("label", least=1, most=100, required=True)
    fields.text("description", most=100)
    fields.flag("default")
    return fields.text("value", least=1, most=100, required=True)


def _media_item_url(fields: FieldReader) -> None:
    read_url(fields, "url", files=True, required=True)


def _gallery_item(fields: FieldReader) -> None:
    fields.one("media", _media_item_url, required=True)
    fields.text("description", most=1024)
    fields.flag("spoiler")
