from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from lifecycle import (
    checklists,
    operations,
    queries,
    queries_compare,
    queries_retention,
    queries_rollbacks,
    queries_rollouts,
    queries_serving,
)
from lifecycle.domain.semver import judge
from lifecycle.domain.stages import Stage
from lifecycle.metric_history import history_of
from lifecycle.versions import facts_of, may_accept
from portal.access import actor_of, version_for
from portal.templatetags.gate import headline
from portal.web.answers import invalid, refused, wants_part
from portal.web.forms import RequestForm


def version_detail(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    """A version with the gates ahead of it; htmx asks for the part that moves."""
    found, now = version_for(request, slug, version), timezone.now()
    actor = actor_of(request)
    page = queries.version_page(found, actor, now)
    reads = page.reads
    evidence, recorded = checklists.evidence_of(reads, request.GET.get("page"), now)
    lists = checklists.of_version(page, actor, now)
    serves = page.variant is not None and page.variant.role
    context = {
        "page": page,
        "version": found,
        "checklists": lists,
        "busy": any(each.is_busy for each in lists),
        "news": headline(lists[0]) if lists else "",
        "evidence": evidence,
        "recorded": recorded,
        "verdict": judge(facts_of(found), reads.others),
        "may_accept": may_accept(found, actor),
        "failing": [each for each in queries_serving.failing_in(reads.model) if each.version == found],
        "unserved": queries_serving.unserved(found, reads.model),
        "standing": queries_rollouts.standing_of_version(found, reads.model),
        "ways": queries_rollouts.ways_into_production(found, reads.model.policy(now).values, reads.model),
        "retention": queries_retention.version_retention(found, actor, now, reads),
        "beside": queries_compare.beside(reads),
        "history": None if wants_part(request) else history_of(found, reads.model.policy(now).values),
        "offers": queries_rollbacks.offers(found.model, actor, reads.model) if reads.model.wrong or serves else None,
        "wrong": reads.model.wrong,
        "registry_url": settings.MLFLOW_PUBLIC_URL,
        "now": now,
    }
    return render(request, "versions/_live.html" if wants_part(request) else "versions/detail.html", context)


@require_POST
def request_transition(request: HttpRequest, slug: str, version: int) -> HttpResponse:
    found = version_for(request, slug, version)
    where = {"slug": found.model.slug, "version": found.version}
    form = RequestForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="version", **where)
    try:
        created = operations.request_transition(
            version=found,
            to_stage=Stage(form.cleaned_data["to_stage"]),
            reason=form.cleaned_data["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            strategy=form.cleaned_data["strategy"],
        )
    except operations.RefusedError as error:
        return refused(request, error, back="version", **where)
    return redirect("transition", pk=created.pk)
