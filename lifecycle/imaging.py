"""Pictures that somebody logged, made safe to show: decoded, and written anew.

What a browser gets is never the file itself: a file can be a page and a picture at once, or hold what its decoder does
not expect. It gets the pixels, as WebP, without any of the text that was stored with them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MOST_BYTES = 5 * 1024 * 1024
MOST_PIXELS = 25_000_000
"""Beyond that, a file of a few kilobytes could take gigabytes of memory."""
LONGEST_SIDE = 1600
QUALITY = 85
CONTENT_TYPE = "image/webp"
# What decoders raise for files that are broken, or made to break them.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError, struct.error)


class NotAPictureError(Exception):
    """The file cannot be shown. ``str(error)`` says why."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture as WebP. ``digest`` is the SHA-256 of ``content``."""

    content: bytes
    digest: str


def shown(file: bytes) -> Shown:
    """The first picture in a file, at most LONGEST_SIDE pixels wide and high. Raises NotAPictureError."""
    try:
        with Image.open(BytesIO(file), formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise NotAPictureError(_too_large(opened.width, opened.height))
            content = _written(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise NotAPictureError(_too_large()) from error
    except Image.UnidentifiedImageError as error:
        raise NotAPictureError("It is not a PNG, JPEG, WebP or GIF picture.") from error
    except _BROKEN as error:
        raise NotAPictureError("It is broken: it cannot be decoded.") from error
    return Shown(content, sha256(content).hexdigest())


def _too_large(*size: int) -> str:
    has = f"It has {' by '.join(f'{side:,}' for side in size)} pixels" if size else "It has far too many pixels"
    return f"{has}; at most {MOST_PIXELS:,} are shown."


def _written(opened: Image.Image) -> bytes:
    """Shrunk before anything else is done with it, so that the rest costs little."""
    opened.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
    has_alpha = opened.mode in {"RGBA", "LA", "PA"} or "transparency" in opened.info
    picture = opened.convert("RGBA" if has_alpha else "RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    written = BytesIO()
    ImageOps.exif_transpose(picture).save(written, "WEBP", quality=QUALITY, exif=b"", icc_profile=b"")
    return written.getvalue()
