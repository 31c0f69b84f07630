"""How templates put decisions and freezes into words: what is at stake, and moments with the zone they are meant in."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from lifecycle.domain.permissions import Actor
from lifecycle.domain.stages import Stage
from lifecycle.domain.words import listed
from lifecycle.models import FreezeWindow, Kind, Strategy, Transition
from portal.templatetags.stagegate import ago, duration, exact_utc, total_minimum

register = template.Library()


# ---------------------------------------------------------------- what is at stake


@register.filter
def stake(transition: Transition) -> SafeString:
    """What a yes would do, as one sentence: "iris 1.1.0 would take 5 %, then 25 % and all requests from 1.0.0"."""
    who = format_html("<bdi>{}</bdi> <bdi>{}</bdi>", transition.model.name, transition.version.label)
    if transition.kind == Kind.ARCHIVAL:
        return format_html("{} would be archived: kept for reference, serving nobody.", who)
    if transition.kind != Kind.PROMOTION or not transition.steps:
        return format_html("{} would move to {}; no requests move.", who, transition.to_stage)
    return format_html("{} would {}.", who, _would(transition))


def _would(transition: Transition) -> SafeString:
    source = format_html(" from <bdi>{}</bdi>", transition.stable.label) if transition.stable else SafeString("")
    steps = transition.steps
    if transition.to_stage != Stage.PRODUCTION:
        return format_html("take {}&nbsp;% of requests{}, to be watched in Staging", steps[0]["weight"], source)
    if transition.strategy == Strategy.SHADOW:
        length = duration(total_minimum(steps))
        return format_html("get copies of requests for {} or longer, then take all requests{} at once", length, source)
    if transition.strategy == Strategy.BLUE_GREEN:
        return format_html("answer one request on trial, then take all requests{} at once", source)
    if len(steps) > 1:
        shares = listed([_share(step["weight"], second=place == 1) for place, step in enumerate(steps)])
        return format_html("take {}{}, over {} or longer", shares, source, duration(total_minimum(steps)))
    rest = source or SafeString("; nobody serves Production now")
    return format_html("take all requests at once{}", rest)


def _share(weight: int, *, second: bool) -> str:
    share = "all requests" if weight == 100 else f"{weight}\N{NO-BREAK SPACE}%"
    return f"then {share}" if second else share


# ---------------------------------------------------------------- proofs


@register.filter
def proof_words(actor: Actor, now: datetime) -> str:
    """Why somebody is asked for their password first, as the beginning of a sentence."""
    if actor.confirmed_at is None:
        return "This is a yes to Production"
    return f"You showed who you are {ago(now - actor.confirmed_at)}"


# ---------------------------------------------------------------- freezes


@register.simple_tag
def moment(at: datetime, zone: str = "") -> SafeString:
    """ "Mon 5 Jan 2026, 08:00 CET": in the viewer's zone, or in the one that is named."""
    local = at.astimezone(ZoneInfo(zone)) if zone else timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(timespec="minutes"),
        exact_utc(at),
        f"{local:%a %-d %b %Y, %H:%M %Z}",
    )


@register.simple_tag
def wall_clock(day: date, at: time) -> SafeString:
    """ "08:00" of a day by the viewer's clock, with the exact UTC on hover."""
    moment = timezone.make_aware(datetime.combine(day, at))
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        moment.isoformat(timespec="minutes"),
        exact_utc(moment),
        f"{at:%H:%M}",
    )


@register.filter
def freeze_scope(row: FreezeWindow) -> SafeString:
    """Whose changes a window holds."""
    if row.model:
        return format_html("<bdi>{}</bdi>", row.model.name)
    return format_html("the models of <bdi>{}</bdi>", row.team.name) if row.team else SafeString("all models")


@register.filter
def freeze_scope_links(row: FreezeWindow) -> SafeString:
    """Whose changes a window holds, leading to the model or the team."""
    if row.model:
        return format_html('<a href="{}"><bdi>{}</bdi></a>', reverse("model", args=[row.model.slug]), row.model.name)
    if row.team:
        address = reverse("team", args=[row.team.slug])
        return format_html('the models of <a href="{}"><bdi>{}</bdi></a>', address, row.team.name)
    return SafeString("all models")
