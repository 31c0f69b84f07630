"""Colours of the style sheets: what the tokens are in each theme, how they mix, and how well they can be told apart."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOKENS = ROOT / "static" / "css" / "tokens.css"
THEMES = ("light", "dark")

Colour = tuple[float, float, float]
"""Linear red, green and blue, 0 to 1."""


@cache
def tokens(theme: str) -> dict[str, str]:
    """Every token of the screen as it is written, by its name without the dashes: "#0d1217", "var(--finished)"."""
    screen = TOKENS.read_text().split("@media print")[0]
    written = {name: " ".join(value.split()) for name, value in re.findall(r"--([\w-]+):\s*([^;]+);", screen)}
    return {name: _of_theme(value, theme) for name, value in written.items()}


def _of_theme(value: str, theme: str) -> str:
    both = re.fullmatch(r"light-dark\((.+), (.+)\)", value)
    return both[1 + THEMES.index(theme)] if both else value


def colour(name: str, theme: str) -> Colour:
    """A token in a theme. Raises KeyError for one that is not there, ValueError for one that is no opaque colour."""
    value = tokens(theme)[name]
    if other := re.fullmatch(r"var\(--([\w-]+)\)", value):
        return colour(other[1], theme)
    if not (written := re.fullmatch(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", value)):
        raise ValueError(f"--{name} is no opaque colour: {value}")
    red, green, blue = (_linear(int(part, 16) / 255) for part in written.groups())
    return red, green, blue


def mixed(first: Colour, part: float, second: Colour) -> Colour:
    """``color-mix(in oklab, first part, second)``; ``part`` is 0 to 1."""
    lab = (part * one + (1 - part) * two for one, two in zip(_oklab(first), _oklab(second), strict=True))
    red, green, blue = _from_oklab(*lab)
    return red, green, blue


def contrast(first: Colour, second: Colour) -> float:
    """The contrast ratio of WCAG, 1 to 21."""
    high, low = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _linear(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def _luminance(given: Colour) -> float:
    red, green, blue = given
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _oklab(given: Colour) -> Colour:
    red, green, blue = given
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    middle = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * middle - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * middle + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * middle - 0.8086757660 * short,
    )


def _from_oklab(light: float, green_red: float, blue_yellow: float) -> Colour:
    long = (light + 0.3963377774 * green_red + 0.2158037573 * blue_yellow) ** 3
    middle = (light - 0.1055613458 * green_red - 0.0638541728 * blue_yellow) ** 3
    short = (light - 0.0894841775 * green_red - 1.2914855480 * blue_yellow) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
    )
