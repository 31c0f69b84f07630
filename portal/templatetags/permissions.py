"""What a page offers to whom, by the model that it is about."""

from __future__ import annotations

from typing import Any

from django import template

from lifecycle.domain import permissions
from lifecycle.domain.permissions import Action, Actor
from lifecycle.models import RegisteredModel

register = template.Library()


@register.simple_tag(takes_context=True)
def may(context: dict[str, Any], action: str, model: RegisteredModel | None = None) -> bool:
    """Whether whoever looks at the page has a role that allows the action: for this model, or for all."""
    actor: Actor = context["actor"]
    return permissions.may(actor.at(model.team_id) if model else actor, Action(action))
