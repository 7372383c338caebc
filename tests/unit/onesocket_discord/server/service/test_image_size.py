"""Sizes of pictures, from bytes laid out as their formats say."""

import struct

import pytest

from onesocket_discord.server.service._image_size import image_size

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">II", 640, 480) + b"\x08\x06"
GIF = b"GIF89a" + struct.pack("<HH", 3, 500)
VP8X = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0" + b"\0\0\0\0" + (4999).to_bytes(3, "little") + (99).to_bytes(3, "little")
VP8L = b"RIFF\0\0\0\0WEBPVP8L\x10\0\0\0\x2f" + struct.pack("<I", 699 | 299 << 14)
VP8 = b"RIFF\0\0\0\0WEBPVP8 \x10\0\0\0" + b"\x30\x01\0\x9d\x01\x2a" + struct.pack("<HH", 320, 200 | 1 << 14)
JFIF = b"\xff\xe0\0\x10JFIF\0\x01\x02\0\0\x01\0\x01\0\0"
FRAME = b"\xff\xc2\0\x11\x08" + struct.pack(">HH", 300, 1200) + b"\x03"


def exif(order: str, orientation: int) -> bytes:
    mark = b"II*\0" if order == "<" else b"MM\0*"
    entries = struct.pack(f"{order}HHIHH", 0x010F, 2, 1, 65, 0) + struct.pack(
        f"{order}HHIHH", 0x0112, 3, 1, orientation, 0
    )
    tiff = mark + struct.pack(f"{order}IH", 8, 2) + entries + b"\0\0\0\0"
    return b"\xff\xe1" + struct.pack(">H", 8 + len(tiff)) + b"Exif\0\0" + tiff


@pytest.mark.parametrize(
    ("body", "size"),
    [
        (PNG, (640, 480)),
        (GIF, (3, 500)),
        (VP8X, (5000, 100)),
        (VP8L, (700, 300)),
        (VP8, (320, 200)),
        (b"\xff\xd8" + JFIF + b"\xff\xdb\0\x05abc" + FRAME, (1200, 300)),
        (b"\xff\xd8\xff" + JFIF + FRAME, (1200, 300)),  # a fill byte
        (b"\xff\xd8" + exif("<", 1) + FRAME, (1200, 300)),
        (b"\xff\xd8" + exif("<", 6) + FRAME, (300, 1200)),  # a phone held upright
        (b"\xff\xd8" + exif(">", 8) + FRAME, (300, 1200)),
    ],
)
def test_the_size_is_that_of_the_picture_as_it_is_shown(body: bytes, size: tuple[int, int]) -> None:
    assert image_size(body) == size
    for end in range(len(body) - 1):  # a file that breaks off has that size, or none
        assert image_size(body[:end]) in {None, size, (1200, 300)} or body is VP8X


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"text",
        PNG.replace(struct.pack(">I", 640), b"\0\0\0\0"),
        b"\xff\xd8\xff\xd8",
        b"\xff\xd8" + b"\0" * 40,
        b"\xff\xd8" + b"\xff\xdb\0\0" * 10_000,
        b"\xff\xd8\xff\xe1\0\x20Exif\0\0II*\0\xff\xff\xff\xff" + b"\0" * 30,
        b"RIFF\0\0\0\0WEBPVP9 \x10\0\0\0" + b"\xff" * 40,
        b"<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>",
    ],
)
def test_what_is_no_picture_or_broken_has_none(body: bytes) -> None:
    assert image_size(body) is None
