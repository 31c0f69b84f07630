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
from lifecycle.imaging import BusyError, NotAPictureError, shown


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
    assert opened(shown(picture("JPEG", size=(5000, 5000))).content).size == (imaging.LONGEST_SIDE,) * 2


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("JPEG", {"progressive": True}), ("WEBP", {})])
def test_what_is_decoded_whole_has_few_pixels(kind, options):
    with pytest.raises(NotAPictureError, match="3,200 by 3,200 pixels; at most 10,000,000"):
        shown(picture(kind, size=(3200, 3200), **options))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "I;16", "L"])
def test_a_picture_is_shrunk_before_its_colours_are_made_ours(mode, monkeypatch):
    converted = []
    convert = Image.Image.convert
    monkeypatch.setattr(Image.Image, "convert", lambda self, *args: converted.append(self.size) or convert(self, *args))
    shown(picture(size=(1700, 10), mode=mode))
    ours = [size for size in converted if size[0] > imaging.LONGEST_SIDE]
    assert ours == ([(1700, 10)] if mode == "RGBA" else []), "only mixing with what is transparent is done in full"


@pytest.mark.parametrize(("value", "grey"), [(0, 0), (0x0100, 1), (0x8000, 128), (0xFFFF, 255)])
def test_sixteen_bits_of_grey_become_eight(value, grey):
    file = BytesIO()
    Image.new("I;16", (8, 8), value).save(file, "PNG")
    found = opened(shown(file.getvalue()).content).getpixel((4, 4))
    assert max(abs(each - grey) for each in found) <= 1


def test_one_picture_is_decoded_at_a_time(monkeypatch):
    monkeypatch.setattr(imaging, "WAIT_SECONDS", 0.01)
    with imaging._one_at_a_time(), pytest.raises(BusyError):
        shown(picture())
    with pytest.raises(NotAPictureError):
        shown(b"broken")
    assert shown(picture()).content


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
