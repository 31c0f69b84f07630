"""Permission-checked loaders: how both the pages and the API turn a request into an actor and rows."""

from __future__ import annotations

from django.http import Http404, HttpRequest

from lifecycle.domain.permissions import Action, Actor, NotAllowedError, require
from lifecycle.models import ModelVersion, RegisteredModel, Transition
from portal.accounts.models import User


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in person as the lifecycle knows people."""
    user = request.user
    if not isinstance(user, User):
        raise NotAllowedError("Sign in first.")
    return Actor(
        name=user.display_name,
        user_id=user.pk,
        roles=user.role_set,
        signed_in_by="password",
        address=request.META.get("REMOTE_ADDR", ""),
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


def transition_for(request: HttpRequest, pk: int) -> Transition:
    require(actor_of(request), Action.VIEW)
    rows = Transition.objects.select_related("version__model", "model", "policy", "stable", "previous")
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Http404(f"There is no transition {pk}.")
    return found
