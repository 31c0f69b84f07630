"""Pictures that somebody logged, made safe to show: decoded, and written anew.

What a browser gets is never the file itself: a file can be a page and a picture at once, or hold what its decoder does
not expect. It gets the pixels, as WebP, without any of the text that was stored with them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from threading import BoundedSemaphore

from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MOST_BYTES = 5 * 1024 * 1024
MOST_PIXELS = 10_000_000
"""Each takes four bytes, and that several times, however few the file has for it."""
MOST_PIXELS_OF_JPEG = 25_000_000
"""It is decoded at a fraction of its size, unless it is a progressive one."""
LONGEST_SIDE = 1600
WAIT_SECONDS = 3.0
"""How long a picture waits for others of the same process: one is decoded at a time, since memory is what they take."""
QUALITY = 85
CONTENT_TYPE = "image/webp"
# What decoders raise for files that are broken, or made to break them.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError, struct.error)
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I")
_NOT_MIXED = ("1", "P", "PA")
_decoding = BoundedSemaphore(1)


class NotAPictureError(Exception):
    """The file cannot be shown. ``str(error)`` says why."""


class BusyError(Exception):
    """Other pictures are being decoded, for longer than one may wait. ``str(error)`` says so."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as WebP. ``digest`` is the SHA-256 of ``content``."""

    content: bytes
    digest: str


def shown(file: bytes) -> Shown:
    """The first picture in a file, at most LONGEST_SIDE pixels wide and high. Raises NotAPictureError or BusyError."""
    try:
        with _one_at_a_time(), Image.open(BytesIO(file), formats=FORMATS) as opened:
            content = _written(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAPictureError(f"It has far too many pixels; at most {MOST_PIXELS:,} are shown.") from error
    except Image.UnidentifiedImageError as error:
        raise NotAPictureError("It is not a PNG, JPEG, WebP or GIF picture.") from error
    except _BROKEN as error:
        raise NotAPictureError("It is broken: it cannot be decoded.") from error
    return Shown(content, sha256(content).hexdigest())


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    if not _decoding.acquire(timeout=WAIT_SECONDS):
        raise BusyError("Other pictures are being made ready.")
    try:
        yield
    finally:
        _decoding.release()


def _written(opened: Image.Image) -> bytes:
    _need_few_pixels(opened)
    picture = _in_colours(_shrunk(opened))
    written = BytesIO()
    ImageOps.exif_transpose(picture).save(written, "WEBP", quality=QUALITY, exif=b"", icc_profile=b"")
    return written.getvalue()


def _need_few_pixels(opened: Image.Image) -> None:
    shrinks = opened.format == "JPEG" and "progressive" not in opened.info
    most = MOST_PIXELS_OF_JPEG if shrinks else MOST_PIXELS
    if opened.width * opened.height > most:
        size = f"{opened.width:,} by {opened.height:,}"
        raise NotAPictureError(f"It has {size} pixels; at most {most:,} are shown.")


def _shrunk(opened: Image.Image) -> Image.Image:
    """Before anything else is done with it, so that the rest costs little, unless its colours cannot be mixed."""
    by = max(1.0, max(opened.size) / LONGEST_SIDE)
    opened.draft("RGB", (max(1, int(opened.width / by)), max(1, int(opened.height / by))))
    mixes = opened.mode not in _NOT_MIXED and "transparency" not in opened.info
    picture = opened if mixes else _in_colours(opened)
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return picture


def _in_colours(picture: Image.Image) -> Image.Image:
    if picture.mode in _SIXTEEN_BITS:
        picture = picture.point(lambda value: value / 256).convert("L")
        picture.info.pop("transparency", None)
    has_alpha = picture.mode in {"RGBA", "LA", "PA"} or "transparency" in picture.info
    return picture.convert("RGBA" if has_alpha else "RGB")
