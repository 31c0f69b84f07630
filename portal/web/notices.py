"""Notices: what one hears of oneself, and for administrators the channels and what has become of each notice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods, require_POST

from lifecycle import operations, queries_notices
from lifecycle.domain.notices import CHOICES, Event
from lifecycle.domain.permissions import Action, may
from lifecycle.models import Channel, Notice, NoticeState, Team
from portal.access import actor_of
from portal.web.answers import invalid, refused
from portal.web.forms import ReasonForm

PAGE_SIZE = 50
SHOWN = {
    "trouble": ("Not arrived yet", queries_notices.TROUBLED),
    "sent": ("Sent", (NoticeState.SENT,)),
    "dropped": ("Not needed any more", (NoticeState.DROPPED,)),
}
"""The lists of the page of deliveries: the words for each, and the states in it."""


class ChosenForm(ReasonForm):
    events = forms.MultipleChoiceField(choices=[(event.value, event.label) for event in CHOICES], required=False)


class ChannelForm(ChosenForm):
    """What cannot be a name or an address is left to the operation, which says why."""

    name = forms.CharField(required=False)
    address = forms.CharField(required=False)
    team = forms.ModelChoiceField(queryset=Team.objects.all(), required=False)


# ---------------------------------------------------------------- one's own


@require_http_methods(["GET", "POST"])
def own(request: HttpRequest) -> HttpResponse:
    if request.method == "POST":
        return _done(request, _choose, back="notices", success="Kept: this is what you get e-mail of from now on.")
    actor = actor_of(request)
    context = {
        "choices": queries_notices.own_choices(actor.user_id or 0),
        "notices": queries_notices.own_notices(actor.user_id or 0),
        "sends_mail": queries_notices.sends_mail(),
        "email": getattr(request.user, "email", ""),
        "manages": may(actor, Action.MANAGE_CHANNELS),
        "events": Event,
    }
    return render(request, "notices/pages/own.html", context)


def _choose(request: HttpRequest) -> None:
    values = _valid(ChosenForm(request.POST))
    operations.choose_notices(
        wanted=values["events"], reason=values["reason"], actor=actor_of(request), now=timezone.now()
    )


@require_POST
def test_own(request: HttpRequest) -> HttpResponse:
    return _done(request, _test_self, back="notices", success="A test is on its way to you.")


def _test_self(request: HttpRequest) -> None:
    operations.send_test_to_self(actor=actor_of(request), now=timezone.now())


# ---------------------------------------------------------------- channels


@never_cache
@sensitive_post_parameters("address")
@sensitive_variables("values")
@require_http_methods(["GET", "POST"])
def channels(request: HttpRequest) -> HttpResponse:
    """The list, and a new one. What was typed as an address is never sent back."""
    if request.method != "POST":
        return _channels(request)
    form = ChannelForm(request.POST)
    if not form.is_valid():
        return _channels(request, form=form, problem="Choose from the lists.", status=422)
    values = form.cleaned_data
    try:
        made = operations.add_channel(**values, actor=actor_of(request), now=timezone.now())
    except operations.RefusedError as error:
        return _channels(request, form=form, problem=str(error), status=error.status)
    messages.success(request, f"“{made.name}” hears of what you chose. Send it a test to see whether it arrives.")
    return redirect("channels")


def _channels(
    request: HttpRequest, *, status: int = 200, form: ChannelForm | None = None, problem: str = ""
) -> HttpResponse:
    wanted = request.POST.getlist("events") if form else [event.value for event in CHOICES]
    rows = queries_notices.channels()
    context = {
        "channels": [(row, queries_notices.choices(row.events)) for row in rows],
        "choices": queries_notices.choices(wanted),
        "teams": Team.objects.all(),
        "form": form,
        "problem": problem,
    }
    return render(request, "notices/pages/channels.html", context, status=status)


@sensitive_post_parameters("address")
@require_POST
def change_channel(request: HttpRequest, pk: int) -> HttpResponse:
    channel = _channel(pk)
    return _done(request, lambda sent: _change(sent, channel), back="channels", success=f"“{channel.name}” is changed.")


@sensitive_variables("values")
def _change(request: HttpRequest, channel: Channel) -> None:
    values = _valid(ChannelForm(request.POST))
    del values["name"]
    operations.change_channel(channel=channel, **values, actor=actor_of(request), now=timezone.now())


@require_POST
def test_channel(request: HttpRequest, pk: int) -> HttpResponse:
    channel = _channel(pk)
    return _done(
        request,
        lambda sent: operations.send_test_to_channel(channel=channel, actor=actor_of(sent), now=timezone.now()),
        back="delivery",
        success=f"A test is on its way to “{channel.name}”.",
    )


@require_POST
def remove_channel(request: HttpRequest, pk: int) -> HttpResponse:
    channel = _channel(pk)
    return _done(
        request,
        lambda sent: operations.remove_channel(
            channel=channel, reason=_reason(sent), actor=actor_of(sent), now=timezone.now()
        ),
        back="channels",
        success=f"Removed: “{channel.name}” hears of nothing any more.",
    )


def _channel(pk: int) -> Channel:
    found = Channel.objects.filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no channel {pk}.")
    return found


# ---------------------------------------------------------------- delivery


def delivery(request: HttpRequest) -> HttpResponse:
    """What has not arrived, by default; ``show`` names another list."""
    show = request.GET.get("show", "")
    shown = show if show in SHOWN else "trouble"
    counts = queries_notices.counts()
    context = {
        "page": Paginator(queries_notices.delivery(SHOWN[shown][1]), PAGE_SIZE).get_page(request.GET.get("page")),
        "show": shown,
        "tabs": [(name, words, sum(counts.get(each, 0) for each in states)) for name, (words, states) in SHOWN.items()],
        "given_up": counts.get(NoticeState.FAILED, 0),
        "sends_mail": queries_notices.sends_mail(),
    }
    return render(request, "notices/pages/delivery.html", context)


@require_POST
def try_again(request: HttpRequest, pk: int) -> HttpResponse:
    notice = Notice.objects.filter(pk=pk).first()
    if notice is None:
        raise Http404(f"There is no notice {pk}.")
    return _done(
        request,
        lambda sent: operations.try_again(
            notice=notice, reason=_reason(sent), actor=actor_of(sent), now=timezone.now()
        ),
        back="delivery",
        success="It is sent again within seconds.",
    )


# ---------------------------------------------------------------- what they share


class _InvalidError(Exception):
    def __init__(self, form: forms.Form) -> None:
        super().__init__("not valid")
        self.form = form


def _valid(form: forms.Form) -> dict[str, Any]:
    if not form.is_valid():
        raise _InvalidError(form)
    return form.cleaned_data


def _reason(request: HttpRequest) -> str:
    return str(_valid(ReasonForm(request.POST))["reason"])


def _done(request: HttpRequest, deed: Callable[[HttpRequest], object], *, back: str, success: str) -> HttpResponse:
    try:
        deed(request)
    except _InvalidError as error:
        return invalid(request, error.form, back=back)
    except operations.RefusedError as error:
        return refused(request, error, back=back)
    messages.success(request, success)
    return redirect(back)
