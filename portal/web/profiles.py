"""The page about a person or service account, for everybody who may look: what they may do and did lately."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from lifecycle import queries_people
from lifecycle.domain.permissions import Action, may
from portal.access import MOST_NAMESAKES, accounts_named, actor_of, person_for

LONGEST_NAME = 301


@require_safe
def profile(request: HttpRequest, pk: int) -> HttpResponse:
    """Their e-mail address, and the way to change them, are for administrators."""
    found = person_for(request, pk)
    context = {
        "person": found,
        "assignments": found.role_assignments.select_related("team").order_by("team__name", "role"),
        "lately": queries_people.lately(found.pk),
        "most": queries_people.SHOWN,
        "manages": may(actor_of(request), Action.MANAGE_PEOPLE),
    }
    return render(request, "people/profile.html", context)


@require_safe
def named(request: HttpRequest) -> HttpResponse:
    """Whoever has a name now, or acted under it last: names that were written down without an account lead here."""
    name = request.GET.get("name", "").strip()[:LONGEST_NAME]
    if not name:
        raise Http404("This address needs the name of a person, such as /people/?name=ada.")
    found = accounts_named(request, name)
    if len(found) == 1:
        return redirect("profile", pk=found[0].pk)
    context = {
        "name": name,
        "found": found[:MOST_NAMESAKES],
        "are_more": len(found) > MOST_NAMESAKES,
    }
    return render(request, "people/named.html", context, status=200 if found else 404)
