"""What waits for one person, what a decision is about, and what became of the others' decisions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import QuerySet, prefetch_related_objects

from lifecycle import checklists, people, queries, queries_rollbacks, queries_rollouts, reads_of_many
from lifecycle.approvals import behind, required_roles, standing, still_missing
from lifecycle.bindings import EXPIRED, shown_of
from lifecycle.checklists import Change, Checklist
from lifecycle.domain import binding
from lifecycle.domain.approval import Approver, missing_roles
from lifecycle.domain.permissions import Action, Actor, Role, may
from lifecycle.domain.stages import Stage
from lifecycle.freezes import Freeze
from lifecycle.models import Approval, AuditEntry, ModelVersion, Policy, RegisteredModel, Status, Transition
from lifecycle.queries import TransitionPage, freeze_of, has_not_begun
from lifecycle.reads import VersionReads
from lifecycle.together import Prepared, Together

WAITING = (Status.AWAITING_APPROVAL, Status.APPROVED)
NAMED = 5
"""How many of the people who could say yes are named."""


# ---------------------------------------------------------------- what waits for somebody


@dataclass(frozen=True, slots=True)
class Inbox:
    """What waits for one person: transitions to decide on, rollouts to let go on, and bypasses and rollbacks to review.

    All are oldest first, but for the rollbacks.
    """

    waiting: Sequence[Transition] = ()
    asking: Sequence[Transition] = ()
    bypasses: Sequence[Transition] = ()
    reviews: Sequence[Transition] = ()

    @property
    def all(self) -> Sequence[Transition]:
        return [*self.waiting, *self.asking, *self.bypasses, *self.reviews]

    @property
    def count(self) -> int:
        return len(self.all)


def inbox(actor: Actor) -> Inbox:
    """What no role of theirs lets them do is not looked for. The transitions are read as lists show them."""
    found = _decided(actor)
    rows = Transition.objects.select_related("version", "model", "stable", "previous").defer(*_NOT_LISTED)
    shown = rows.in_bulk([row.pk for row in found.all])
    for row in found.all:
        _pass_on(row, shown[row.pk])
    return Inbox(
        waiting=[shown[row.pk] for row in found.waiting],
        asking=[shown[row.pk] for row in found.asking],
        bypasses=[shown[row.pk] for row in found.bypasses],
        reviews=[shown[row.pk] for row in found.reviews],
    )


def _pass_on(row: Transition, to: Transition) -> None:
    """What was read to decide."""
    to.policy, to.version.model = row.policy, to.model
    to.__dict__["_prefetched_objects_cache"] = row.__dict__.get("_prefetched_objects_cache", {})


def count(actor: Actor) -> int:
    """As ``inbox(actor).count``: every page's frame asks for this, so no more is read than it takes to decide."""
    return _decided(actor).count


_DECIDES = (
    *("kind", "status", "to_stage", "steps", "step", "step_since", "asks_person", "digest", "requested_at"),
    *("requested_by", "asked_by", "bypassed_at", "bypassed_by", "bypass_reviewed_at"),
    *("rollback_by", "rollback_requested_at", "traffic_back_at", "reviewed_at", "policy", "model"),
)
_NAMED = ("id", "model", "version", "tags", "stage")
"""What a list tells of the versions that a transition is not about: what they are called."""
_NOT_LISTED = (
    *(name for name in queries.NOT_LISTED if not name.startswith(("version__model__", "stable__", "previous__"))),
    *("target", "model__aliases", "model__suspicions"),
    *(
        f"{other}__{field.name}"
        for other in ("stable", "previous")
        for field in ModelVersion._meta.concrete_fields
        if field.name not in _NAMED
    ),
)


def _candidates(approves: int | None, advances: int | None, reviews: int | None) -> dict[str, QuerySet[Any]]:
    """What could wait for somebody whose roles allow this, each of which is None where they do not: transitions, each
    found by an index of its own, and what it takes to decide."""
    rows = Transition.objects.order_by()
    parts: list[QuerySet[Transition]] = []
    if approves:
        latest = queries_rollbacks.to_review()[: queries_rollbacks.MOST_UNREVIEWED]
        parts += [rows.filter(status=Status.AWAITING_APPROVAL), rows.filter(pk__in=latest.values("pk"))]
    if advances:
        parts.append(rows.filter(status=Status.RUNNING, asks_person=True))
    if reviews:
        parts.append(queries.bypasses_to_review().select_related(None).order_by())
    keys = [part.values("pk") for part in parts]
    found = rows.filter(pk__in=keys[0].union(*keys[1:], all=True)) if keys else rows.none()
    return {
        "transitions": found.only(*_DECIDES).order_by("requested_at", "id"),
        "models": RegisteredModel.objects.filter(pk__in=found.values("model")).only("team").order_by("id"),
        "policies": Policy.objects.filter(pk__in=found.values("policy")),
        "approvals": Approval.objects.filter(transition__status=Status.AWAITING_APPROVAL),
    }


