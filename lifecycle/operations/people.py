"""People, their roles, and the teams that own models. Only administrators change any of it, each time with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet

from lifecycle import people
from lifecycle.audit import record
from lifecycle.domain.permissions import TEAM_ROLES, Action, Actor, Role
from lifecycle.domain.slugs import slug_of
from lifecycle.models import RegisteredModel, Team
from lifecycle.operations.common import need_reason, recorded
from lifecycle.transitions import RefusedError

User = get_user_model()
LABELS = {
    "username": "User name",
    "first_name": "First name",
    "last_name": "Last name",
    "email": "E-mail address",
}
"""The columns that administrators fill, with the words for them."""

# ---------------------------------------------------------------- people


def add_person(*, username: str, name: str, email: str, reason: str, actor: Actor, now: datetime) -> Any:
    """A new account without a password and without roles; returns the user. Raises RefusedError.

    Nobody else may know the password that a person approves with, so they choose it themselves, or sign in elsewhere.
    """
    with recorded(Action.MANAGE_PEOPLE, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        person = User(username=username.strip(), **_names(name), email=email.strip())
        person.set_unusable_password()
        _check(person)
        person.save()
        _note_address(person)
        record("person_added", actor=actor, now=now, reason=cleaned, details=_facts(person))
        return person


def change_person(
    *,
    person: Any,
    reason: str,
    actor: Actor,
    now: datetime,
    name: str | None = None,
    email: str | None = None,
    active: bool | None = None,
    shared: bool | None = None,
) -> Any:
    """Change what is given of a person or a service account; None leaves it. Raises RefusedError.

    Who is not active is signed out at once, and tokens of theirs open nothing.
    """
    with recorded(Action.MANAGE_PEOPLE, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = _fresh(person)
        before = _facts(row)
        _apply(row, name=name, email=email, active=active, shared=shared)
        changed = {key: value for key, value in _facts(row).items() if value != before[key]}
        if not changed:
            raise RefusedError("Nothing would change: this is how it is already.", rule="nothing_changes")
        _check(row)
        if "shared" in changed and not row.is_shared:
            _need_somebody_else(row, actor, "Whether several people use your account is for another administrator.")
        if "active" in changed and not row.is_active:
            _need_another_administrator(row)
        row.save()
        _note_address(row, before["email"])
        was = {key: before[key] for key in changed}
        details = {"person": row.username, **changed, "before": was}
        record("person_changed", actor=actor, now=now, reason=cleaned, details=details)
        return row


def _apply(row: Any, *, name: str | None, email: str | None, active: bool | None, shared: bool | None) -> None:
    for key, value in (_names(name) if name is not None else {}).items():
        setattr(row, key, value)
    row.email = row.email if email is None else email.strip()
    row.is_active = row.is_active if active is None else active
    row.is_shared = row.is_shared if shared is None else shared


def _note_address(person: Any, before: str = "") -> None:
    """An administrator vouches for the address that they set: two accounts that have it are one person."""
    if before and before != person.email:
        person.identities.filter(value=people.email_identity(before)).delete()
    if person.email:
        person.identities.get_or_create(value=people.email_identity(person.email))


def _names(name: str) -> dict[str, str]:
    first, _, last = " ".join(name.split()).partition(" ")
    return {"first_name": first, "last_name": last}


def _facts(person: Any) -> dict[str, Any]:
    return {
        "person": person.username,
        "name": person.get_full_name(),
        "email": person.email,
        "active": person.is_active,
        "shared": person.is_shared,
    }


def _check(person: Any) -> None:
    try:
        person.clean_fields(exclude={each.name for each in User._meta.fields} - set(LABELS))
    except ValidationError as error:
        wrong = [f"{LABELS[name]}: {' '.join(problems)}" for name, problems in error.message_dict.items()]
        raise RefusedError(" ".join(wrong), rule="person", status=422) from error
    if not (person.get_full_name() + person.email).isprintable():
        raise RefusedError(
            "A name is made of characters that can be seen; leave the others out.", rule="person", status=422
        )
    others = User.objects.exclude(pk=person.pk)
    if others.filter(username__iexact=person.username).exists():
        raise RefusedError(
            f"There is somebody called “{person.username}” already. Choose another user name.", rule="username_taken"
        )
    if person.email and others.filter(email__iexact=person.email).exists():
        raise RefusedError(
            "Another account has this e-mail address. One person has one account: change that one.", rule="email_taken"
        )


def _fresh(person: Any) -> Any:
    """As it is now; what was read before the turn to write may have been changed since."""
    return User.objects.prefetch_related("role_assignments").get(pk=person.pk)


# ---------------------------------------------------------------- roles


def give_role(*, person: Any, role: Role, team: Team | None, reason: str, actor: Actor, now: datetime) -> None:
    """Give a role for the models of a team, or with None for all models. Raises RefusedError.

    Administrators give themselves none, as long as there is another one who can: a second role would let them say yes
    to what they arranged themselves.
    """
    with recorded(Action.MANAGE_PEOPLE, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = _fresh(person)
        _check_role(row, role, team)
        own = bool(people.same_people({row.pk}, actor.accounts))
        if own and _other_administrators(row).exists():
            _need_somebody_else(row, actor, "You cannot give yourself a role.")
        if row.role_assignments.filter(role=role, team=team).exists():
            raise RefusedError(f"{row.display_name} has this role already: there is nothing to give.", rule="has_role")
        row.role_assignments.create(role=role, team=team)
        details = {**_about_role(row, role, team), **({"own": True} if own else {})}
        record("role_given", actor=actor, now=now, reason=cleaned, details=details)


def take_role(*, person: Any, role: Role, team: Team | None, reason: str, actor: Actor, now: datetime) -> None:
    """Take a role away that an administrator gave. Raises RefusedError."""
    with recorded(Action.MANAGE_PEOPLE, actor, now, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = _fresh(person)
        if role == Role.SERVICE:
            raise RefusedError("A service account stays one: deactivate it instead.", rule="service_account")
        held = row.role_assignments.filter(role=role, team=team).first()
        if held is None:
            raise RefusedError(
                f"{row.display_name} does not have this role: there is nothing to take away.", rule="has_no_role"
            )
        if held.given_by:
            raise RefusedError(
                f"This role comes from {held.given_by} and would come back with the next sign-in: take it away there.",
                rule="given_elsewhere",
            )
        if role == Role.ADMINISTRATOR:
            _need_another_administrator(row)
        held.delete()
        record("role_taken", actor=actor, now=now, reason=cleaned, details=_about_role(row, role, team))


def _check_role(person: Any, role: Role, team: Team | None) -> None:
    if person.is_service or role == Role.SERVICE:
        raise RefusedError(
            "People and service accounts are kept apart: neither gets a role of the other. Make another account.",
            rule="service_account",
        )
    if team is not None and role not in TEAM_ROLES:
        labels = " and ".join(f"{each.label}s" for each in Role if each in TEAM_ROLES)
        raise RefusedError(
            f"Only {labels} can be such of one team; others are for all models: give this one without a team.",
            rule="team_role",
        )


def _about_role(person: Any, role: Role, team: Team | None) -> dict[str, Any]:
    return {"person": person.username, "role": role.value, "team": team.slug if team else ""}


def _other_administrators(person: Any) -> QuerySet[Any]:
    held = {"role_assignments__role": Role.ADMINISTRATOR, "role_assignments__team": None}
    return User.objects.filter(is_active=True, **held).exclude(pk=person.pk)


def _need_another_administrator(person: Any) -> None:
    """Writers of the record take turns, so of two administrators who remove each other at once, one stays."""
    administers = person.role_assignments.filter(role=Role.ADMINISTRATOR, team=None).exists()
    if administers and not _other_administrators(person).exists():
        raise RefusedError(
            f"{person.display_name} is the only administrator. Give somebody else the role first: otherwise nobody "
            "could ever give it.",
            rule="last_administrator",
        )


def _need_somebody_else(person: Any, actor: Actor, opening: str) -> None:
    if people.same_people({person.pk}, actor.accounts):
        raise RefusedError(f"{opening} Ask another administrator.", rule="own_account", status=403)


# ---------------------------------------------------------------- teams


def add_team(*, name: str, reason: str, actor: Actor, now: datetime) -> Team:
    """Raises RefusedError."""
    with recorded(Action.MANAGE_PEOPLE, actor, now, reason=reason) as actor:
        cleaned, called = need_reason(reason), _team_name(name)
        _check_free(called)
        taken = set(Team.objects.values_list("slug", flat=True))
        team = Team.objects.create(name=called, slug=slug_of(called, taken))
        record("team_added", actor=actor, now=now, reason=cleaned, details=_about(team))
        return team


def rename_team(*, team: Team, name: str, reason: str, actor: Actor, now: datetime) -> Team:
    """The team stays the same: its models, its people and its address. Raises RefusedError."""
    with recorded(Action.MANAGE_PEOPLE, actor, now, reason=reason) as actor:
        cleaned, called = need_reason(reason), _team_name(name)
        if called == team.name:
            raise RefusedError("It is called so already: there is nothing to change.", rule="nothing_changes")
        _check_free(called, team)
        details = {**_about(team), "name": called, "before": {"name": team.name}}
        Team.objects.filter(pk=team.pk).update(name=called)
        record("team_renamed", actor=actor, now=now, reason=cleaned, details=details)
        team.refresh_from_db()
        return team


def give_model(*, model: RegisteredModel, team: Team | None, reason: str, actor: Actor, now: datetime) -> None:
    """Let a team own a model, or with None nobody in particular. Raises RefusedError.

    From then on its roles count for this model, for what waits for a decision too, and those of the former team do not.
    """
    with recorded(Action.MANAGE_PEOPLE, actor, now, model=model, reason=reason) as actor:
        cleaned = need_reason(reason)
        row = RegisteredModel.objects.select_related("team").get(pk=model.pk)
        if row.team_id == (team.pk if team else None):
            raise RefusedError("It belongs there already: there is nothing to change.", rule="nothing_changes")
        details = {"team": team.slug if team else "", "before": {"team": row.team.slug if row.team else ""}}
        RegisteredModel.objects.filter(pk=row.pk).update(team=team)
        record("model_team_changed", actor=actor, now=now, model=row, reason=cleaned, details=details)
        model.team = team


def _team_name(name: str) -> str:
    cleaned = " ".join(name.split())
    if not cleaned or len(cleaned) > 100 or not cleaned.isprintable():
        raise RefusedError("Give the team a name of at most 100 characters.", rule="team_name", status=422)
    return cleaned


def _check_free(name: str, team: Team | None = None) -> None:
    others = Team.objects.exclude(pk=team.pk) if team else Team.objects.all()
    if others.filter(name__iexact=name).exists():
        raise RefusedError(f"There is a team called “{name}” already. Choose another name.", rule="team_name")


def _about(team: Team) -> Mapping[str, Any]:
    return {"team": team.slug, "name": team.name}
