"""How templates put a gate into words: its headline, the states of its criteria, and what can be done about them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django import template

from lifecycle.checklists import Checklist, Line
from lifecycle.domain.criteria import Criterion
from lifecycle.domain.facts import Source, WaiverFact
from lifecycle.domain.findings import State
from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage
from portal.templatetags.stagegate import RELATIVE_FOR, duration

register = template.Library()

_STATES = {
    State.PASSED: "Passed",
    State.FAILED: "Failed",
    State.MISSING: "Missing",
    State.WAIVED: "Waived",
}
_RUN = {
    Criterion.ARTIFACT_SCAN: "Scan its files",
    Criterion.LOAD_TEST: "Run the load test",
    Criterion.MALFORMED_INPUT: "Send malformed input",
    Criterion.DRIFT: "Measure the drift",
}
_SOURCES = {
    Source.CI: "reported with a token, as CI systems do",
    Source.PERSON: "reported by a person",
    Source.CHECK: "measured by Stagegate",
}


@register.filter
def headline(checklist: Checklist) -> str:
    """The gate in one sentence: "Ready for Staging", "2 of 8 criteria keep it from Staging"."""
    archiving = checklist.gate.to_stage == Stage.ARCHIVED
    needed = len(checklist.needed)
    if not needed:
        return "Ready to be archived" if archiving else f"Ready for {checklist.gate.to_stage}"
    verb = "keeps" if needed == 1 else "keep"
    kept_from = "being archived" if archiving else checklist.gate.to_stage
    return f"{needed} of {checklist.counted} criteria {verb} it from {kept_from}"


@register.filter
def state_words(state: str) -> str:
    return _STATES[State(state)]


@register.filter
def run_words(line: Line) -> str:
    """What the button that starts a check says."""
    words = _RUN[line.finding.criterion]
    return f"{words} again" if line.check or line.finding.evidence or line.finding.stale else words


@register.filter
def source_words(origin: str) -> str:
    return _SOURCES[Source(origin)]


@register.filter
def web_host(url: str) -> str:
    """Where a link leads; "" for what no page may link to."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return parts.netloc if parts.scheme in ("http", "https") else ""


@register.filter
def old(age: timedelta | None) -> str:
    """How old a fact is, where its moment is shown as a date; "" where it is shown as an age already."""
    return f"{duration(age)} old" if age is not None and age >= RELATIVE_FOR else ""


@register.filter
def roles_counted(roles: Sequence[Role]) -> str:
    """ "one product owner and two ML engineers": how many of each have to say yes."""
    counts = {role: list(roles).count(role) for role in Role if role in roles}
    parts = [f"{_number(count)} {role.label}{'s' if count > 1 else ''}" for role, count in counts.items()]
    return " and ".join(parts) or "nobody"


def _number(count: int) -> str:
    return {1: "one", 2: "two", 3: "three"}.get(count, str(count))


@register.filter
def is_over(waiver: WaiverFact, now: datetime) -> bool:
    return waiver.revoked_at is not None or waiver.expires_at <= now
