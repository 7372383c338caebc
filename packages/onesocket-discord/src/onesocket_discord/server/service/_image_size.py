"""Width and height of pictures, read from the first bytes of PNG, GIF, WebP and JPEG files."""

from __future__ import annotations

import struct
from struct import unpack_from
from typing import Final, Literal

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
"""Markers of frames, behind which the size is (ITU T.81, table B.1)."""
_ORIENTATION: Final = 0x0112
_TURNED: Final = frozenset({5, 6, 7, 8})
"""Orientations of Exif with which a picture is shown on its side."""

ByteOrder = Literal["<", ">"]


def image_size(body: bytes) -> tuple[int, int] | None:
    """Width and height in pixels, as the picture is shown; None: it is none of these, or broken."""
    try:
        if body.startswith(_PNG):
            size = unpack_from(">II", body, 16)
        elif body[:6] in {b"GIF87a", b"GIF89a"}:
            size = unpack_from("<HH", body, 6)
        elif body[:4] == b"RIFF" and body[8:12] == b"WEBP":
            size = _webp_size(body)
        elif body[:2] == b"\xff\xd8":
            size = _jpeg_size(body)
        else:
            return None
    except struct.error:  # it ends too early
        return None
    width, height = size
    return (width, height) if width and height else None


def _webp_size(body: bytes) -> tuple[int, int]:
    match body[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(body[24:27], "little"), 1 + int.from_bytes(body[27:30], "little")
        case b"VP8L":
            (bits,) = unpack_from("<I", body, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = unpack_from("<HH", body, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            return 0, 0


def _jpeg_size(body: bytes) -> tuple[int, int]:
    at, is_turned = 2, False
    while True:
        start, marker = unpack_from(">BB", body, at)
        if start != 0xFF:
            return 0, 0
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        (length,) = unpack_from(">H", body, at + 2)
        if marker in _JPEG_SIZES:
            height, width = unpack_from(">HH", body, at + 5)
            return (height, width) if is_turned else (width, height)
        if marker == 0xE1 and body[at + 4 : at + 10] == b"Exif\0\0":
            is_turned = _orientation(body[at + 10 : at + 2 + length]) in _TURNED
        at += 2 + max(2, length)


def _orientation(tiff: bytes) -> int:
    """The orientation in a block of Exif; 1, upright, where there is none or it can't be read."""
    order: ByteOrder = "<" if tiff[:2] == b"II" else ">"
    try:
        (directory,) = unpack_from(f"{order}I", tiff, 4)
        (count,) = unpack_from(f"{order}H", tiff, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, _, _, value = unpack_from(f"{order}HHIH", tiff, entry)
            if tag == _ORIENTATION:
                return int(value)
    except struct.error:  # it ends too early
        pass
    return 1
