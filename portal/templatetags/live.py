"""What was live, and the drawings of a dossier, in templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from lifecycle.domain.document import Picture
from lifecycle.domain.live import Shares
from lifecycle.live_at import LiveAt

register = template.Library()


@dataclass(frozen=True, slots=True)
class ShareLine:
    """One version's share. ``start`` is where its part of the bar begins, in percent; ``tone`` is its colour there."""

    version: int
    label: str
    percent: int
    start: int
    tone: str


@register.filter
def by_share(shares: Shares, answer: LiveAt) -> list[ShareLine]:
    """Who got requests, the largest share first."""
    return _lines(shares.weights, answer)


@register.filter
def copies(shares: Shares, answer: LiveAt) -> list[ShareLine]:
    return _lines(shares.copies, answer)


@register.simple_tag
def shares_bar(answer: LiveAt, shares: Shares) -> SafeString:
    lines = _lines(shares.weights, answer)
    words = ", ".join(f"{line.label} {line.percent} %" for line in lines) or "no version got requests"
    parts = format_html_join(
        "",
        '<rect class="bar-{}" x="{}%" width="{}%" height="100%"></rect>',
        ((line.tone, line.start, line.percent) for line in lines),
    )
    return format_html(
        '<svg class="bar bar-large" role="img" aria-label="Share of requests: {}">'
        '<rect class="bar-ground" width="100%" height="100%"></rect>{}</svg>',
        words,
        parts,
    )


@register.simple_tag
def drawing(picture: Picture) -> SafeString:
    """The drawing as markup: ``lifecycle.domain.drawing`` writes nothing but figures and words of its own into it. Its
    caption says in words what it shows."""
    return SafeString(picture.svg.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1))


@register.filter
def moment(at: datetime) -> str:
    """A moment for an address: exact, in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _lines(shares: Mapping[int, int], answer: LiveAt) -> list[ShareLine]:
    lines: list[ShareLine] = []
    start = 0
    for version in sorted(shares, key=lambda each: (-shares[each], each)):
        label = answer.labels.get(version) or f"version {version}"
        lines.append(ShareLine(version, label, shares[version], start, "canary" if lines else "stable"))
        start += shares[version]
    return lines
