"""Typesets one document, in a process of its own: a limit of time and memory ends it, whatever a text makes of it.

Reads JSON from the standard input (``template``, ``data``, and ``at`` in UNIX seconds) and writes the PDF to the
standard output. It runs by itself, without the rest of Stagegate.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any

import typst

MEMORY = 2 * 2**30
SECONDS = 30
UNKNOWN = "\u0378"
"""A code point that is not given to any character: what a font shows for it, it shows for whatever it does not have."""
ROW = 20
"""How far apart the glyphs of the probe stand, in points. The first one is not moved, and so not found."""
MOST_CHARACTERS = 5000
PROBE = b"""#set page(width: 100pt, height: auto, margin: 0pt, fill: none)
#set text(size: 10pt)
#for character in json(bytes(sys.inputs.data)) { block(height: 20pt, spacing: 0pt, text(character)) }
"""
GLYPH = re.compile(r'translate\(0 ([0-9.]+)\)"><g [^>]*><use xlink:href="#(\w+)"')


def limit() -> None:
    """Memory, processor time, and no file of any size."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def texts(value: Any) -> Iterator[str]:
    """Every text but the drawings."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name != "svg":
                yield from texts(each)


def without_glyph(data: Any) -> set[str]:
    """The characters that no font here has: they would be empty boxes on paper."""
    seen = {character for text in texts(data) for character in text if ord(character) > 0x7E}
    asked = ["x", UNKNOWN, *sorted(seen - set("\u200b\u200c\u200d"))[:MOST_CHARACTERS]]
    drawn = typst.compile(PROBE, format="svg", sys_inputs={"data": json.dumps(asked)})
    picture = drawn if isinstance(drawn, bytes) else drawn[0]
    glyphs = {round(float(y)) // ROW: glyph for y, glyph in GLYPH.findall(picture.decode())}
    box = glyphs.get(1)
    return {character for place, character in enumerate(asked) if place > 1 and box and glyphs.get(place) == box}


def spelled(value: Any, missing: set[str]) -> Any:
    """The same with the code points of characters that cannot be drawn."""
    if isinstance(value, str):
        return "".join(_spelled(each) if each in missing else each for each in value)
    if isinstance(value, list):
        return [spelled(each, missing) for each in value]
    if isinstance(value, dict):
        return {name: each if name == "svg" else spelled(each, missing) for name, each in value.items()}
    return value


def _spelled(character: str) -> str:
    if unicodedata.category(character) in ("Mn", "Me", "Sk"):
        return ""
    return f"⟨U+{ord(character):04X}⟩"


def main() -> None:
    limit()
    asked = json.load(sys.stdin)
    data = spelled(asked["data"], without_glyph(asked["data"]))
    pdf = typst.compile(
        asked["template"].encode(),
        format="pdf",
        sys_inputs={"data": json.dumps(data)},
        timestamp=asked["at"],
    )
    sys.stdout.buffer.write(pdf)


if __name__ == "__main__":
    main()
