"""Policies: which are in force, what each says, and changing them in two steps."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from lifecycle import operations, policies, policy_files
from lifecycle.domain.permissions import Action, may, require
from lifecycle.models import Policy, RegisteredModel
from lifecycle.operations import PolicyRefusedError, RefusedError
from lifecycle.operations.policies import Preview
from lifecycle.policy_files import FileProblem, PolicyFileError
from portal.access import actor_of, model_for, policy_for
from portal.web.answers import invalid, refused
from portal.web.forms import PolicyForm, WithdrawForm

PAGE_SIZE = 50


@require_GET
def policy_list(request: HttpRequest) -> HttpResponse:
    """The policies in force, and every number there has been."""
    actor = actor_of(request)
    require(actor, Action.VIEW)
    now = timezone.now()
    every = Policy.objects.select_related("model")
    context = {
        "general": policies.current_policy(None, now),
        "own": policies.own_policies(),
        "in_force": policies.numbers_in_force(now),
        "page": Paginator(every, PAGE_SIZE).get_page(request.GET.get("page")),
        "may_change": may(actor, Action.CHANGE_POLICY),
    }
    return render(request, "policies/list.html", context)


@require_GET
def policy_detail(request: HttpRequest, number: int) -> HttpResponse:
    policy = policy_for(request, number)
    context = {"page": policies.policy_page(policy), "may_change": may(actor_of(request), Action.CHANGE_POLICY)}
    return render(request, "policies/detail.html", context)


@require_GET
def export(request: HttpRequest, number: int) -> HttpResponse:
    policy = policy_for(request, number)
    if policy.withdrawn:
        raise Http404(f"Policy {number} withdrew a model's own policy; it has no values.")
    response = HttpResponse(policy_files.write(policy.values), content_type="application/yaml; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="policy-{number}.yaml"'
    return response


@require_POST
def withdraw(request: HttpRequest) -> HttpResponse:
    form = WithdrawForm(request.POST)
    if not form.is_valid():
        return invalid(request, form, back="policies")
    given = form.cleaned_data
    try:
        created = operations.withdraw_policy(
            model=model_for(request, given["model"]),
            reason=given["reason"],
            actor=actor_of(request),
            now=timezone.now(),
            expected_number=given["base"],
        )
    except RefusedError as error:
        return refused(request, error, back="policy", number=given["base"])
    return redirect("policy", number=created.number)


# ---------------------------------------------------------------- changing


@dataclass(frozen=True, slots=True)
class ShownProblem:
    """A problem with the text of its line."""

    line: int
    column: int
    message: str
    text: str


@dataclass(frozen=True, slots=True)
class Editor:
    """What the page of a change shows. ``base`` is the policy that the change starts from."""

    model: RegisteredModel | None
    base: Policy
    text: str
    reason: str = ""
    preview: Preview | None = None
    problems: tuple[FileProblem, ...] = ()
    refusal: str = ""
    notice: str = ""

    @property
    def digest(self) -> str:
        return _digest(self.text)

    @property
    def shown_problems(self) -> tuple[ShownProblem, ...]:
        lines = self.text.split("\n")
        return tuple(
            ShownProblem(each.line, each.column, each.message, lines[each.line - 1].strip()[:200])
            for each in self.problems
        )


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest) -> HttpResponse:
    """Two steps: the text is checked, and what it changes is shown; then it is put in force, with a reason."""
    model = _model_of(request)
    if request.method == "GET":
        require(actor_of(request), Action.CHANGE_POLICY)
        return _show(request, _opened(request, model, timezone.now()))
    form = PolicyForm(request.POST, request.FILES)
    if not form.is_valid():
        return invalid(request, form, back="policies")
    if form.cleaned_data["step"] == "confirm" and form.cleaned_data["checked"] == _digest(form.text):
        return _confirmed(request, model, form)
    require(actor_of(request), Action.CHANGE_POLICY)
    return _show(request, _checked(model, form, timezone.now()))


def _model_of(request: HttpRequest) -> RegisteredModel | None:
    slug = request.GET.get("model", "")
    return model_for(request, slug) if slug else None


def _opened(request: HttpRequest, model: RegisteredModel | None, now: datetime) -> Editor:
    base = policies.current_policy(model, now)
    number = request.GET.get("from", "")
    start = policy_for(request, int(number)) if number.isdecimal() and len(number) < 10 else base
    return Editor(model, base, policy_files.write((base if start.withdrawn else start).values))


def _checked(model: RegisteredModel | None, form: PolicyForm, now: datetime) -> Editor:
    """Nothing is changed; what was typed is kept."""
    base = policies.current_policy(model, now)
    editor = Editor(model, base, form.text, form.cleaned_data["reason"], notice=_rebased(base, form))
    try:
        preview = operations.preview_policy(model=model, source=form.source, now=now)
    except PolicyFileError as error:
        return replace(editor, problems=error.problems)
    return replace(editor, preview=preview, problems=preview.problems)


def _rebased(base: Policy, form: PolicyForm) -> str:
    if form.cleaned_data["step"] == "confirm":
        return "The text is not the one that was checked. Look at what it changes, and put it in force then."
    opened_on = form.cleaned_data["base"]
    if opened_on in (None, base.number):
        return ""
    return (
        f"{base.created_by} has put policy {base.number} in force since you began. Your text is compared with that one "
        "now: see that you don't undo what it changed."
    )


def _confirmed(request: HttpRequest, model: RegisteredModel | None, form: PolicyForm) -> HttpResponse:
    now, given = timezone.now(), form.cleaned_data
    try:
        created = operations.change_policy(
            model=model,
            values=form.text,
            reason=given["reason"],
            actor=actor_of(request),
            now=now,
            expected_number=given["base"],
        )
    except RefusedError as error:
        require(actor_of(request), Action.CHANGE_POLICY)
        return _show(request, _after_refusal(error, model, form, now), status=error.status)
    messages.success(request, f"Policy {created.number} is in force for everything that has not begun.")
    return redirect("policy", number=created.number)


def _after_refusal(error: RefusedError, model: RegisteredModel | None, form: PolicyForm, now: datetime) -> Editor:
    editor = replace(_checked(model, form, now), refusal=str(error), notice="")
    return replace(editor, problems=error.problems) if isinstance(error, PolicyRefusedError) else editor


def _show(request: HttpRequest, editor: Editor, status: int = 200) -> HttpResponse:
    return render(request, "policies/edit.html", {"editor": editor}, status=status)


def _digest(text: str) -> str:
    """Tells a text that was checked from one that was changed since."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
