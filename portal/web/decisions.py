"""What a session keeps of a decision while somebody shows who they are, and what others are told who came second."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from lifecycle.models import Transition

KEY = "stagegate_decision"
KEPT_FOR = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Kept:
    """A yes that was not given yet: the words for it wait until the person has shown who they are.

    Nothing else is kept of it. The yes itself is pressed again, on the page as it is then: what it was about may have
    changed meanwhile, and coming back from a sign-in is no decision.
    """

    transition: int
    reason: str
    until: str


def prove_first(request: HttpRequest, transition: Transition, reason: str, now: datetime) -> HttpResponse:
    """To the question for password or second factor, and from there back to this decision."""
    request.session[KEY] = asdict(Kept(transition.pk, reason[:2000], (now + KEPT_FOR).isoformat()))
    back = reverse("transition", kwargs={"pk": transition.pk}) + "#decide"
    return redirect(f"{reverse('account_reauthenticate')}?{urlencode({'next': back})}")


def take_kept(request: HttpRequest, transition: Transition, now: datetime) -> str:
    """The reason that was given before this person was asked who they are, once; "" when there is none."""
    kept: dict[str, Any] | None = request.session.get(KEY)
    if kept is None or kept["transition"] != transition.pk:
        return ""
    del request.session[KEY]
    return str(kept["reason"]) if now <= datetime.fromisoformat(kept["until"]) else ""
