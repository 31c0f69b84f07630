"""Pictures of strangers: shown as pixels of our own making, or not at all."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lifecycle import imaging
from lifecycle.imaging import NotAPictureError, shown


def picture(kind: str = "PNG", size: tuple[int, int] = (40, 20), mode: str = "RGB", **options) -> bytes:
    file = BytesIO()
    Image.new(mode, size, 1).save(file, kind, **options)
    return file.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(BytesIO(content))


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "I;16"), ("JPEG", "CMYK"), ("WEBP", "RGB"), ("GIF", "P")],
)
def test_pictures_are_written_anew(kind, mode):
    found = shown(picture(kind, mode=mode))
    assert (opened(found.content).format, opened(found.content).size) == ("WEBP", (40, 20))
    assert len(found.digest) == 64


def test_large_ones_are_shrunk():
    assert opened(shown(picture(size=(4000, 1000))).content).size == (imaging.LONGEST_SIDE, 400)


def test_what_stood_beside_the_pixels_is_gone():
    hostile = b"<script>alert(1)</script>"
    exif = Image.Exif()
    exif[0x010E] = hostile.decode()
    file = picture("JPEG", exif=exif.tobytes(), comment=hostile) + hostile
    assert hostile in file
    assert hostile not in shown(file).content


def test_all_frames_but_the_first_are_left_out():
    frames = [Image.new("RGB", (8, 8), each) for each in ("red", "blue")]
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert getattr(opened(shown(file.getvalue()).content), "n_frames", 1) == 1


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, body: bytes = b"") -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body or zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [5_001, 9_600, 20_000, 100_000])
def test_a_bomb_is_refused_before_it_goes_off(side):
    with pytest.raises(NotAPictureError, match="pixels"):
        shown(png(side, side))


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"GIF89a",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"<html><body>",
        b"%PDF-1.4",
        picture("BMP"),
        picture("TIFF"),
        picture()[:60],
        picture("JPEG")[:200],
        png(10, 10, b"not compressed"),
    ],
)
def test_what_is_no_picture_is_refused(file):
    with pytest.raises(NotAPictureError):
        shown(file)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP"]), st.data())
def test_broken_files_are_refused_and_never_crash(kind, data):
    file = bytearray(picture(kind, size=(9, 9)))
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with suppress(NotAPictureError):
        shown(bytes(file))
