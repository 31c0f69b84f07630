"""What is known of versions that the clean-up has to decide about: in a few queries for many, or for one alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from django.db.models import Q

from lifecycle.domain.policy import Retention
from lifecycle.domain.retention import Candidate
from lifecycle.history import entered_production
from lifecycle.models import (
    ACTIVE,
    UNFINISHED_CHECKS,
    CheckRun,
    Hold,
    ModelVersion,
    Policy,
    RegisteredModel,
    Status,
    Transition,
    Variant,
    VariantRole,
)
from lifecycle.policies import own_policies
from lifecycle.reads import VersionReads

KEPT_HISTORY = 2
"""How many versions of a model's history in Production stay: the one that serves, and the one before it."""


@dataclass(frozen=True, slots=True)
class Protections:
    """Keys of the versions that are protected, by what protects them. ``rollback_targets`` are (model, number)."""

    serving: frozenset[int]
    in_transition: frozenset[int]
    held: frozenset[int]
    rollback_targets: frozenset[tuple[int, int]]

    def candidate(self, version: ModelVersion) -> Candidate:
        """The version as the rules see it; ``version.model`` is loaded."""
        return Candidate(
            stage=version.domain_stage,
            stage_since=version.stage_since,
            registered_at=version.created_at,
            serving=version.pk in self.serving,
            in_transition=version.pk in self.in_transition,
            rollback_target=(version.model_id, version.version) in self.rollback_targets,
            aliased=version.version in version.model.aliases.values(),
            held=version.pk in self.held,
            exact_name=version.model.exact_name,
        )


def protections(model: RegisteredModel | None = None) -> Protections:
    """Everything that protects versions now, of one model or of all."""
    of_model = Q() if model is None else Q(model=model)
    of_version = Q() if model is None else Q(version__model=model)
    served = Variant.objects.filter(of_model).values_list("version", flat=True)
    checked = CheckRun.objects.filter(of_version, status__in=UNFINISHED_CHECKS).values_list("version", flat=True)
    active = Transition.objects.filter(of_model, status__in=ACTIVE).values_list("version", "stable", "previous")
    holds = Hold.objects.filter(of_version, released_at=None).values_list("version", flat=True)
    return Protections(
        serving=frozenset((*served, *checked)),
        in_transition=frozenset(key for keys in active for key in keys if key is not None),
        held=frozenset(holds),
        rollback_targets=frozenset(_rollback_targets(of_model)),
    )


NONE_PROTECTED = Protections(frozenset(), frozenset(), frozenset(), frozenset())


def protections_of(reads: VersionReads) -> Protections:
    """What protects one version now, as it has been read."""
    version, model = reads.version, reads.model
    active = (model.active.version_id, model.active.stable_id, model.active.previous_id) if model.active else ()
    served = {each.version_id for each in model.variants} | ({version.pk} if reads.checked_now else set())
    stays = [model.production.version] if model.production else []
    return Protections(
        serving=frozenset(served),
        in_transition=frozenset(key for key in active if key is not None),
        held=frozenset({version.pk} if reads.hold else ()),
        rollback_targets=frozenset((model.model.pk, number) for number in (*stays, *model.history[:KEPT_HISTORY])),
    )


def _rollback_targets(of_model: Q) -> Iterator[tuple[int, int]]:
    """What serves Production, and what a rollback of it brings back; without either, the newest of the history."""
    histories: dict[int, list[tuple[str, str, int]]] = defaultdict(list)
    ended = Transition.objects.filter(of_model, status=Status.FINISHED).order_by("-finished_at", "-id")
    for model, kind, to_stage, number in ended.values_list("model", "kind", "to_stage", "version__version").iterator():
        histories[model].append((kind, to_stage, number))
    serving = Variant.objects.filter(of_model, role=VariantRole.PRODUCTION)
    yield from serving.values_list("model", "version__version")
    for model, rows in histories.items():
        yield from ((model, number) for number in entered_production(rows)[:KEPT_HISTORY])


class Retentions:
    """The retention that applies to each model: that of all own policies is read at once."""

    @cached_property
    def _own(self) -> Mapping[int, tuple[int, Retention]]:
        return {row.model_id: (row.number, row.values.retention) for row in own_policies() if row.model_id is not None}

    @cached_property
    def _for_all(self) -> tuple[int, Retention]:
        found = Policy.objects.filter(model=None).first()
        return (found.number, found.values.retention) if found else (1, Retention())

    def of(self, model: RegisteredModel) -> Retention:
        return self._look_up(model)[1]

    def number(self, model: RegisteredModel) -> int:
        """The number of the policy that applies to the model."""
        return self._look_up(model)[0]

    def _look_up(self, model: RegisteredModel) -> tuple[int, Retention]:
        return self._own.get(model.pk, self._for_all)

    def shortest(self) -> timedelta:
        """No archived version is due earlier than this after it was archived, whatever its model."""
        return min((self._for_all[1].archived, *(own.archived for _, own in self._own.values())))
