"""Files of messages."""

from __future__ import annotations

import mimetypes
import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import insert, select

from .._api_error import unknown_resource
from .._field_reader import FieldReader
from .._ports import Json
from ..store import UnitOfWork
from ..store._tables import attachments, messages
from ._image_size import image_size
from ._service_context import Service, ServiceContext

MAX_FILES: Final = 10
"""Files of one message, as at Discord."""
MAX_FILE_SIZE: Final = 8 << 20
"""Bytes of one file."""
_MAX_NAME: Final = 100
_MAX_DESCRIPTION: Final = 1024
_MAX_MARKS: Final = 3
"""Combining marks after one character of a name; more would cover the lines around it."""
_TYPE: Final = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of a request, under the number that it has there."""

    number: int
    filename: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it is downloaded."""

    filename: str
    content_type: str
    body: bytes


class AttachmentService(Service):
    """Gives the files of messages to whoever has their address."""

    async def get(self, channel_id: int, attachment_id: int, key: str) -> StoredFile:
        """The file with this id. `ApiError` (10008) if there is none, or the key is not its own."""
        wanted = (
            select(attachments)
            .join(messages, messages.c.id == attachments.c.message_id)
            .where(attachments.c.id == attachment_id, messages.c.channel_id == channel_id)
        )
        async with self.reading() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        if row is None or not secrets.compare_digest(row.key.encode(), key.encode()):
            raise unknown_resource("Message")
        return StoredFile(row.filename, row.content_type, row.body)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that is to be stored: what its message says of it, with a new id and key, and its bytes."""

    about: Json
    body: bytes


def new_files(context: ServiceContext, files: Sequence[UploadedFile], body: Json) -> list[NewFile]:
    """Give the files of a request ids, keys, and the descriptions that it has. `ApiError` (50035)."""
    fields = FieldReader(body)
    given: dict[str, tuple[str | None, str | None]] = {}
    for one in fields.objects("attachments", most=MAX_FILES):
        inner = FieldReader(one)
        given[str(one.get("id"))] = (
            inner.text("filename", most=1024),
            inner.text("description", most=_MAX_DESCRIPTION),
        )
        inner.check()
    fields.check()
    found: list[NewFile] = []
    for file in files:
        name, description = given.get(str(file.number), (None, None))
        filename = safe_filename(name or file.filename)
        about: Json = {
            "id": str(context.ids.next()),
            "filename": filename,
            "size": len(file.body),
            "content_type": _content_type(filename, file.content_type),
            "key": secrets.token_urlsafe(16),
        }
        size = image_size(file.body) if about["content_type"].startswith("image/") else None
        if size is not None:  # a client keeps the place of the picture free while it is loaded
            about["width"], about["height"] = size
        described = about if description is None else {**about, "description": description}
        found.append(NewFile(described, file.body))
    return found


async def store_files(work: UnitOfWork, message_id: int, files: Sequence[NewFile]) -> None:
    """Store the files of a new message."""
    for file in files:
        row: Json = {name: file.about[name] for name in ("filename", "content_type", "key")}
        await work.execute(
            insert(attachments).values(id=int(file.about["id"]), message_id=message_id, body=file.body, **row)
        )


def safe_filename(name: str) -> str:
    """The last part of a path, of letters with their marks, digits, points and dashes; others become underscores."""
    name = _safe_characters(re.split(r"[/\\]", name)[-1]).lstrip(".") or "file"
    if len(name) <= _MAX_NAME:
        return name
    stem, dot, ending = name.rpartition(".")
    return name[:_MAX_NAME] if not dot or len(ending) > 10 else f"{stem[: _MAX_NAME - len(ending) - 1]}.{ending}"


def _safe_characters(text: str) -> str:
    found: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", text):  # some systems write an umlaut as two characters
        is_mark = unicodedata.category(character).startswith("M")
        marks = marks + 1 if is_mark else 0
        if marks <= _MAX_MARKS:
            found.append(character if is_mark or character.isalnum() or character in "._-" else "_")
    return "".join(found)


def _content_type(filename: str, given: str) -> str:
    guessed = mimetypes.guess_type(filename)[0]
    return guessed or (given if _TYPE.fullmatch(given) and len(given) <= 100 else "application/octet-stream")