_CANDIDATES = Prepared(_candidates)


def _decided(actor: Actor) -> Inbox:
    """Each kind by itself, in its order, and without what this person can't do: two queries in all."""
    found = _could_wait(actor)
    known = people.by_key({*actor.accounts, *(key for row in found for key in _took_part(row))} if found else ())
    awaiting = [row for row in found if row.status == Status.AWAITING_APPROVAL]
    asking = [row for row in found if row.status == Status.RUNNING and queries_rollouts.is_asked(row, actor, known)]
    bypassed = [row for row in found if queries.may_review_bypass(row, actor, known)]
    return Inbox(
        waiting=[row for row in awaiting if not queries.why_not_decide(row, actor, still_missing(row), known)],
        asking=sorted(asking, key=lambda row: (row.step_since or row.requested_at, row.pk)),
        bypasses=sorted(bypassed, key=lambda row: (row.bypassed_at or row.requested_at, row.pk)),
        reviews=queries_rollbacks.reviews_among(found, actor, known),
    )


def _could_wait(actor: Actor) -> list[Transition]:
    """Oldest first, with their models and policies, and the decisions so far on those that await one."""
    wanted = {
        "approves": _somewhere(actor, Action.APPROVE),
        "advances": _somewhere(actor, Action.ADVANCE_ROLLOUT),
        "reviews": _somewhere(actor, Action.REVIEW_BYPASS),
    }
    lists = Together(**_CANDIDATES(**{name: 1 if allowed else None for name, allowed in wanted.items()}))
    models, policies = ({each.pk: each for each in lists[name]} for name in ("models", "policies"))
    approvals: dict[int, list[Approval]] = defaultdict(list)
    for each in lists["approvals"]:
        approvals[each.transition_id].append(each)
    for row in lists["transitions"]:
        row.model, row.policy = models[row.model_id], policies[row.policy_id]
        if row.status == Status.AWAITING_APPROVAL:
            row.__dict__["_prefetched_objects_cache"] = {"approvals": approvals[row.pk]}
    return lists["transitions"]


def _somewhere(actor: Actor, action: Action) -> bool:
    return may(replace(actor, roles=actor.any_roles), action)


def _took_part(row: Transition) -> set[int]:
    """The accounts that have to do with it, as far as that keeps somebody from deciding."""
    named = {row.bypassed_by_id, row.rollback_by_id, *behind(row)}
    if row.status == Status.AWAITING_APPROVAL:
        named.update(each.person_id for each in standing(row))
    return {key for key in named if key is not None}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of this person that waits for others: for which roles, and who has them. ``more`` are not named."""

    transition: Transition
    missing: tuple[Role, ...]
    could: tuple[str, ...]
    more: int
    given: tuple[Approval, ...]
    freeze: Freeze | None


def asked_by(actor: Actor, now: datetime) -> list[Asked]:
    """This person's own requests that have not begun, oldest first."""
    rows = (
        Transition.objects.filter(requested_by=actor.user_id, status__in=WAITING, checked_at=None)
        .select_related("version__model", "model", "policy", "stable")
        .prefetch_related("approvals")
        .order_by("requested_at", "pk")
    )
    return [_asked(row, now) for row in rows] if actor.user_id else []


def _asked(row: Transition, now: datetime) -> Asked:
    missing = still_missing(row)
    names = who_could(row, missing)
    given = tuple(each for each in standing(row) if each.approved)
    return Asked(row, missing, tuple(names[:NAMED]), max(len(names) - NAMED, 0), given, freeze_of(row, now))


def who_could(row: Transition, missing: Sequence[Role]) -> list[str]:
    """The names of the people whose yes would fill one of these roles."""
    if not missing:
        return []
    out = people.of(behind(row) | {each.person_id for each in standing(row)})
    able = [
        each.user_id
        for each in people.approvers(row.model)
        if each.roles & set(missing) and not each.shared and not any(each.is_same_person(other) for other in out)
    ]
    users = get_user_model().objects.in_bulk(able)
    return [users[key].display_name for key in able if key in users]


# ---------------------------------------------------------------- what a decision is about


@dataclass(frozen=True, slots=True)
class Given:
    """A decision with what has become of it. ``void`` says why a yes does not count any more, "" while it does."""

    row: Approval
    void: str

    @property
    def counts(self) -> bool:
        return self.row.stands and not self.void


