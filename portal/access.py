"""Permission-checked loaders: how both the pages and the API turn a request into an actor and rows."""

from __future__ import annotations

from django.http import Http404, HttpRequest

from lifecycle.domain.permissions import Action, Actor, NotAllowedError, may, require
from lifecycle.models import (
    CheckRun,
    Evidence,
    ExportJob,
    ModelVersion,
    Policy,
    RegisteredModel,
    Team,
    Transition,
    Waiver,
)
from portal.accounts.models import ApiToken, User
from portal.accounts.sessions import confirmed_at, signed_in_by
from portal.addresses import client_address


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in person, or the bearer of a token, as the lifecycle knows people."""
    user = request.user
    if not isinstance(user, User):
        raise NotAllowedError("Sign in first.")
    auth = getattr(request, "auth", None)
    token = auth if isinstance(auth, ApiToken) else None
    behind = (user.pk, user.made_by_id, token.made_by_id if token else None)
    return Actor(
        name=user.display_name,
        user_id=user.pk,
        roles=user.role_set,
        signed_in_by=f"token:{token.name}" if token else signed_in_by(request, user),
        address=client_address(request),
        scopes=token.actions if token else None,
        team_roles=user.team_role_set,
        stands_for=frozenset(key for key in behind if key is not None),
        identities=user.identity_set,
        shared=user.is_shared,
        confirmed_at=None if token else confirmed_at(request),
    )


def model_for(request: HttpRequest, slug: str) -> RegisteredModel:
    """The registered model with this slug or exact name. Raises Http404, or NotAllowedError."""
    require(actor_of(request), Action.VIEW)
    found = RegisteredModel.objects.filter(slug=slug).first() or RegisteredModel.objects.filter(name=slug).first()
    if found is None:
        raise Http404(f"There is no registered model called “{slug}”.")
    return found


def version_for(request: HttpRequest, slug: str, version: int) -> ModelVersion:
    model = model_for(request, slug)
    found = model.versions.select_related("model").filter(version=version).first()
    if found is None:
        raise Http404(f"{model.name} has no version {version}.")
    return found


def policy_for(request: HttpRequest, number: int) -> Policy:
    require(actor_of(request), Action.VIEW)
    found = Policy.objects.select_related("model").filter(number=number).first()
    if found is None:
        raise Http404(f"There is no policy {number}.")
    return found


def transition_for(request: HttpRequest, pk: int) -> Transition:
    require(actor_of(request), Action.VIEW)
    rows = Transition.objects.select_related("version__model", "model", "policy", "stable", "previous")
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no transition {pk}.")
    return found


def check_for(request: HttpRequest, pk: int) -> CheckRun:
    require(actor_of(request), Action.VIEW)
    found = CheckRun.objects.select_related("version__model", "policy").filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no check {pk}.")
    return found


def evidence_for(request: HttpRequest, pk: int) -> Evidence:
    require(actor_of(request), Action.VIEW)
    found = Evidence.objects.select_related("version__model").filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no evidence {pk}.")
    return found


def waiver_for(request: HttpRequest, pk: int) -> Waiver:
    require(actor_of(request), Action.VIEW)
    found = Waiver.objects.select_related("version__model").filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no waiver {pk}.")
    return found


def export_for(request: HttpRequest, pk: int) -> ExportJob:
    """One's own export; whether there is another's is not told."""
    found = ExportJob.objects.filter(pk=pk, person_id=actor_of(request).user_id).first()
    if found is None:
        raise Http404(f"You have no export {pk}.")
    return found


def token_for(request: HttpRequest, pk: int) -> ApiToken:
    """One's own token, or as an administrator anybody's; whether there is another's is not told to others."""
    actor = actor_of(request)
    found = ApiToken.objects.select_related("user").filter(pk=pk).first()
    if found is None or not (found.user_id == actor.user_id or may(actor, Action.MANAGE_TOKENS)):
        raise Http404(f"You have no token {pk}.")
    return found


def person_for(request: HttpRequest, pk: int) -> User:
    """A person or a service account. Raises Http404, or NotAllowedError."""
    require(actor_of(request), Action.VIEW)
    found = User.objects.prefetch_related("role_assignments").select_related("made_by").filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no person {pk}.")
    return found


def person_named(request: HttpRequest, username: str) -> User:
    """As ``person_for``, by user name; upper and lower case are the same."""
    require(actor_of(request), Action.VIEW)
    rows = User.objects.prefetch_related("role_assignments").select_related("made_by")
    found = rows.filter(username__iexact=username.strip()).first()
    if found is None:
        raise Http404(f"Nobody is called “{username}”.")
    return found


def team_for(request: HttpRequest, slug: str) -> Team:
    require(actor_of(request), Action.VIEW)
    found = Team.objects.filter(slug=slug).first()
    if found is None:
        raise Http404(f"There is no team “{slug}”.")
    return found
