"""Permission-checked loaders: how both the pages and the API turn a request into an actor and rows."""

from __future__ import annotations

from django.db.models import Case, Q, When
from django.http import Http404, HttpRequest

from lifecycle import queries_people
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
from portal.accounts.people import have_name
from portal.accounts.sessions import confirmed_at, signed_in_by
from portal.addresses import client_address

MOST_NAMESAKES = 50


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
    rows = RegisteredModel.objects.filter(Q(slug=slug) | Q(name=slug))
    found = rows.order_by(Case(When(slug=slug, then=0), default=1), "slug").first()
    if found is None:
        raise Http404(f"There is no registered model called “{slug}”.")
    return found


def version_for(request: HttpRequest, slug: str, version: int) -> ModelVersion:
    """As ``model_for``; the version comes with its model and with its deletion, where one was begun."""
    require(actor_of(request), Action.VIEW)
    rows = ModelVersion.objects.filter(Q(model__slug=slug) | Q(model__name=slug), version=version)
    by_slug_first = rows.select_related("model", "deletion").order_by(Case(When(model__slug=slug, then=0), default=1))
    found = by_slug_first.first()
    if found is None or found.model.slug != slug:
        # A version of another model that only happens to have this name is not the one of the model with this slug.
        model = model_for(request, slug)
        if found is None or found.model_id != model.pk:
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


def accounts_named(request: HttpRequest, name: str) -> list[User]:
    """Everybody who has this name; nobody having it, whoever acted last under it and has another one by now.

    One more than MOST_NAMESAKES stands for any number beyond it.
    """
    require(actor_of(request), Action.VIEW)
    rows = User.objects.order_by("username")
    found = list(have_name(rows, name)[: MOST_NAMESAKES + 1])
    if found:
        return found
    last = queries_people.last_known_as(name)
    return [] if last is None else list(rows.filter(pk=last))


def team_for(request: HttpRequest, slug: str) -> Team:
    require(actor_of(request), Action.VIEW)
    found = Team.objects.filter(slug=slug).first()
    if found is None:
        raise Http404(f"There is no team “{slug}”.")
    return found