@dataclass(frozen=True, slots=True)
class Case:
    """One transition, as a person decides on it.

    ``seen`` is the digest of what is shown here: a yes is for that alone. What has changed since the others said yes
    is shown as if they had been asked again, which the next yes or the engine does. ``expires`` is how long a yes
    stands. ``confirms`` says that a yes takes a fresh proof of who the person is.
    """

    page: TransitionPage
    checklist: Checklist | None
    changes: tuple[Change, ...]
    seen: str
    given: tuple[Given, ...]
    expires: timedelta
    confirms: bool
    why_not_review: str


def case_of(transition: Transition, actor: Actor, now: datetime, reads: VersionReads | None = None) -> Case:
    """``reads`` is what a page has read of the version."""
    prefetch_related_objects([transition], "approvals")
    page = queries.transition_page(transition, actor, now, reads)
    shown = _shown(page)
    given = _given(transition, _changed(transition, shown), now)
    if any(each.void and each.row.stands for each in given):
        page = replace(page, missing=_missing(transition, given))
    return Case(
        page=page,
        checklist=checklists.of_transition(page),
        changes=checklists.changes(page),
        seen=shown.digest if shown else transition.digest,
        given=given,
        expires=transition.policy.values.approval.expires,
        confirms=confirms(transition, actor, now),
        why_not_review=page.why_not_review_bypass,
    )


def cases_of(transitions: Sequence[Transition], actor: Actor, now: datetime) -> list[Case]:
    """As ``case_of`` of each of these that are ``Inbox.waiting``, in a few queries for all of them."""
    many = reads_of_many.of_waiting(transitions, actor)
    return [case_of(row, actor, now, reads) for row, reads in zip(transitions, many, strict=True)]


def _shown(page: TransitionPage) -> binding.Shown | None:
    awaits = page.transition.status == Status.AWAITING_APPROVAL
    return shown_of(page.transition, page.gate) if awaits and page.gate is not None else None


def _changed(transition: Transition, shown: binding.Shown | None) -> str:
    before = binding.load(transition.shown)
    return binding.changed(before, shown) if before is not None and shown is not None else ""


def _given(transition: Transition, changed: str, now: datetime) -> tuple[Given, ...]:
    return tuple(Given(each, _why_void(each, transition, changed, now)) for each in transition.approvals.all())


def _missing(transition: Transition, given: Sequence[Given]) -> tuple[Role, ...]:
    """The roles whose yes is missing as soon as what is void is said to be."""
    counting = [each.row for each in given if each.counts and each.row.approved]
    approvers = [Approver(row.person_id, frozenset(Role(role) for role in row.roles)) for row in counting]
    return missing_roles(required_roles(transition), approvers)


def _why_void(row: Approval, transition: Transition, changed: str, now: datetime) -> str:
    if row.withdrawn_at is not None or not row.approved:
        return ""
    if row.voided_at is not None:
        return row.void_reason
    if row.expires_at is not None and row.expires_at <= now and has_not_begun(transition):
        return EXPIRED
    return changed


def confirms(transition: Transition, actor: Actor, now: datetime) -> bool:
    """Whether this person's yes needs a fresh proof of who they are first."""
    if transition.to_stage != Stage.PRODUCTION:
        return False
    return actor.confirmed_at is None or now - actor.confirmed_at > transition.policy.values.approval.confirm_after


# ---------------------------------------------------------------- bypasses


def bypasses() -> Sequence[Transition]:
    """What went on without approvals and has not been looked at since, oldest first."""
    return list(queries.bypasses_to_review().select_related("stable", "previous").order_by("bypassed_at", "pk"))


# ---------------------------------------------------------------- who came first


DECIDED = ("transition_approved", "transition_rejected", "transition_cancelled", "approvals_bypassed")


def last_decision(transition: Transition) -> AuditEntry | None:
    """Who decided last on this transition, as the record has it."""
    rows = AuditEntry.objects.filter(transition=transition.pk, action__in=DECIDED, refused=False)
    return rows.order_by("-seq").first()


def has_said_yes(transition: Transition, actor: Actor) -> bool:
    """Whether this person's yes to what there is now is there already."""
    return any(each.approved and each.person_id == actor.user_id for each in standing(transition))


# ---------------------------------------------------------------- lists


def transitions(*, status: str = "", model: str = "", actor: Actor | None = None) -> QuerySet[Transition]:
    """Transitions of this status and of the model with this name; with an actor, those that wait for their decision."""
    rows = Transition.objects.select_related("version", "model", "policy", "stable", "previous")
    if status:
        rows = rows.filter(status=status)
    if model:
        rows = rows.filter(model__name=model)
    if actor is not None:
        rows = rows.filter(pk__in=[row.pk for row in inbox(actor).waiting])
    return rows.prefetch_related("approvals", "effects")
