"""Which policy applies to a model, what went before it, and whether people could satisfy it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F, OuterRef, Q, QuerySet, Subquery

from lifecycle import people
from lifecycle.domain import policy as policy_values
from lifecycle.domain.approval import Approver, missing_roles
from lifecycle.domain.permissions import ALLOWED, Action, Actor, Role
from lifecycle.domain.policy import Problem
from lifecycle.domain.policy_words import Change, Section, changes, sections
from lifecycle.domain.stages import Stage
from lifecycle.domain.words import listed
from lifecycle.models import Policy, RegisteredModel, Transition

# ---------------------------------------------------------------- which policy applies


def current_policy(model: RegisteredModel | None, now: datetime) -> Policy:
    """The newest policy of the model, else the newest one for all models; the first use writes the defaults."""
    found = policies_in_force(model).order_by(F("model").asc(nulls_last=True)).first()
    if found is not None:
        return found
    default, _ = Policy.objects.get_or_create(
        number=1,
        defaults={
            "body": policy_values.dump(policy_values.Policy()),
            "reason": "The values of the model lifecycle strategy.",
            "created_by": "Stagegate",
            "created_at": now,
        },
    )
    return default


def policies_in_force(model: RegisteredModel | None) -> QuerySet[Policy]:
    """The newest one for all models, and the model's own unless that was withdrawn."""
    for_all = Q(number=Subquery(Policy.objects.filter(model=None).values("number")[:1]))
    if model is None:
        return Policy.objects.filter(for_all)
    own = Policy.objects.filter(model=model).values("number")[:1]
    return Policy.objects.filter(for_all | Q(number=Subquery(own), body__isnull=False))


def own_policy(model: RegisteredModel | None) -> Policy | None:
    """The model's own policy, None when it follows the one of all models."""
    found = Policy.objects.filter(model=model).first() if model is not None else None
    return None if found is None or found.withdrawn else found


def own_policies() -> QuerySet[Policy]:
    """The policies in force for one model each."""
    newest = Policy.objects.filter(model=OuterRef("model")).order_by("-number").values("number")[:1]
    mine = Policy.objects.filter(model__isnull=False, body__isnull=False, number=Subquery(newest))
    return mine.select_related("model").order_by("model__slug")


def numbers_in_force(now: datetime) -> set[int]:
    """The policies that apply to transitions requested now."""
    return {current_policy(None, now).number, *own_policies().values_list("number", flat=True)}


# ---------------------------------------------------------------- one policy among the others


@dataclass(frozen=True, slots=True)
class PolicyPage:
    """One policy, with what was in force before it and what came after it.

    ``before`` is None for the first policy of all. ``follows`` is, for a withdrawal, the policy of all models that
    applied from then on. ``sections`` are empty for a withdrawal. ``transitions`` were requested under this policy.
    """

    policy: Policy
    before: Policy | None
    after: Policy | None
    follows: Policy | None
    in_force: bool
    changes: tuple[Change, ...]
    sections: tuple[Section, ...]
    transitions: int


def policy_page(policy: Policy) -> PolicyPage:
    earlier = _before(policy)
    after = Policy.objects.filter(model=policy.model, number__gt=policy.number).order_by("number").first()
    follows = _of_all_models(policy.number) if policy.withdrawn else None
    values = (follows or policy).values
    return PolicyPage(
        policy=policy,
        before=earlier,
        after=after,
        follows=follows,
        in_force=after is None and not policy.withdrawn,
        changes=changes(earlier.values, values) if earlier else (),
        sections=() if policy.withdrawn else sections(values),
        transitions=Transition.objects.filter(policy=policy).count(),
    )


def _before(policy: Policy) -> Policy | None:
    """The policy that applied to the same models until this one came."""
    own = Policy.objects.filter(model=policy.model, number__lt=policy.number).first()
    return own if own is not None and not own.withdrawn else _of_all_models(policy.number)


def _of_all_models(number: int) -> Policy | None:
    """The policy of all models that was in force when this number was given."""
    return Policy.objects.filter(model=None, number__lt=number).first()


# ---------------------------------------------------------------- who could satisfy it


def approval_gap(
    policy: policy_values.Policy, to_stage: Stage, actor: Actor, model: RegisteredModel
) -> tuple[Role, ...]:
    """The roles that nobody could fill for a transition that this person asks for; () when all could be filled."""
    asking = people.of(actor.accounts)
    return _gap(policy.approvals(to_stage), people.approvers(model), asking)


def _gap(required: tuple[Role, ...], everybody: Iterable[Approver], asking: Sequence[Approver]) -> tuple[Role, ...]:
    others = [each for each in everybody if not each.shared and not any(each.is_same_person(asker) for asker in asking)]
    return missing_roles(required, others)


def unsatisfiable(policy: policy_values.Policy, model: RegisteredModel | None) -> tuple[Problem, ...]:
    """Why nobody could ever do what the policy asks, with the people there are now; () when they could."""
    everybody = people.approvers(model)
    problems = [_approvals_problem(policy, stage, everybody) for stage in Stage]
    return tuple(problem for problem in (*problems, _waivers_problem(policy, everybody)) if problem is not None)


def _approvals_problem(policy: policy_values.Policy, stage: Stage, everybody: list[Approver]) -> Problem | None:
    required = policy.approvals(stage)
    if not required:
        return None
    path = (f"approvals_to_{stage.lower()}",)
    gaps = [_gap(required, everybody, [person]) for person in everybody if _may_ask(person)]
    if not gaps:
        who = listed([role.label for role in Role if role in ALLOWED[Action.REQUEST_TRANSITION]], "or")
        return Problem(
            path, f"Nobody has the role {who}, so nobody could ask for {stage}. Give somebody the role first."
        )
    least = min(gaps, key=len)
    if not least:
        return None
    return Problem(
        path,
        f"Nobody is left who could say yes as {listed([role.label for role in least])}: whoever asks for {stage} "
        "cannot decide, and one person fills one role. Give somebody the role, or ask for fewer approvals.",
    )


def _may_ask(person: Approver) -> bool:
    return bool(person.roles & ALLOWED[Action.REQUEST_TRANSITION])


def _waivers_problem(policy: policy_values.Policy, everybody: list[Approver]) -> Problem | None:
    """A role that nobody has is a mistake only when no other role of the list has anybody either."""
    roles = policy.waivers.roles
    if not roles or any(person.roles & set(roles) for person in everybody):
        return None
    named = listed([role.label for role in roles], "or")
    return Problem(
        ("waivers", "roles"),
        f"Nobody has the role {named}, so nobody could waive anything. Name a role that somebody has, or none.",
    )
