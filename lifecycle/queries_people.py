"""What the page about a person shows: what they asked for and decided lately, and who acted under a name."""

from __future__ import annotations

from dataclasses import dataclass

from lifecycle.models import Approval, AuditEntry, Transition

SHOWN = 20
"""How much is shown of each; the record has the rest."""


@dataclass(frozen=True, slots=True)
class Lately:
    """The newest transitions that somebody asked for, and their newest decisions, newest first."""

    asked: tuple[Transition, ...]
    decided: tuple[Approval, ...]


def lately(user_id: int) -> Lately:
    asked = Transition.objects.filter(requested_by=user_id).select_related("model", "version", "previous")
    decided = Approval.objects.filter(person=user_id).select_related(
        "transition__model", "transition__version", "transition__previous"
    )
    return Lately(tuple(asked.order_by("-pk")[:SHOWN]), tuple(decided.order_by("-pk")[:SHOWN]))


def last_known_as(name: str) -> int | None:
    """The key of the account that acted last under this name, by the record; None when none did.

    An account may have another name by now, or be gone.
    """
    entries = AuditEntry.objects.filter(actor=name, actor_id__isnull=False)
    return entries.order_by("-seq").values_list("actor_id", flat=True).first()
