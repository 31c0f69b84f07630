"""The part of a dossier about one transition: what was asked, what the gate said, who said yes, and what its requests
did."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from lifecycle.approvals import required_roles
from lifecycle.domain.document import Facts, Note, Part, Picture, Section, Table, Text, words
from lifecycle.domain.drawing import Curve, Tick, chart, pieces
from lifecycle.domain.findings import Finding, State
from lifecycle.domain.permissions import Role
from lifecycle.domain.stages import Stage
from lifecycle.domain.words import length, listed
from lifecycle.gating import load_gate
from lifecycle.models import Approval, AuditEntry, Kind, Transition, Verdict
from lifecycle.queries import UNGATED
from lifecycle.queries_rollouts import Course, Line, Told, steps_told

MOST_VERDICTS = 50
SHORT_DIGEST = 16


def section_of(row: Transition, told: Told, course: Course | None, now: datetime) -> Section:
    """``row`` comes with its version, model, policy, stable and previous versions, and approvals; ``course`` is None
    where none was begun."""
    parts: list[Part] = [_request(row)]
    if row.kind not in UNGATED:
        parts += [_gate(row), _approvals(row), *_bypass(row), *_override(row)]
    if row.steps:
        parts += [_steps(row, told, now), *_charts(course), _verdicts(told)]
    parts += _rollback(row)
    return Section(_title(row), tuple(parts), new_page=row.kind == Kind.PROMOTION)


def _title(row: Transition) -> str:
    change = f"{row.from_stage} to {row.to_stage}" if row.from_stage != row.to_stage else f"in {row.to_stage}"
    return f"Transition {row.pk}: {row.get_kind_display()}, {change}"


def _request(row: Transition) -> Facts:
    roles = [Role(role).label for role in required_roles(row)] if row.kind not in UNGATED else []
    facts: list[tuple[str, Text]] = [
        ("Asked for by", words(row.requested_by_name)),
        ("When", words(row.requested_at)),
        ("Reason", words(row.reason)),
        ("State", words(row.get_status_display())),
        ("Outcome", words(row.outcome)),
        ("Began", words(row.started_at)),
        ("Ended", words(row.finished_at)),
        ("Policy", words(f"number {row.policy.number}")),
        ("Served before", words(row.stable.label if row.stable else None)),
        ("Requests move", words(row.get_strategy_display())),
    ]
    if row.kind not in UNGATED:
        asked = listed([f"one {role}" for role in roles]) or "nobody's yes"
        facts += [("The policy asked for", words(asked)), ("A yes is bound to", words(row.digest, "code"))]
    return Facts(tuple(facts))


# ---------------------------------------------------------------- gate


def _gate(row: Transition) -> Table:
    gate = load_gate(Stage(row.to_stage), row.gate)
    return Table(
        columns=("Criterion", "State", "Measured", "Wanted", "By whom, when"),
        rows=tuple(_criterion(finding) for finding in gate.findings),
        widths=(5, 2, 5, 5, 4),
        empty="The policy asked for no criterion, or the gate was not kept then.",
    )


def _criterion(finding: Finding) -> tuple[Text, ...]:
    tone = "" if finding.holds else "strong"
    return (
        words(finding.criterion.label),
        words(str(finding.state), tone),
        words(_measured(finding)),
        words(finding.wanted),
        words(_whose(finding)),
    )


def _measured(finding: Finding) -> str:
    figures = [f"{each.name} {each.measured}" for each in finding.measures]
    told = finding.measured or ", ".join(figures)
    return " ".join(part for part in (told, finding.why) if part)


def _whose(finding: Finding) -> str:
    waiver = finding.waived_by
    if finding.state == State.WAIVED and waiver is not None:
        return f"waived by {waiver.by}, {words(waiver.at).text}, until {words(waiver.expires_at).text}: {waiver.reason}"
    evidence = f"evidence {finding.evidence.id}" if finding.evidence else ""
    return ", ".join(part for part in (finding.by, words(finding.at).text if finding.at else "", evidence) if part)


# ---------------------------------------------------------------- approvals


def _approvals(row: Transition) -> Table:
    return Table(
        columns=("Who", "Said", "When", "Signed in by", "Bound to", "Reason", "Counts"),
        rows=tuple(_approval(each, row) for each in row.approvals.all()),
        widths=(4, 2, 4, 4, 4, 5, 5),
        empty="Nobody said yes or no.",
    )


def _approval(approval: Approval, row: Transition) -> tuple[Text, ...]:
    roles = ", ".join(Role(role).label for role in approval.roles)
    confirmed = f", confirmed {words(approval.confirmed_at).text}" if approval.confirmed_at else ""
    return (
        words(f"{approval.person_name} ({roles})"),
        words("yes" if approval.approved else "no"),
        words(approval.decided_at),
        words(f"{approval.signed_in_by}{confirmed}"),
        words(approval.digest[:SHORT_DIGEST], "code"),
        words(approval.reason),
        _standing(approval, row),
    )


def _standing(approval: Approval, row: Transition) -> Text:
    if approval.withdrawn_at is not None:
        return words(f"taken back {words(approval.withdrawn_at).text}: {approval.withdrawn_reason}", "strong")
    if approval.voided_at is not None:
        return words(f"void since {words(approval.voided_at).text}: {approval.void_reason}", "strong")
    if approval.digest != row.digest:
        return words("no: what it was given for is not what was carried out", "strong")
    return words("yes")


def _bypass(row: Transition) -> list[Part]:
    if row.bypassed_at is None:
        return []
    missing = listed(row.bypass_missing)
    reviewed = [
        ("Reviewed by", words(row.bypass_reviewed_by_name)),
        ("Reviewed", words(row.bypass_reviewed_at)),
        ("Review", words(row.bypass_review)),
    ]
    facts = [
        ("Approvals bypassed by", words(row.bypassed_by_name, "strong")),
        ("When", words(row.bypassed_at)),
        ("Missing", words(missing)),
        ("Reason", words(row.bypass_reason)),
    ]
    return [Facts((*facts, *(reviewed if row.bypass_reviewed_at else [("Review", words("not yet", "strong"))])))]


def _override(row: Transition) -> list[Part]:
    if row.override_at is None:
        return []
    facts = (
        ("Freeze overridden by", words(row.override_by_name, "strong")),
        ("When", words(row.override_at)),
        ("Reason", words(row.override_reason)),
    )
    return [Facts(facts)]


# ---------------------------------------------------------------- rollout


def _steps(row: Transition, told: Told, now: datetime) -> Table:
    lines = steps_told(row, told.entries, now)
    return Table(
        columns=("Step", "Requests", "Copies", "Reached", "Lasted", "State"),
        rows=tuple(
            (
                words(line.number + 1),
                words(f"{line.plan.weight} %"),
                words(f"{line.plan.mirror} %" if line.plan.mirror else None),
                words(line.since),
                words(length(line.took) if line.took is not None else None),
                words(line.state),
            )
            for line in lines
        ),
        widths=(1, 2, 2, 4, 3, 2),
        empty="No requests moved.",
    )


def _verdicts(told: Told) -> Table:
    verdicts = told.verdicts
    shown = sorted(verdicts[:MOST_VERDICTS], key=lambda verdict: (verdict.at, verdict.pk))
    more = "The latest 50 are shown." if len(verdicts) > MOST_VERDICTS else ""
    return Table(
        columns=("When", "Verdict", " ".join(part for part in ("Why, and the measures", more) if part)),
        rows=tuple((words(each.at), words(each.kind.replace("_", " ")), words(_why(each))) for each in shown),
        widths=(3, 2, 10),
        empty="Nothing was judged.",
    )


def _why(verdict: Verdict) -> str:
    figures = [_figure(measure) for measure in verdict.measures if measure.get("estimate") is not None]
    return " ".join((verdict.why, *(f"[{each}]" for each in figures)))


def _figure(measure: Mapping[str, Any]) -> str:
    unit = f" {measure['unit']}" if measure.get("unit") else ""
    interval = ""
    if measure.get("low") is not None and measure.get("high") is not None:
        interval = f" ({measure['low']:.3g} to {measure['high']:.3g})"
    limit = f", limit {measure['limit']:.3g}" if measure.get("limit") is not None else ""
    return f"{measure.get('label', measure.get('name'))}: {measure['estimate']:.3g}{unit}{interval}{limit}"


def _charts(course: Course | None) -> list[Part]:
    if course is None:
        return []
    ticks = [Tick(mark.at, mark.words) for mark in course.marks if mark.kind == "step"]
    drawn = (
        ("Errors, % of requests", "error_rate", " %", course.error_limit),
        ("Latency, 95th percentile", "p95", " s", None),
    )
    pictures = (_picture(title, course, ticks, value, unit, limit) for title, value, unit, limit in drawn)
    return [picture for picture in pictures if picture.svg] or [Note("Nothing was counted while it was carried out.")]


def _picture(title: str, course: Course, ticks: Iterable[Tick], value: str, unit: str, limit: float | None) -> Picture:
    longest = max(4 * course.width, timedelta(seconds=45))
    curves = []
    for line in course.lines:
        places = [(point.at, getattr(point, value)) for point in line.points if getattr(point, value) is not None]
        curves.append(Curve(line.tone, pieces(places, longest)))
    told = [_in_words(line, value, unit) for line in course.lines]
    svg = chart(curves, list(ticks), unit=unit.strip(), limit=limit)
    return Picture(title, svg, " ".join(each for each in told if each))


def _in_words(line: Line, value: str, unit: str) -> str:
    """The line in words, with how it is drawn."""
    points = [point for point in line.points if getattr(point, value) is not None]
    if not points:
        return ""
    drawn = "dashed" if line.tone == "canary" else "solid"
    values = [getattr(point, value) for point in points]
    requests, errors = sum(point.requests for point in points), sum(point.errors for point in points)
    return (
        f"{line.version.label} ({drawn}): from {min(values):.3g} to {max(values):.3g}{unit}, "
        f"last {values[-1]:.3g}{unit}; {requests:,} requests, {errors:,} of them failed."
    )


# ---------------------------------------------------------------- rollback


def _rollback(row: Transition) -> list[Part]:
    if row.rollback_requested_at is None or row.kind == Kind.DRILL:
        return []
    facts = (
        ("Rolled back by", words(row.rollback_by_name)),
        ("Asked for", words(row.rollback_requested_at)),
        ("Why", words(row.rollback_reason)),
        ("Requests back", words(row.traffic_back_at)),
        ("Reviewed by", words(row.reviewed_by_name)),
        ("Review", words(row.review)),
    )
    return [Facts(facts)]


def entry_row(entry: AuditEntry) -> tuple[Text, ...]:
    """One entry of the record."""
    refused = " (refused)" if entry.refused else ""
    stages = " → ".join(dict.fromkeys(each for each in (entry.from_stage, entry.to_stage) if each))
    said = " · ".join(part for part in (stages, entry.reason, _details(entry.details)) if part)
    return (
        words(entry.seq),
        words(entry.at),
        words(f"{entry.actor}{f', {entry.signed_in_by}' if entry.signed_in_by else ''}"),
        words(f"{entry.action.replace('_', ' ')}{refused}", "strong" if entry.refused else ""),
        words(said[:600]),
        words(entry.hash, "code"),
    )


def _details(details: Mapping[str, Any]) -> str:
    """Those that are short: what is long is in the record itself."""
    plain = {name: value for name, value in details.items() if isinstance(value, str | int | float) and value != ""}
    return "; ".join(f"{name.replace('_', ' ')}: {str(value)[:120]}" for name, value in plain.items())
