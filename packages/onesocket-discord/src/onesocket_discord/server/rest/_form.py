"""Reads multipart forms: the JSON of a request, and its files."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import BodyPartReader, web

from .._api_error import ApiError, invalid_field
from ..service._attachments import MAX_FILE_SIZE, MAX_FILES, UploadedFile

_MAX_JSON: Final = 1 << 20
_MAX_FORM: Final = 3 * MAX_FILE_SIZE
"""Bytes of all files of a request together."""
_FILE: Final = re.compile(r"(?:files\[(\d{1,2})\]|file(\d{0,2}))", re.ASCII)


async def read_form(request: web.Request) -> tuple[bytes, list[UploadedFile]]:
    """Read ``payload_json`` and the files. Raises `ApiError` for files that are too large or too many.

    May raise what aiohttp raises for a malformed form: `ValueError`, `AssertionError`, `RuntimeError`.
    """
    payload, files, left = b"", list[UploadedFile](), _MAX_FORM
    async for part in await request.multipart():
        if not isinstance(part, BodyPartReader) or not part.name or not _is_text(part.name):
            raise ValueError("a part of the form has no name, or parts of its own")
        if part.filename is None:
            value = await _read(part, _MAX_JSON)
            payload = value if part.name == "payload_json" else payload
            continue
        found = _FILE.fullmatch(part.name)
        if found is None or len(files) >= MAX_FILES:
            text = f"There may be {MAX_FILES} files, named files[0], files[1] and so on."
            raise invalid_field(part.name, "ATTACHMENTS_INVALID", text)
        body = await _read(part, min(left, MAX_FILE_SIZE))
        left -= len(body)
        content_type = part.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        files.append(UploadedFile(int(found[1] or found[2] or 0), part.filename, content_type, body))
    return payload, files


def _is_text(name: str) -> bool:
    """Return False for a name with bytes that are no UTF-8, which no answer can repeat."""
    return not any("\ud800" <= one <= "\udfff" for one in name)


async def _read(part: BodyPartReader, limit: int) -> bytes:
    body = bytearray()
    while chunk := await part.read_chunk():
        body += chunk
        if len(body) > limit:
            raise ApiError(413, 40005, "Request entity too large")
    return bytes(body)
